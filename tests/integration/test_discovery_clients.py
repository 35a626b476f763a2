"""Our own clients of the discovery service: what registers services, and what asks for its view."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fakes.certificates import make_site
from fakes.discovery_served import QUIET, Served, serving
from fakes.processes import free_port
from fakes.waiting import until
from usbshare.authorization import gate as gate_module
from usbshare.client import announcement as announcing_module
from usbshare.client.announcement import Announcing, announcing
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import Endpoint, Instance, Kind, Observation, Source
from usbshare.hosts.settings import DiscoveryTable
from usbshare.hosts.via import discovery_service as via_module
from usbshare.hosts.via.discovery_service import ViaSource
from usbshare.rpc.channel import Target
from usbshare.rpc.identity import Identity
from usbshare.rpc.tls import ClientBundle
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.service import announce_ports
from usbshare.trust.site import Site

SERIAL = Endpoint(Kind.SERIAL, 50051)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
async def served(site: Site) -> AsyncIterator[Served]:
    async with serving(site) as made:
        yield made


# Registering


def offers_serial(served: Served) -> bool:
    return served.own.port_of(Kind.SERIAL) is not None


@asynccontextmanager
async def registering(target: Target, site: Site) -> AsyncIterator[Announcing]:
    made = Announcing(target, site, SERIAL)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE_S", "LONGEST_PAUSE_S", "RENEW_S"):
        monkeypatch.setattr(announcing_module, name, 0.05)


@pytest.mark.usefixtures("hasty")
async def test_a_service_of_ours_registers_itself_and_its_ports(served: Served) -> None:
    async with registering(served.target, served.site) as service:
        await until(lambda: offers_serial(served))
        service.has_ports(["laser", "mill"])
        await until(lambda: served.own.port_ids == ("laser", "mill"))
    await until(lambda: not offers_serial(served))


@pytest.mark.usefixtures("hasty")
async def test_a_service_of_ours_comes_back_with_the_discovery_service(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    port = free_port()
    where = f"by the discovery service at 127.0.0.1:{port}"
    told = [f"announced as 'own' {where}", f"no longer announced {where}"]

    def said() -> list[str]:
        return [each.message for each in caplog.records if each.name == announcing_module.__name__]

    async with registering(Target("127.0.0.1", port), site):
        async with serving(site, port) as served:
            await until(lambda: offers_serial(served) and said() == told[:1])
        await until(lambda: said() == told)
        async with serving(site, port) as again:
            await until(lambda: offers_serial(again) and said() == [*told, told[0]])
        await until(lambda: said() == told * 2)


@pytest.mark.usefixtures("hasty")
async def test_a_service_that_is_refused_says_so_once(
    served: Served, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    attempts: list[Identity] = []

    def stranger(*_: object) -> Identity:
        attempts.append(Identity("somebody", "192.0.2.9:1"))
        return attempts[-1]

    monkeypatch.setattr(gate_module, "peer_identity", stranger)
    async with registering(served.target, served.site):
        await until(lambda: len(attempts) >= 3)
    said = [each.message for each in caplog.records if each.name == announcing_module.__name__]
    assert len(said) == 1
    assert "only programs on this computer may announce" in said[0]


@pytest.mark.usefixtures("hasty")
async def test_a_port_that_is_plugged_in_is_reported_at_once(served: Served) -> None:
    registry = Registry(time.monotonic)
    registry.add(PortConfig("laser", "sim://grbl"))
    table = DiscoveryTable(listen=str(served.target), interfaces=["127.0.0.1"])
    told = announcing(table, served.site, "[::]:50051", Endpoint(Kind.SERIAL, 50051))
    telling = asyncio.create_task(announce_ports(told, registry))
    await until(lambda: served.own.port_ids == ("laser",))
    registry.add(PortConfig("mill", "sim://grbl"))
    await until(lambda: served.own.port_ids == ("laser", "mill"))
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    await registry.close()


@pytest.mark.parametrize(
    ("listen", "target"),
    [
        ("[::]:50053", "127.0.0.1:50053"),
        ("0.0.0.0:1", "127.0.0.1:1"),
        ("192.0.2.1", "192.0.2.1:50053"),
        ("[::1]:2", "[::1]:2"),
    ],
)
def test_the_discovery_service_is_asked_where_it_listens(
    site: Site, listen: str, target: str
) -> None:
    made = announcing(DiscoveryTable(listen=listen), site, "[::]:50051", SERIAL)
    assert made is not None
    assert str(made.target) == target


def test_a_service_on_loopback_only_is_not_registered(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert announcing(QUIET, None, "[::]:50051", SERIAL) is None
    monkeypatch.setattr("usbshare.hosts.reachability.interfaces_up", lambda _: [_Outward()])
    assert announcing(QUIET, site, "127.0.0.1:50051", SERIAL) is None
    assert announcing(QUIET, site, "[::]:50051", SERIAL) is not None


class _Outward:
    is_loopback = False


async def test_a_service_without_its_own_certificate_is_not_registered(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    site.host_bundle.unlink()
    async with serving(site) as served, registering(served.target, site):
        await until(lambda: "no certificate for this computer's services" in caplog.text)
        assert not offers_serial(served)


# Asking for another's view


class Asking:
    """What a source of another's view has told."""

    def __init__(self, target: Target, bundle: ClientBundle) -> None:
        self.catalogue = Catalogue(time.monotonic)
        self.source = ViaSource(target, bundle, self.catalogue)

    @property
    def names(self) -> list[str]:
        entries = self.catalogue.entries()
        assert all(each.sources == {Source.VIA} for each in entries)
        return [each.instance.name for each in entries]


