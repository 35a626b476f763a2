"""Hosts that find each other, as processes: what they are told, and how soon."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from fakes.discovery_hosts import Computer, Watcher, endpoints
from fakes.namespaces import Wire, joined_namespaces
from fakes.processes import SCRIPTS, Process, free_port, run, running
from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceStub

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "announce.py"
SERIAL, DISCOVERY = int(pb.KIND_SERIAL), int(pb.KIND_DISCOVERY)


@pytest.fixture
def beacon_port() -> int:
    return free_port(socket.SOCK_DGRAM)


@pytest.fixture
def host(tmp_path: Path, beacon_port: int) -> Computer:
    return Computer(tmp_path, beacon_port)


@pytest.fixture
def observer(tmp_path: Path, beacon_port: int) -> Computer:
    return Computer(tmp_path, beacon_port)


@pytest.fixture
def watcher(observer: Computer) -> Iterator[Watcher]:
    with observer.discovery(), observer.watched() as made:
        yield made


def report(*words: object) -> None:
    print(*words)  # the figures of this run, shown with `-s`


def test_a_host_is_found_with_all_that_it_offers(host: Computer, watcher: Watcher) -> None:
    with host.discovery():
        ready = time.monotonic()
        with host.serial():
            registered = time.monotonic()
            found = watcher.wait_for_host(host)
            report(f"found {time.monotonic() - registered:.3f} s after the registration,")
            report(f"{time.monotonic() - ready:.3f} s after discovery-svc was ready")
            assert list(found.port_ids) == ["laser"]
            assert found.is_own_site
            assert found.tls
            assert found.version
            assert "127.0.0.1" in found.addresses
            report([pb.Source.Name(each) for each in found.sources])


@pytest.mark.parametrize("off", ["mdns", "beacon"])
def test_mdns_and_beacons_each_work_without_the_other(
    tmp_path: Path, beacon_port: int, off: str
) -> None:
    host, observer = (Computer(tmp_path, beacon_port, more=f"{off} = false") for _ in range(2))
    with observer.discovery(), observer.watched() as watcher, host.discovery(), host.serial():
        found = watcher.wait_for_host(host)
        left = {"mdns": pb.SOURCE_BEACON, "beacon": pb.SOURCE_MDNS}[off]
        assert list(found.sources) == [left]
        assert list(found.port_ids) == ["laser"]


def test_other_ports_are_reported_as_an_update(host: Computer, watcher: Watcher) -> None:
    with host.discovery():
        with host.serial():
            before = watcher.wait_for_host(host)
        host.ports = ("laser", "mill")
        with host.serial():
            watcher.wait_for(
                lambda: list(watcher.instances[before.id].port_ids) == ["laser", "mill"]
            )
    assert ("updated", host.name) in watcher.events


def test_a_service_that_dies_is_offered_no_more_at_once(host: Computer, watcher: Watcher) -> None:
    with host.discovery(), host.serial() as serial:
        found = watcher.wait_for_host(host)
        serial.process.kill()
        only = {(DISCOVERY, host.discovery_port)}
        took = watcher.wait_for(lambda: endpoints(watcher.instances[found.id]) == only)
        report(f"taken back {took:.3f} s after kill -9")


def test_a_host_that_stops_is_gone_at_once(host: Computer, watcher: Watcher) -> None:
    with host.discovery() as discovery, host.serial():
        watcher.wait_for_host(host)
        discovery.process.terminate()
        took = watcher.wait_for(lambda: watcher.named(host.name) is None)
        report(f"gone {took:.3f} s after SIGTERM")
        assert discovery.wait() == 0


@pytest.mark.parametrize("is_of_own_site", [True, False])
def test_a_host_that_dies_is_gone_after_a_probe_and_found_again(
    tmp_path: Path, observer: Computer, beacon_port: int, is_of_own_site: bool
) -> None:
    home = tmp_path if is_of_own_site else tmp_path / "other"
    host = Computer(home, beacon_port)
    with observer.discovery(), observer.watched() as watcher:
        with host.discovery() as discovery, host.serial() as serial:
            found = watcher.wait_for_host(host)
            assert found.is_own_site == is_of_own_site
            for process in (discovery, serial):
                process.process.kill()
            took = watcher.wait_for(lambda: watcher.named(host.name) is None)
            report(f"gone {took:.2f} s after kill -9 of all")
        with host.discovery(), host.serial():
            watcher.wait_for_host(host)


def test_a_host_whose_discovery_service_died_stays_while_another_service_lives(
    host: Computer, observer: Computer, watcher: Watcher
) -> None:
    with host.discovery() as discovery, host.serial(), observer.channel() as channel:
        watcher.wait_for_host(host)
        discovery.process.kill()
        discovery.wait()
        died = time.time()
        while (found := listed(channel, host.name))[0].last_seen_time.ToSeconds() < died + 9:
            assert time.time() < died + 60, found
            time.sleep(0.2)
        assert ("removed", host.name) not in watcher.events


def listed(channel: grpc.Channel, name: str) -> list[pb.Instance]:
    request = pb.ListInstancesRequest(filter=pb.Filter(name_pattern=name))
    return list(DiscoveryServiceStub(channel).ListInstances(request, timeout=30).instances)


def test_two_hosts_of_one_name_coexist(host: Computer, watcher: Watcher) -> None:
    twin = Computer(host.home, host.beacon_port, host.name)
    with host.discovery(), host.serial():
        watcher.wait_for_host(host)
        with twin.discovery() as second:
            second.wait_for(rf"the name '{host.name}' is taken: announced as '{host.name} \(2\)'")
            twin.name = f"{host.name} (2)"
            with twin.serial() as serial:
                assert serial.wait_for(r"announced as '(.*)' by")[1] == twin.name
                watcher.wait_for_host(twin)
                watcher.wait_for_host(host)


def test_a_host_of_the_static_list_is_reported_with_its_source(tmp_path: Path) -> None:
    more = '[hosts."Old Mill"]\naddress = "mill.lan"\ncamera = 50052\n'
    observer = Computer(tmp_path, free_port(socket.SOCK_DGRAM), more=more)
    with observer.discovery(), observer.channel() as channel:
        (found,) = listed(channel, "Old Mill")
    assert list(found.addresses) == ["mill.lan"]
    assert endpoints(found) == {(SERIAL, 50051), (int(pb.KIND_CAMERA), 50052)}
    assert list(found.sources) == [pb.SOURCE_STATIC]


def test_the_service_continues_if_a_source_does_not_work(tmp_path: Path) -> None:
    host = Computer(tmp_path, free_port(socket.SOCK_DGRAM))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("", host.beacon_port))  # and shares it with nobody
        with host.discovery() as process, host.serial(), host.channel() as channel:
            process.wait_for("cannot find hosts by beacon: ")
            assert endpoints(listed(channel, host.name)[0]) == host.endpoints


def test_plaintext_is_never_announced(host: Computer) -> None:
    arguments = ["serial-svc", "--insecure", "--config", str(host.config)]
    with host.discovery(), running(arguments, host.home) as serial, host.channel() as channel:
        serial.wait_for("ready at")
        assert endpoints(listed(channel, host.name)[0]) == {(DISCOVERY, host.discovery_port)}


def test_a_plaintext_discovery_service_answers_on_loopback(host: Computer) -> None:
    arguments = ["discovery-svc", "--insecure", "--config", str(host.config)]
    with running(arguments, host.home) as process:
        process.wait_for("plaintext: anyone on this computer")
        process.wait_for("ready at .* \\(plaintext\\)")
        with grpc.insecure_channel(host.discovery_target) as channel:
            (found,) = listed(channel, host.name)
    assert not found.tls
    assert not found.is_own_site


# Third parties


def test_the_example_registers_a_third_party_service(host: Computer) -> None:
    with host.discovery(), host.watched() as watcher:
        bundle = str(host.home / "config" / "usbshare" / "client.pem")
        arguments = ["python", str(EXAMPLE), host.discovery_target, bundle]
        with running(arguments, host.home) as program:
            assert program.wait_for("announced as (.*)")[1] == host.name
            camera = {(int(pb.KIND_CAMERA), 8554), (DISCOVERY, host.discovery_port)}
            watcher.wait_for(lambda: _offers(watcher, host, camera))
        watcher.wait_for(lambda: _offers(watcher, host, {(DISCOVERY, host.discovery_port)}))


def _offers(watcher: Watcher, host: Computer, what: set[tuple[int, int]]) -> bool:
    found = watcher.named(host.name)
    return found is not None and endpoints(found) == what


@pytest.fixture
def wire() -> Iterator[Wire]:
    with joined_namespaces() as made:
        yield made


def test_another_computer_may_watch_and_not_announce(tmp_path: Path, wire: Wire) -> None:
    config = tmp_path / "usbshare.toml"
    config.write_text('[discovery]\nlisten = "[::]:50053"\nname = "laser"\n')
    bundle = str(tmp_path / "config" / "usbshare" / "client.pem")
    here = str(SCRIPTS / "discovery-svc")
    with running(wire.host.command([here, "--config", str(config)]), tmp_path) as process:
        process.wait_for("discovery-svc ready at")
        arguments = [str(SCRIPTS / "python"), str(EXAMPLE), f"{wire.host.address}:50053", bundle]
        code, output = run(wire.client.command(arguments), tmp_path)
    assert code != 0
    assert "PERMISSION_DENIED" in output
    assert f"only programs on this computer may announce services here; {wire.client.address}:" in (
        output
    )


# The service as its operator sees it


def test_metrics_are_served_where_configured(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    host = Computer(tmp_path, free_port(socket.SOCK_DGRAM), more=f'metrics = "{address}"')
    with host.discovery(), host.watched() as watcher:
        watcher.wait_for(lambda: watcher.named(host.name))
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=30) as reply:
            metrics = reply.read().decode()
    assert 'usbshare_discovery_instances{source="local"} 1.0' in metrics
    sent = re.search(r'usbshare_discovery_sent_packets_total{source="beacon"} (\S+)', metrics)
    assert sent
    assert float(sent[1]) >= 1


def test_a_metrics_address_in_use_is_reported_and_stops_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = f"127.0.0.1:{held.getsockname()[1]}"
        host = Computer(tmp_path, free_port(socket.SOCK_DGRAM), more=f'metrics = "{address}"')
        with running(["discovery-svc", "--config", str(host.config)], tmp_path) as service:
            service.wait_for(f"discovery.metrics: cannot listen at {address}: .* trying again")
            service.wait_for("discovery-svc ready at")


def test_an_address_in_use_is_reported(host: Computer) -> None:
    with host.discovery():
        code, output = run(["discovery-svc", "--config", str(host.config)], host.home)
    assert code == 2
    assert f"cannot listen at {host.discovery_target}: address already in use" in output
    assert "Traceback" not in output


def test_every_mistake_of_the_configuration_is_reported_at_once(tmp_path: Path) -> None:
    config = tmp_path / "usbshare.toml"
    config.write_text(
        '[discovery]\nname = "a  b"\nbeacon_group = "10.0.0.1"\nbeacon_ttl = 300\nmdsn = true\n'
        '[hosts.mill]\naddress = "a b"\n[ports.laser]\nsource = "sim://grbl"\n'
    )
    for flags in ([], ["--check-config"], ["--dump-config"]):
        code, output = run(["discovery-svc", "--config", str(config), *flags], tmp_path)
        assert code == 2
        lines = output.splitlines()
        for key in ("name", "beacon_group", "beacon_ttl", "mdsn"):
            assert sum(f"{config}: discovery.{key}: " in line for line in lines) == 1
        assert sum(f"{config}: hosts.mill.address: " in line for line in lines) == 1
        assert len(lines) == 5


def test_a_correct_configuration_is_reported_and_shown(host: Computer) -> None:
    arguments = ["discovery-svc", "--config", str(host.config)]
    code, output = run([*arguments, "--check-config"], host.home)
    assert (code, output) == (0, f"{host.config}: correct")
    code, output = run([*arguments, "--dump-config", "--listen", "127.0.0.1:1"], host.home)
    assert code == 0
    assert 'listen = "127.0.0.1:1"' in output
    assert f'name = "{host.name}"' in output
    assert f"beacon_port = {host.beacon_port}" in output


def test_both_signals_end_the_service_cleanly(host: Computer) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        with host.discovery() as process, host.serial() as serial, host.watched() as watcher:
            watcher.wait_for_host(host)
            assert process.stop(number) == 0
            serial.wait_for("no longer announced")
        assert "Traceback" not in process.output


# Both services together


@contextmanager
def all_services(host: Computer) -> Iterator[Process]:
    python = [str(SCRIPTS / "python"), "-m", "usbshare.service.supervisor"]
    command = [*python, "serial-svc", "discovery-svc"]
    with running(["/usr/bin/env", f"USBSHARE_CONFIG={host.config}", *command], host.home) as each:
        yield each


def test_one_command_runs_and_ends_all_services(host: Computer) -> None:
    with all_services(host) as services:
        services.wait_for("serial-svc ready at")
        services.wait_for("announced as")
        with host.watched() as watcher:
            watcher.wait_for_host(host)
        assert services.stop() == 0
        assert services.output.count("stopped") == 2


def test_the_serial_service_outlives_the_discovery_service(host: Computer) -> None:
    with all_services(host) as services:
        services.wait_for("announced as")
        serial = child(services, "serial-svc")
        os.kill(child(services, "discovery-svc"), signal.SIGKILL)
        services.wait_for(r"discovery-svc ended \(signal 9\): restarting it in 1 s")
        wait_until_it_says(services, "announced as", times=2)
        with host.watched() as watcher:
            watcher.wait_for_host(host)
        assert child(services, "serial-svc") == serial


def wait_until_it_says(process: Process, text: str, times: int) -> None:
    end = time.monotonic() + 60
    while process.output.count(text) < times:
        assert time.monotonic() < end, process.output
        time.sleep(0.02)


def child(services: Process, name: str) -> int:
    """Return the process of that name that the services' process has started."""
    number = services.process.pid
    children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    return next(int(each) for each in children if name in Path(f"/proc/{each}/cmdline").read_text())


def test_a_wrong_configuration_ends_them_all(host: Computer) -> None:
    host.more = 'beacon_group = "no group"'
    with all_services(host) as services:
        assert services.wait() == 2
        services.wait_for("discovery.beacon_group: 'no group'")
    assert "Traceback" not in services.output
