"""`bridge list` over all known hosts, and the bridge that chooses its port by `--match`."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.processes import camera_service, run, running, serial_service
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.counters import SourceCounters
from usbshare.hosts.instance import Endpoint, Instance, Kind
from usbshare.hosts.interfaces import interfaces_up
from usbshare.hosts.mdns.mdns import MdnsNode
from usbshare.hosts.settings import DiscoveryTable
from usbshare.hosts.sources.beacon import BeaconPublisher
from usbshare.rpc.tls import ClientBundle

NO_MULTICAST = "[discovery]\nmdns = false\nbeacon = false\n[bridge]\nremember = false\n"
PORT_TABLE = """
[ports.{id}]
source = "sim://grbl"
profile = "grbl"
description = "the {id}"
"""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Two hosts with a port each, and the operator's folder."""

    home: Path
    laser: int
    mill: int

    @property
    def site(self) -> str:
        """The fingerprint of the site of both hosts."""
        return ClientBundle.load(self.home / "config" / "usbshare" / "client.pem").site

    def bridge(self, *arguments: str) -> tuple[int, str]:
        """Run the bridge to its end; returns exit code and output."""
        return run(["bridge", *arguments], self.home)

    def listed(self, config: str, *arguments: str) -> tuple[list[dict[str, Any]], list[str]]:
        """Return what `bridge list --json` prints, and its lines on stderr."""
        code, output = self.bridge("--config", config, "list", "--json", *arguments)
        assert code == 0, output
        lines = output.splitlines()
        talk = [line for line in lines if line.startswith("bridge: ")]
        return json.loads("\n".join(line for line in lines if line not in talk)), talk

    def configuration(self, name: str, more: str = "", **hosts: int) -> str:
        """Write a configuration with these hosts on loopback; returns its path."""
        tables = [
            f'[hosts.{host}]\naddress = "127.0.0.1"\nserial = {port}\n'
            for host, port in hosts.items()
        ]
        path = self.home / name
        path.write_text("".join(tables) + (more or NO_MULTICAST))
        return str(path)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    home = tmp_path_factory.mktemp("workshop")
    with ExitStack() as stack:
        ports = {}
        for name in ("laser", "mill"):
            settings = home / f"{name}.toml"
            settings.write_text(PORT_TABLE.format(id=name))
            service = serial_service(home, "--config", str(settings))
            _, target = stack.enter_context(service)
            ports[name] = int(target.rpartition(":")[2])
        yield Workshop(home, **ports)


@pytest.fixture
def both(workshop: Workshop) -> str:
    return workshop.configuration("both.toml", Laser=workshop.laser, Mill=workshop.mill)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def of(items: list[dict[str, Any]], *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(item[key] for key in keys) for item in items]


def test_all_known_hosts_are_listed_at_once(workshop: Workshop, both: str) -> None:
    ports, talk = workshop.listed(both)
    assert of(ports, "host", "id", "target", "kind") == [
        ("Laser", "laser", f"127.0.0.1:{workshop.laser}", "port"),
        ("Mill", "mill", f"127.0.0.1:{workshop.mill}", "port"),
    ]
    assert talk == []


def test_the_table_is_for_people(workshop: Workshop, both: str) -> None:
    code, output = workshop.bridge("--config", both, "list")
    assert code == 0
    heading, laser, mill = output.splitlines()
    assert heading.split()[:4] == ["HOST", "KIND", "ID", "STATE"]
    assert laser.split()[:3] == ["Laser", "port", "laser"]
    assert mill.endswith("the mill")


def test_a_dead_host_is_one_line(workshop: Workshop, closed_port: int) -> None:
    config = workshop.configuration("dead.toml", Dead=closed_port, Laser=workshop.laser)
    ports, talk = workshop.listed(config)
    assert of(ports, "id") == [("laser",)]
    (line,) = talk
    assert line.startswith(f"bridge: Dead: nothing listens at 127.0.0.1:{closed_port}")


