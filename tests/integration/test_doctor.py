"""Verdicts of `bridge doctor` against real servers and certificates, one thing broken at a time."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from fakes.certificates import (
    CLIENT,
    SERVER,
    Issued,
    issue,
    make_site,
    serving,
    write_bundle,
    write_site,
)
from fakes.gates import gate_of
from usbshare.base.checkup import Judgement, Verdict, examine, fine
from usbshare.base.errors import PermissionDeniedError
from usbshare.bridge.checkup import target_name
from usbshare.bridge.checkup.context import Subject
from usbshare.bridge.checkup.steps import steps
from usbshare.bridge.commands.options import Wanted
from usbshare.bridge.defaults import Defaults
from usbshare.bridge.settings import Settings
from usbshare.client.serial.client import SerialClient
from usbshare.hosts.host_selection import ambiguous
from usbshare.hosts.instance import Endpoint, Entry, Instance, Kind
from usbshare.hosts.settings import DiscoveryTable, HostTable
from usbshare.rpc.channel import Target, parse_target
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import ClientBundle, server_credentials
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import add_SerialServiceServicer_to_server
from usbshare.serial_svc.api.servicer import SERVICE_NAME, Context, SerialServicer
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.registry import Registry
from usbshare.trust.site import Site

SILENT = DiscoveryTable(mdns=False, beacon=False)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("USBSHARE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USBSHARE_CONFIG", "")
    monkeypatch.setenv("USBSHARE_DISCOVERY_INTERFACES", "127.0.0.1")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o700)
    return tmp_path


class Host:
    """A running service, whose registry and health a test may change."""

    def __init__(
        self, server: grpc.aio.Server, registry: Registry, health: Any, site: Site, port: int
    ) -> None:
        self.server = server
        self.registry = registry
        self.health = health
        self.site = site
        self.target = f"127.0.0.1:{port}"


@asynccontextmanager
async def host_of(
    site: Site, make_servicer: type[SerialServicer] = SerialServicer
) -> AsyncIterator[Host]:
    """Run a serial service with one simulated port, `laser`."""
    registry = Registry(time.monotonic)
    registry.add(PortConfig("laser", "sim://grbl"))
    server = make_server()
    add_SerialServiceServicer_to_server(make_servicer(registry, gate_of(site)), server)
    health = await add_standard_services(server, [SERVICE_NAME])
    port = bind(server, "127.0.0.1:0", server_credentials(site))
    await server.start()
    try:
        yield Host(server, registry, health, site, port)
    finally:
        await registry.close()
        await server.stop(None)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path / "host")


@pytest.fixture
async def host(site: Site) -> AsyncIterator[Host]:
    async with host_of(site) as running:
        yield running


def subject_of(
    target: str, bundle: Path, port_id: str = "", settings: Settings | None = None
) -> Subject:
    wishes = Wanted(target, True, bundle, False, Defaults(None, lambda _: None))
    settings = settings or Settings(discovery=SILENT)
    return Subject(wishes, settings, fine("none"), port_id)


async def judged(subject: Subject) -> dict[str, Judgement]:
    try:
        return {check.name: check.judgement async for check in examine(list(steps(subject)))}
    finally:
        await subject.close()


async def judged_at(
    target: str, bundle: Path, port_id: str = "", settings: Settings | None = None
) -> dict[str, Judgement]:
    return await judged(subject_of(target, bundle, port_id, settings))


def broken(judgements: dict[str, Judgement]) -> list[str]:
    """Return the names of the checks that failed."""
    return [name for name, each in judgements.items() if each.verdict is Verdict.FAILURE]


def skipped(judgements: dict[str, Judgement]) -> list[str]:
    return [name for name, each in judgements.items() if each.verdict is Verdict.SKIPPED]


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen as some other program, which does the same to everybody; yields the port."""

    def take() -> None:
        with suppress(OSError):
            while True:
                answer(server.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=take)
        thread.start()
        try:
            yield int(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


async def test_a_healthy_host_passes_every_check(host: Host) -> None:
    found = await judged_at(host.target, host.site.client_bundle)
    timed = [found.pop(name) for name in ("multicast", "round trip", "job rate")]
    assert {each.verdict for each in found.values()} == {Verdict.OK}, found
    # A computer that is busy with other tests may be slow.
    assert {each.verdict for each in timed} <= {Verdict.OK, Verdict.WARNING}, timed


async def test_the_checks_come_in_their_order(host: Host) -> None:
    found = await judged_at(host.target, host.site.client_bundle)
    assert list(found) == [
        "configuration",
        "client certificate",
        "certificate chain",
        "private key",
        "name resolution",
        "multicast",
        "TCP",
        "TLS handshake",
        "health",
        "rights",
        "job-svc",
        "clocks",
        "port",
        "line settings",
        "round trip",
        "job rate",
        "virtual port",
    ]


async def test_the_doctor_opens_no_device(host: Host) -> None:
    await judged_at(host.target, host.site.client_bundle)
    assert not host.registry.get("laser").line.is_open


# This computer's certificate.


async def test_a_missing_certificate(host: Host, tmp_path: Path) -> None:
    found = await judged_at(host.target, tmp_path / "none.pem")
    assert broken(found) == ["client certificate"]
    assert "there is no client certificate at" in found["client certificate"].measured
    assert found["TCP"].verdict is Verdict.OK
    assert found["TLS handshake"].measured == "because of: client certificate"


@pytest.mark.parametrize(
    ("from_days", "to_days", "words"),
    [(-100, -1, "expired on"), (2, 90, "is valid only from")],
    ids=["expired", "not valid yet"],
)
async def test_a_certificate_out_of_its_dates(
    host: Host, tmp_path: Path, from_days: float, to_days: float, words: str
) -> None:
    ca = issue(name="ca")
    client = issue(ca, usage=CLIENT, from_days=from_days, to_days=to_days)
    found = await judged_at(host.target, write_bundle(tmp_path / "c.pem", client, ca))
    assert broken(found) == ["client certificate"]
    assert words in found["client certificate"].measured


async def test_a_certificate_near_its_end_is_warned_of(tmp_path: Path) -> None:
    ca = issue(name="ca")
    server = issue(ca, usage=SERVER, names=["127.0.0.1"])
    site = write_site(tmp_path / "host", ca, server)
    client = issue(ca, usage=CLIENT, names=[site.operator_uri], from_days=-85, to_days=5)
    bundle = write_bundle(tmp_path / "c.pem", client, ca)
    async with host_of(site) as host:
        found = await judged_at(host.target, bundle)
    assert broken(found) == []
    assert found["client certificate"].verdict is Verdict.WARNING
    assert found["client certificate"].measured.endswith("4 days left")


async def test_a_certificate_of_another_site_than_its_ca(host: Host, tmp_path: Path) -> None:
    ca_pem = host.site.ca_certificate.read_bytes()
    client = issue(issue(name="other"), usage=CLIENT)
    path = write_bundle(tmp_path / "c.pem", client)
    path.write_bytes(path.read_bytes() + ca_pem)
    found = await judged_at(host.target, path)
    assert broken(found) == ["certificate chain", "TLS handshake"]
    assert (
        "belongs to another site than the CA certificate in it"
        in found["certificate chain"].measured
    )
    assert found["TLS handshake"].measured.startswith("refused by the host: ")


async def test_a_private_key_that_others_may_read(host: Host) -> None:
    host.site.client_bundle.chmod(0o644)
    found = await judged_at(host.target, host.site.client_bundle)
    assert broken(found) == []
    assert found["private key"].verdict is Verdict.WARNING
    assert found["private key"].remedy == f"run `chmod 600 {host.site.client_bundle}`"


# The name.


async def test_no_target_at_all(site: Site) -> None:
    found = await judged_at("", site.client_bundle)
    assert broken(found) == ["name resolution"]
    assert "no target is given" in found["name resolution"].measured
    assert found["virtual port"].verdict is Verdict.OK


async def test_a_name_that_no_host_has(site: Site) -> None:
    found = await judged_at("nobody-has-this", site.client_bundle)
    assert broken(found) == ["name resolution"]
    assert "no host is called 'nobody-has-this'" in found["name resolution"].measured
    assert found["TCP"].measured == "because of: name resolution"


async def test_a_name_with_a_port_that_dns_does_not_know(site: Site) -> None:
    found = await judged_at("nobody.invalid:50051", site.client_bundle)
    assert broken(found) == ["name resolution"]
    assert found["name resolution"].measured == "DNS does not know the name 'nobody.invalid'"


async def test_a_name_that_only_discovery_may_know_needs_the_certificate(tmp_path: Path) -> None:
    found = await judged_at("Laser Workshop", tmp_path / "none.pem")
    assert broken(found) == ["client certificate"]
    assert found["name resolution"].measured == "because of: client certificate"


async def test_a_name_that_several_have(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [
        Entry(address, Instance("Laser", (address,), (Endpoint(Kind.SERIAL, 50051),)))
        for address in ("192.0.2.1", "192.0.2.9")
    ]

    async def found_twice(*_: object) -> Target:
        raise ambiguous("Laser", entries, "")

    monkeypatch.setattr(target_name, "resolve", found_twice)
    found = await judged_at("Laser", site.client_bundle)
    assert broken(found) == ["name resolution"]
    assert found["name resolution"].measured == "2 hosts are called 'Laser'"
    assert "192.0.2.9:50051" in found["name resolution"].remedy


async def test_a_name_that_is_known_from_last_time_only(host: Host, home: Path) -> None:
    last = {"target": host.target, "name": "nobody-has-this", "tls_name": "localhost"}
    state = home / "home" / "state"
    state.mkdir(parents=True)
    (state / "bridge.json").write_text(json.dumps(last))
    subject = subject_of("nobody-has-this", host.site.client_bundle)
    wishes = subject.wishes
    subject.wishes = Wanted(wishes.target, False, wishes.bundle, False, wishes.defaults)
    found = await judged(subject)
    assert broken(found) == []
    assert found["name resolution"].verdict is Verdict.WARNING
    assert f"using {host.target}, its last known address" in found["name resolution"].measured


async def test_a_name_of_the_configuration_is_reported_as_such(host: Host) -> None:
    port = int(host.target.rpartition(":")[2])
    hosts = {"Workshop": HostTable(address="127.0.0.1", serial=port)}
    settings = Settings(discovery=SILENT, hosts=hosts)
    found = await judged_at("workshop", host.site.client_bundle, settings=settings)
    assert broken(found) == []
    assert found["name resolution"].measured == f"workshop: {host.target}, by [hosts]"


async def test_a_name_in_dns_is_reported_with_its_addresses(host: Host) -> None:
    port = host.target.rpartition(":")[2]
    found = await judged_at(f"localhost:{port}", host.site.client_bundle)
    assert found["name resolution"].measured.startswith(f"localhost:{port}, by DNS (")
    assert "127.0.0.1" in found["name resolution"].measured


# TCP and TLS.


async def test_a_target_at_which_nothing_listens_is_reported(site: Site) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{reserved.getsockname()[1]}"
        found = await judged_at(target, site.client_bundle)
    assert broken(found) == ["TCP"]
    assert found["TCP"].measured == f"nothing listens at {target}"
    assert "is the service running" in found["TCP"].remedy
    assert "TLS handshake" in skipped(found)


async def test_this_side_refuses_a_host_of_another_site(host: Host, tmp_path: Path) -> None:
    other = make_site(tmp_path / "other")
    found = await judged_at(host.target, other.client_bundle)
    assert broken(found) == ["TLS handshake"]
    assert found["TLS handshake"].measured.startswith("refused by this side: ")
    assert "belong to different sites" in found["TLS handshake"].measured
    assert "have the host invite this computer" in found["TLS handshake"].remedy


async def test_the_host_refuses_a_client_of_another_site(tmp_path: Path) -> None:
    ca, other = issue(name="ca"), issue(name="other")
    site = write_site(tmp_path / "host", other, issue(ca, usage=SERVER, names=["127.0.0.1"]))
    bundle = write_bundle(tmp_path / "c.pem", issue(ca, usage=CLIENT), ca)
    async with host_of(site) as host:
        found = await judged_at(host.target, bundle)
    assert broken(found) == ["TLS handshake"]
    assert found["TLS handshake"].measured.startswith("refused by the host: ")


async def test_a_certificate_for_other_names(tmp_path: Path) -> None:
    ca = issue(name="ca")
    site = write_site(tmp_path / "host", ca, issue(ca, usage=SERVER, names=["laser.local"]))
    bundle = write_bundle(tmp_path / "c.pem", issue(ca, usage=CLIENT), ca)
    async with host_of(site) as host:
        found = await judged_at(host.target, bundle)
    assert broken(found) == ["TLS handshake"]
    assert "is not for '127.0.0.1' but for laser.local" in found["TLS handshake"].measured


async def test_a_service_without_tls(site: Site) -> None:
    async with serving(None) as port:
        found = await judged_at(f"127.0.0.1:{port}", site.client_bundle)
    assert broken(found) == ["TLS handshake"]
    assert "speaks plaintext" in found["TLS handshake"].measured


async def test_another_program_at_the_port(site: Site) -> None:
    def hello(connection: socket.socket) -> None:
        with connection:
            connection.sendall(b"220 hello\r\n")

    with listening(hello) as port:
        found = await judged_at(f"127.0.0.1:{port}", site.client_bundle)
    assert broken(found) == ["TLS handshake"]
    assert "is not usbshare" in found["TLS handshake"].measured


async def test_without_tls_it_is_warned_of() -> None:
    registry = Registry(time.monotonic)
    registry.add(PortConfig("laser", "sim://grbl"))
    server = make_server()
    add_SerialServiceServicer_to_server(SerialServicer(registry, gate_of(None)), server)
    await add_standard_services(server, [SERVICE_NAME])
    port = bind(server, "127.0.0.1:0", None)
    await server.start()
    subject = subject_of(f"127.0.0.1:{port}", Path("none.pem"))
    wishes = subject.wishes
    subject.wishes = Wanted(wishes.target, True, None, True, wishes.defaults)
    found = await judged(subject)
    await server.stop(None)
    assert broken(found) == []
    assert found["client certificate"].verdict is Verdict.WARNING
    assert found["TLS handshake"].measured.startswith("plaintext, as requested")


# Clocks.


@pytest.mark.parametrize(
    ("from_days", "to_days", "words"),
    [
        (2, 90, "the host's certificate begins"),
        (-90, -3, "the host's certificate ended 3.0 days before now"),
    ],
    ids=["not valid yet", "expired"],
)
async def test_a_clock_by_which_the_hosts_certificate_is_not_valid(
    tmp_path: Path, from_days: float, to_days: float, words: str
) -> None:
    ca = issue(name="ca")
    server: Issued = issue(
        ca, usage=SERVER, names=["127.0.0.1"], from_days=from_days, to_days=to_days
    )
    site = write_site(tmp_path / "host", ca, server)
    bundle = write_bundle(tmp_path / "c.pem", issue(ca, usage=CLIENT), ca)
    async with host_of(site) as host:
        found = await judged_at(host.target, bundle)
    assert broken(found) == ["TLS handshake"]
    assert found["TLS handshake"].measured.startswith(f"refused by this side: {words}")
    assert "set the clock" in found["TLS handshake"].remedy
    assert found["clocks"].measured == "because of: TLS handshake"


class Fast(SerialServicer):
    """A host whose clock is an hour ahead."""

    async def WatchStats(
        self, request: pb.WatchStatsRequest, context: Context
    ) -> AsyncIterator[pb.WatchStatsResponse]:
        async for stats in super().WatchStats(request, context):
            stats.time.seconds += 3600
            yield stats


async def test_a_host_whose_clock_is_wrong(site: Site) -> None:
    async with host_of(site, Fast) as host:
        found = await judged_at(host.target, host.site.client_bundle)
    assert broken(found) == []
    assert found["clocks"].verdict is Verdict.WARNING
    assert "60.0 minutes ahead of" in found["clocks"].measured


# The service.


async def test_a_service_that_is_stopping(host: Host) -> None:
    await host.health.set(SERVICE_NAME, health_pb2.HealthCheckResponse.NOT_SERVING)
    found = await judged_at(host.target, host.site.client_bundle)
    assert broken(found) == ["health"]
    assert found["health"].measured == "serial NOT_SERVING"


async def test_a_server_of_the_site_without_serial_ports(site: Site) -> None:
    async with serving(site) as port:
        found = await judged_at(f"127.0.0.1:{port}", site.client_bundle)
    assert broken(found) == ["health"]
    where = f"a program other than serial-svc listens at 127.0.0.1:{port}"
    assert found["health"].measured == where
    for name in ("rights", "clocks"):
        assert found[name].measured == "because of: health"


async def test_another_service_of_the_host_that_does_not_answer(host: Host) -> None:
    port = int(host.target.rpartition(":")[2])
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        silent = reserved.getsockname()[1]
        hosts = {"workshop": HostTable(address="127.0.0.1", serial=port, camera=silent)}
        # Hosts are gathered while multicast is listened to, so that must be on.
        table = DiscoveryTable(mdns=False, beacon_port=free_udp_port())
        settings = Settings(discovery=table, hosts=hosts)
        found = await judged_at("workshop", host.site.client_bundle, settings=settings)
    assert broken(found) == []
    assert found["health"].verdict is Verdict.WARNING
    assert found["health"].measured == (
        f"serial SERVING, camera silent (nothing listens at 127.0.0.1:{silent})"
    )


async def test_a_beacon_without_an_owner_is_warned_about(host: Host) -> None:
    table = DiscoveryTable(mdns=False, beacon_port=free_udp_port())
    found = await judged_at(
        host.target, host.site.client_bundle, settings=Settings(discovery=table)
    )
    assert broken(found) == []
    assert found["multicast"].measured == "nothing heard within 2 s"


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Closed(SerialServicer):
    """A host that lets nobody see its ports."""

    async def ListPorts(
        self, request: pb.ListPortsRequest, context: Context
    ) -> pb.ListPortsResponse:
        raise PermissionDeniedError("operator may not view any port")


async def test_a_certificate_without_rights(site: Site) -> None:
    async with host_of(site, Closed) as host:
        found = await judged_at(host.target, host.site.client_bundle)
    assert broken(found) == ["rights"]
    assert "operator may not view any port" in found["rights"].measured
    assert found["port"].measured == "because of: rights"
    assert found["round trip"].verdict is Verdict.OK


class ShutOut(SerialServicer):
    """A host that wants nothing to do with the certificate."""

    _REFUSAL = "the certificate of operator is revoked: enrol this computer anew"

    async def ListPorts(
        self, request: pb.ListPortsRequest, context: Context
    ) -> pb.ListPortsResponse:
        raise PermissionDeniedError(self._REFUSAL)

    async def WatchStats(
        self, request: pb.WatchStatsRequest, context: Context
    ) -> AsyncIterator[pb.WatchStatsResponse]:
        if request.IsInitialized():
            raise PermissionDeniedError(self._REFUSAL)
        yield pb.WatchStatsResponse()


async def test_a_revoked_certificate_is_reported_once(site: Site) -> None:
    async with host_of(site, ShutOut) as host:
        found = await judged_at(host.target, host.site.client_bundle)
    assert broken(found) == ["rights"]
    assert found["rights"].measured == "the certificate of operator is revoked"
    assert found["rights"].remedy == "enrol this computer anew"
    assert found["clocks"].measured == "because of: rights"


# The port.


async def test_a_port_that_is_not_there(host: Host) -> None:
    found = await judged_at(host.target, host.site.client_bundle, "lathe")
    assert broken(found) == ["port"]
    assert found["port"].measured == "no port 'lathe' here; available: laser"
    assert found["line settings"].measured == "because of: port"


async def test_several_ports_without_a_choice(host: Host) -> None:
    host.registry.add(PortConfig("mill", "sim://grbl"))
    found = await judged_at(host.target, host.site.client_bundle)
    assert broken(found) == ["port"]
    assert found["port"].measured == "the host has several ports: laser, mill"
    assert broken(await judged_at(host.target, host.site.client_bundle, "mill")) == []


async def test_an_absent_device(host: Host, tmp_path: Path) -> None:
    port = host.registry.add(PortConfig("gone", f"{tmp_path}/ttyUSB0"))
    port.line.noticed(present=False)
    found = await judged_at(host.target, host.site.client_bundle, "gone")
    assert broken(found) == ["port"]
    assert found["port"].measured == "port 'gone' is absent (not plugged in)"


async def test_a_latched_port(host: Host) -> None:
    host.registry.get("laser").line.latch.set("ann", "smoke")
    found = await judged_at(host.target, host.site.client_bundle)
    assert broken(found) == ["port"]
    assert "is latched by an emergency stop" in found["port"].measured


@asynccontextmanager
async def held_by(host: Host, client_name: str) -> AsyncIterator[None]:
    """Hold the port as a bridge of that name does."""
    client = SerialClient(parse_target(host.target), ClientBundle.load(host.site.client_bundle))
    stream = await client.open_session("laser", name=client_name)
    await stream.receive()
    try:
        yield
    finally:
        stream.cancel()
        await client.close()


async def test_a_port_that_another_computer_holds(host: Host) -> None:
    async with held_by(host, "bridge ann@pc"):
        found = await judged_at(host.target, host.site.client_bundle)
    assert broken(found) == ["port"]
    assert "(bridge ann@pc)" in found["port"].measured


async def test_a_port_that_the_bridge_here_holds(host: Host) -> None:
    subject = subject_of(host.target, host.site.client_bundle)
    subject.own_client_name = "bridge me@pc"
    async with held_by(host, "bridge me@pc"):
        found = await judged(subject)
    assert broken(found) == []
    assert found["port"].verdict is Verdict.WARNING


async def test_a_service_that_ends_in_the_midst_of_the_checks(host: Host) -> None:
    subject = subject_of(host.target, host.site.client_bundle)
    found: dict[str, Judgement] = {}
    async for check in examine(list(steps(subject))):
        found[check.name] = check.judgement
        if check.name == "health":
            await host.server.stop(None)
    await subject.close()
    assert broken(found) == ["rights"]
    assert found["rights"].measured == f"nothing listens at {host.target}"
    assert found["port"].measured == "because of: rights"