@asynccontextmanager
async def asking(target: Target, site: Site) -> AsyncIterator[Asking]:
    made = Asking(target, ClientBundle.load(site.client_bundle))
    task = asyncio.create_task(made.source.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def hasty_via(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_PAUSE_S", "LONGEST_PAUSE_S"):
        monkeypatch.setattr(via_module, name, 0.05)


async def test_hosts_that_the_other_service_sees_are_seen_with_each_change(served: Served) -> None:
    served.observe("Laser", port_ids=("laser",), version="9", host="laser.local")
    async with asking(served.target, served.site) as asked:
        await until(lambda: asked.names == ["Laser", "own"])
        found = asked.catalogue.entries()[0].instance
        assert found == next(
            each.instance for each in served.finder.catalogue.entries() if each.instance == found
        )
        served.observe("Mill")
        await until(lambda: asked.names == ["Laser", "Mill", "own"])
        served.observe("Mill", port_ids=("mill",))
        await until(lambda: asked.catalogue.entries()[1].instance.port_ids == ("mill",))
        served.forget("Laser")
        await until(lambda: asked.names == ["Mill", "own"])


@pytest.mark.usefixtures("hasty_via")
async def test_a_discovery_service_is_asked_again_when_it_comes_back(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    port = free_port()
    async with asking(Target("127.0.0.1", port), site) as asked:
        async with serving(site, port) as served:
            served.observe("Laser")
            await until(lambda: asked.names == ["Laser", "own"])
        await until(lambda: "cannot query the discovery service" in caplog.text)
        assert asked.names == ["Laser", "own"]  # for a while
        async with serving(site, port) as served:
            served.observe("Mill")
            await until(lambda: asked.names == ["Mill", "own"])
    said = [each.message for each in caplog.records if each.name == via_module.__name__]
    assert f"the discovery service at 127.0.0.1:{port} answers again" in said


@pytest.mark.usefixtures("hasty_via")
async def test_reported_hosts_are_forgotten_when_their_reporter_stays_away(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(via_module, "KEEP_S", 0.2)
    port = free_port()
    async with asking(Target("127.0.0.1", port), site) as asked:
        async with serving(site, port):
            await until(lambda: asked.names == ["own"])
        await until(lambda: asked.names == [])


async def test_addresses_mean_the_same_here_as_there(served: Served) -> None:
    addresses = ("192.0.2.7", "fe80::1%eth0", "mill.lan", "127.0.0.1")
    told = Instance("Laser", addresses, (SERIAL,))
    served.finder.catalogue.observe(Observation(Source.MDNS, "Laser", told))
    async with asking(served.target, served.site) as asked:
        await until(lambda: asked.names == ["Laser", "own"])
        laser, own = (each.instance for each in asked.catalogue.entries())
        assert set(laser.addresses) == {"192.0.2.7", "mill.lan", "127.0.0.1"}
        assert own.addresses == ("127.0.0.1",)