def test_a_host_that_says_nothing_is_left_out_in_time(workshop: Workshop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        config = workshop.configuration("silent.toml", Silent=port, Laser=workshop.laser)
        ports, talk = workshop.listed(config, "--timeout", "3")
    assert of(ports, "id") == [("laser",)]
    (line,) = talk
    assert line.startswith("bridge: Silent")
    assert f"127.0.0.1:{port}" in line


def test_a_list_of_dead_hosts_only_is_a_failure(workshop: Workshop, closed_port: int) -> None:
    config = workshop.configuration("gone.toml", Gone=closed_port)
    code, output = workshop.bridge("--config", config, "list")
    assert code == 1
    assert len(output.splitlines()) == 1


def test_without_hosts_the_remedy_is_reported(workshop: Workshop) -> None:
    config = workshop.configuration("none.toml")
    code, output = workshop.bridge("--config", config, "list")
    assert code == 0
    assert output.startswith("bridge: no host is known: give --target HOST")


def test_a_single_host_can_be_listed(workshop: Workshop, both: str, closed_port: int) -> None:
    ports, _ = workshop.listed(both, "--target", f"127.0.0.1:{workshop.mill}")
    assert of(ports, "id") == [("mill",)]
    ports, _ = workshop.listed(both, "--target", "mill")
    assert of(ports, "host", "id") == [("mill", "mill")]
    code, output = workshop.bridge("list", "--target", f"127.0.0.1:{closed_port}")
    assert code == 1
    assert f"nothing listens at 127.0.0.1:{closed_port}" in output


def test_the_host_of_the_last_bridge_is_asked_too(workshop: Workshop) -> None:
    config = workshop.configuration("mill.toml")
    remembering = Path(config)
    remembering.write_text(remembering.read_text().replace("remember = false", "remember = true"))
    target = f"127.0.0.1:{workshop.laser}"
    with running(
        ["bridge", "--config", config, "--target", target, "--vcom", "COM7"], workshop.home
    ) as bridge:
        bridge.wait_for("ready: open")
        assert bridge.stop() == 0
    ports, _ = workshop.listed(config)
    assert of(ports, "host", "id") == [(target, "laser")]


def test_cameras_are_listed_beside_the_ports(workshop: Workshop) -> None:
    with camera_service(workshop.home) as (_, target):
        path = Path(workshop.configuration("camera.toml", Laser=workshop.laser))
        camera = f"camera = {target.rpartition(':')[2]}\n"
        path.write_text(path.read_text().replace("serial =", camera + "serial ="))
        found, talk = workshop.listed(str(path))
        assert of(found, "kind", "id", "target", "state")[1:] == [
            ("camera", "demo", target, "closed")
        ]
        assert of(found, "id")[0] == ("laser",)
        assert talk == []
        found, _ = workshop.listed(str(path), "--target", "laser", "--match", "kind=camera")
        assert of(found, "host", "id") == [("laser", "demo")]


def test_filters_choose_what_is_listed(workshop: Workshop, both: str) -> None:
    ports, _ = workshop.listed(both, "--match", "id=LAS*")
    assert of(ports, "id") == [("laser",)]
    ports, _ = workshop.listed(both, "--match", "host=mill", "--match", "profile=gr")
    assert of(ports, "id") == [("mill",)]
    ports, talk = workshop.listed(both, "--match", "host=mill", "--match", "id=laser")
    assert ports == []
    assert talk == ["bridge: nothing matches host=mill id=laser"]


def test_a_wrong_filter_is_bad_usage(workshop: Workshop) -> None:
    code, output = workshop.bridge("list", "--match", "vendor=1a86")
    assert code == 2
    assert "the keys are host, kind, id, vid, pid, usb, serial" in " ".join(output.split())


def test_a_bridge_joins_the_one_port_that_matches(workshop: Workshop, both: str) -> None:
    command = ["bridge", "--config", both, "--match", "id=mill", "--vcom", "COM8"]
    with running(command, workshop.home) as bridge:
        bridge.wait_for("ready: open")
        assert "connected to port 'mill'" in bridge.output
        ports, _ = workshop.listed(both, "--match", "holder=operator")
        assert of(ports, "id") == [("mill",)]
        ports, _ = workshop.listed(both, "--match", "holder=")
        assert of(ports, "id") == [("laser",)]
        assert bridge.stop() == 0


def test_a_bridge_refuses_to_guess_among_several(workshop: Workshop, both: str) -> None:
    command = ("--config", both, "--match", "profile=grbl", "--vcom", "COM9")
    code, output = workshop.bridge(*command)
    assert code == 1
    assert "2 ports match profile=grbl" in output
    assert "the laser" in output
    assert "the mill" in output
    with running(["bridge", *command, "--first"], workshop.home) as bridge:
        bridge.wait_for("ready: open")
        assert "connected to port 'laser'" in bridge.output
        assert bridge.stop() == 0


def test_a_bridge_without_a_match_lists_the_hosts_there_are(workshop: Workshop, both: str) -> None:
    command = ("--config", both, "--match", "vid=1a86", "--vcom", "COM9")
    code, output = workshop.bridge(*command)
    assert code == 1
    assert "no port matches vid=1a86; available:" in output
    assert "the laser" in output


def test_match_looks_only_at_the_target_that_is_given(workshop: Workshop, both: str) -> None:
    command = ["bridge", "--config", both, "--target", "Mill", "--match", "profile=grbl"]
    with running([*command, "--vcom", "COM6"], workshop.home) as bridge:
        bridge.wait_for("ready: open")
        assert "connected to port 'mill'" in bridge.output
        assert bridge.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--match", "id=mill", "--port", "mill"), "Give either '--match' or '--port'."),
        (("--first",), "give '--match' too"),
        (("--match", "id=mill", "list"), "Give '--match' after 'list'"),
    ],
)
def test_options_that_exclude_match_are_bad_usage(
    workshop: Workshop, arguments: tuple[str, ...], text: str
) -> None:
    code, output = workshop.bridge("--vcom", "COM9", *arguments)
    assert code == 2
    assert text in " ".join(output.split())


