"""What the network is told of this host, and in what order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fakes.clock import FakeClock
from fakes.waiting import until
from usbshare.discovery_svc import announcer as module
from usbshare.discovery_svc.announcer import Announcer
from usbshare.discovery_svc.registrations import Offer
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import Endpoint, Instance, Kind, Source
from usbshare.hosts.interfaces import Interface

DISCOVERY = Endpoint(Kind.DISCOVERY, 50053)
SERIAL = Endpoint(Kind.SERIAL, 50051)
OWN = Instance("laser", (), (DISCOVERY,), host="laser.local")


class Network:
    """Takes what is told by either way; names in `taken` are somebody else's."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, tuple[Endpoint, ...]]] = []
        self.taken: set[str] = set()


class FakeMdns:
    def __init__(self, network: Network) -> None:
        self._network = network
        self.name = ""
        self.is_free: asyncio.Event | None = None

    async def announce(self, instance: Instance) -> str:
        if self.is_free is not None:
            await self.is_free.wait()
        self.name = instance.name
        while self.name in self._network.taken:
            self.name += "'"
        self._network.told.append(("mdns", self.name, instance.endpoints))
        return self.name

    async def withdraw(self) -> None:
        self.name = ""
        self._network.told.append(("mdns", "", ()))


class FakeBeacon:
    def __init__(self, network: Network) -> None:
        self._network = network
        self._is_started = False

    async def start(self) -> None:
        self._is_started = True

    def announce(self, instance: Instance) -> None:
        assert self._is_started
        self._network.told.append(("beacon", instance.name, instance.endpoints))

    async def close(self) -> None:
        self._is_started = False
        self._network.told.append(("beacon", "", ()))


class Rig:
    """An announcer of a host with one address, and what became of its words."""

    def __init__(self, own: Instance = OWN) -> None:
        self.network = Network()
        self.mdns, self.beacon = FakeMdns(self.network), FakeBeacon(self.network)
        self.catalogue = Catalogue(FakeClock())
        self.announcer = Announcer(own, [], self.catalogue)

    @property
    def own(self) -> Instance:
        (entry,) = self.catalogue.entries()
        assert entry.sources == {Source.LOCAL}
        return entry.instance

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.announcer.start()
        task = asyncio.create_task(self.announcer.run(self.mdns, self.beacon))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def heard(self, name: str, *endpoints: Endpoint) -> None:
        """Return once this is what every way told last."""
        await until(lambda: self.last == dict.fromkeys(("beacon", "mdns"), (name, endpoints)))

    @property
    def last(self) -> dict[str, tuple[str, tuple[Endpoint, ...]]]:
        return {way: (name, endpoints) for way, name, endpoints in self.network.told}


@pytest.fixture(autouse=True)
def interfaces(monkeypatch: pytest.MonkeyPatch) -> list[Interface]:
    found = [Interface("eth0", 2, ("192.0.2.1",), ("fe80::1%eth0",))]
    monkeypatch.setattr(module, "interfaces_up", lambda _: found)
    return found


async def test_this_host_is_announced_at_once_and_withdrawn_at_the_end() -> None:
    rig = Rig()
    async with rig.running():
        await rig.heard("laser", DISCOVERY)
        assert rig.own.addresses == ("192.0.2.1", "fe80::1%eth0")
    await rig.heard("")


async def test_a_registered_service_is_reported() -> None:
    rig = Rig()
    async with rig.running():
        await rig.heard("laser", DISCOVERY)
        rig.announcer.offered(Offer((SERIAL,), ("mill",)))
        both = (SERIAL, DISCOVERY)
        await rig.heard("laser", *both)
        assert (rig.own.endpoints, rig.own.port_ids) == (both, ("mill",))
        rig.announcer.offered(Offer())
        await rig.heard("laser", DISCOVERY)


async def test_the_services_own_port_is_reported_and_no_other() -> None:
    rig = Rig()
    async with rig.running():
        rig.announcer.offered(Offer((Endpoint(Kind.DISCOVERY, 1), SERIAL)))
        await rig.heard("laser", SERIAL, DISCOVERY)


async def test_under_another_name_where_its_own_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig()
    rig.network.taken = {"laser"}
    async with rig.running():
        await rig.heard("laser'", DISCOVERY)
        assert rig.announcer.name == rig.own.name == "laser'"
    assert "the name 'laser' is taken: announced as \"laser'\"" in caplog.text


async def test_a_name_that_is_lost_later_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.01)
    rig = Rig()
    async with rig.running():
        await rig.heard("laser", DISCOVERY)
        rig.network.taken = {"laser"}
        rig.mdns.name = "laser'"
        await rig.heard("laser'", DISCOVERY)
        assert rig.own.name == "laser'"


async def test_changes_of_its_addresses_are_announced(
    monkeypatch: pytest.MonkeyPatch, interfaces: list[Interface]
) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.01)
    rig = Rig()
    async with rig.running():
        await rig.heard("laser", DISCOVERY)
        interfaces[:] = [Interface("eth1", 3, ("192.0.2.9",), ())]
        await until(lambda: rig.own.addresses == ("192.0.2.9",))
        await until(lambda: len(rig.network.told) == 4)  # told again by both


async def test_a_host_that_no_client_could_use_is_not_announced() -> None:
    rig = Rig(Instance("laser", (), ()))
    async with rig.running():
        assert rig.own.addresses
        assert rig.network.told == []
        rig.announcer.offered(Offer((SERIAL,)))
        await rig.heard("laser", SERIAL)
        rig.announcer.offered(Offer())
        await rig.heard("")
        rig.announcer.offered(Offer((SERIAL,)))
        await rig.heard("laser", SERIAL)


async def test_beacon_and_own_clients_do_not_wait_for_multicast_dns() -> None:
    rig = Rig()
    rig.mdns.is_free = asyncio.Event()
    async with rig.running():
        await until(lambda: "beacon" in rig.last)
        rig.announcer.offered(Offer((SERIAL,)))
        both = (SERIAL, DISCOVERY)
        await until(lambda: rig.last == {"beacon": ("laser", both)})
        assert rig.own.endpoints == both
        rig.mdns.is_free.set()
        await rig.heard("laser", *both)


async def test_mdns_and_beacons_work_without_each_other() -> None:
    rig = Rig()
    without = [Announcer(OWN, [], rig.catalogue) for _ in range(3)]
    tasks = [
        asyncio.create_task(without[0].run(rig.mdns, None)),
        asyncio.create_task(without[1].run(None, rig.beacon)),
        asyncio.create_task(without[2].run(None, None)),
    ]
    await until(lambda: {each[0] for each in rig.network.told} == {"mdns", "beacon"})
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