async def test_hosts_found_by_discovery_are_asked_and_foreign_ones_named(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USBSHARE_DISCOVERY_INTERFACES", "127.0.0.1")
    if not interfaces_up(["127.0.0.1"]):
        pytest.skip("loopback carries no multicast here")
    unique = uuid.uuid4().hex[:8]
    settings = DiscoveryTable()
    nodes = [
        MdnsNode(Catalogue(time.monotonic), SourceCounters(time.monotonic), settings) for _ in "ab"
    ]
    own, foreign = f"Own {unique}", f"Foreign {unique}"
    sites = (workshop.site, "ab" * 32)
    ports = (workshop.mill, workshop.laser)
    config = workshop.configuration("found.toml", "[bridge]\nremember = false\n")
    try:
        for node, name, site, port in zip(nodes, (own, foreign), sites, ports, strict=True):
            await node.start()
            endpoints = (Endpoint(Kind.SERIAL, port),)
            await node.announce(Instance(name, (), endpoints, site=site))
        found, talk = await asyncio.to_thread(workshop.listed, config, "--timeout", "8")
    finally:
        for node in nodes:
            await node.close()
    assert (own, "mill") in of(found, "host", "id")
    assert foreign not in {item["host"] for item in found}
    (line,) = (line for line in talk if foreign in line)
    assert "another site" in line


async def test_hosts_known_only_from_a_beacon_are_asked(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USBSHARE_DISCOVERY_INTERFACES", "127.0.0.1")
    if not interfaces_up(["127.0.0.1"]):
        pytest.skip("loopback carries no multicast here")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    table = f"[discovery]\nmdns = false\nbeacon_port = {port}\n[bridge]\nremember = false\n"
    config = workshop.configuration("beacon.toml", table)
    name = f"Beacon {uuid.uuid4().hex[:8]}"
    publisher = BeaconPublisher(SourceCounters(time.monotonic), DiscoveryTable(beacon_port=port))
    try:
        await publisher.start()
        endpoints = (Endpoint(Kind.SERIAL, workshop.mill),)
        publisher.announce(Instance(name, (), endpoints, site=workshop.site))
        found, _ = await asyncio.to_thread(workshop.listed, config, "--timeout", "8")
    finally:
        await publisher.close()
    assert of(found, "host", "id") == [(name, "mill")]
