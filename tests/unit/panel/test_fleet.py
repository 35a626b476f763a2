"""Which hosts there are under which keys, as discovery sees them come, change and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes.certificates import make_site
from fakes.clock import FakeClock
from usbshare.base.errors import ConnectionRefusedByPeerError, InvalidArgumentError, NotFoundError
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import Endpoint, Instance, Kind, Observation, Source
from usbshare.hosts.places import Place
from usbshare.panel.api.camera_calls import CameraCalls
from usbshare.panel.api.job_calls import JobCalls
from usbshare.panel.api.serial_calls import SerialCalls
from usbshare.panel.board import HOSTS, Board
from usbshare.panel.cameras.camera_follower import CameraFollower
from usbshare.panel.hosts.fleet import KEPT_S, MOST_HOSTS, Fleet
from usbshare.panel.hosts.host import Host, HostView, Relation
from usbshare.panel.jobs.job_follower import JobFollower
from usbshare.panel.machines.machines import Machines
from usbshare.panel.machines.serial_follower import SerialFollower
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

FOREIGN = "f" * 64
NOWHERE = "192.0.2.1"


@dataclass
class Nobody:
    """Liveness that nobody needs here."""

    def use(self, bundle: ClientBundle) -> None:
        """Take no note."""


@dataclass
class Network:
    """Discovery that reports what a test says."""

    catalogue: Catalogue
    liveness: Nobody = field(default_factory=Nobody)

    def start_liveness(self) -> None:
        """Prove nothing."""

    places: dict[str, Place] = field(default_factory=dict)

    async def look(self, targets: Sequence[Target], _: ClientBundle | None) -> Place:
        """Return what is to be seen at the first of these targets."""
        return self.places.get(targets[0].host, Place())

    def configures(self, name: str, address: str) -> None:
        instance = Instance(name, (address,), (Endpoint(Kind.SERIAL, 50051),))
        self.catalogue.observe(Observation(Source.STATIC, name, instance))

    def sees(self, name: str, *, site: str = "", address: str = NOWHERE, port: int = 50051) -> None:
        instance = Instance(name, (address,), (Endpoint(Kind.SERIAL, port),), site=site)
        self.catalogue.observe(Observation(Source.MDNS, f"{name}-{site}", instance))

    def loses(self, name: str, *, site: str = "") -> None:
        self.catalogue.forget(Source.MDNS, f"{name}-{site}")


class IdleSerial(SerialFollower):
    async def run_once(self, *_: object) -> None:
        await asyncio.Event().wait()


class IdleCamera(CameraFollower):
    async def run_once(self, *_: object) -> None:
        await asyncio.Event().wait()


class IdleJob(JobFollower):
    async def run_once(self, *_: object) -> None:
        await asyncio.Event().wait()


class Followers:
    """Followers that connect to nobody."""

    def __init__(self, board: Board, machines: Machines) -> None:
        self._board = board
        self._machines = machines

    def serial(self, host: Host) -> SerialFollower:
        return IdleSerial(host.key, SerialCalls, self._machines, host, self._board.watched)

    def camera(self, host: Host, connected: Callable[[Target], None]) -> CameraFollower:
        return IdleCamera(host.key, CameraCalls, self._board, lambda *_: "", connected)

    def job(self, host: Host, connected: Callable[[Target], None]) -> JobFollower:
        return IdleJob(host.key, JobCalls, self._board, lambda *_: "", connected)


@dataclass
class Rig:
    """A fleet and what it sees."""

    fleet: Fleet
    network: Network
    board: Board
    clock: FakeClock
    site: str
    views: dict[str, HostView]

    async def settled(self) -> set[str]:
        """Return the keys that are shown once the fleet has looked."""
        for _ in range(5):
            await asyncio.sleep(0)
        return {key for (key,) in self.board._things[HOSTS]}


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    clock, board = FakeClock(), Board()
    bundle = ClientBundle.load(make_site(tmp_path).client_bundle)
    machines = Machines(board, lambda _: "{}")
    views: dict[str, HostView] = {}

    def pack(view: HostView) -> str:
        views[view.key] = view
        return f'"{view.key} {view.relation.value}"'

    network = Network(Catalogue(clock))
    fleet = Fleet(
        board,
        machines,
        Followers(board, machines),
        pack,
        in_plaintext=False,
        look=network.look,
    )

    @asynccontextmanager
    async def finder(_: ClientBundle | None) -> AsyncIterator[Network]:
        yield network

    async with fleet.running(finder, bundle, ()):  # type: ignore[arg-type]  # a fake of liveness
        yield Rig(fleet, network, board, clock, bundle.site, views)


async def test_own_hosts_are_asked_and_foreign_ones_only_shown(rig: Rig) -> None:
    rig.network.sees("laser", site=rig.site)
    rig.network.sees("stranger", site=FOREIGN)
    rig.network.sees("mute")
    assert await rig.settled() == {"laser", f"stranger@{FOREIGN[:12]}", "mute"}
    assert rig.fleet.followed("laser")
    assert rig.views[f"stranger@{FOREIGN[:12]}"].relation is Relation.FOREIGN
    with pytest.raises(ConnectionRefusedByPeerError, match="to this computer's site"):
        rig.fleet.followed("mute")
    with pytest.raises(NotFoundError):
        rig.fleet.get("nobody")


async def test_a_foreign_namesake_never_gets_the_key_of_ours(rig: Rig) -> None:
    rig.network.sees("laser", site=FOREIGN)
    rig.network.sees("laser", site=rig.site)
    keys = await rig.settled()
    assert keys == {"laser", f"laser@{FOREIGN[:12]}"}
    assert rig.fleet.get("laser").relation is Relation.OWN


async def test_a_host_that_comes_back_has_its_key_again(rig: Rig) -> None:
    rig.network.sees("laser", site=rig.site)
    await rig.settled()
    host = rig.fleet.get("laser")
    host.was_connected = True
    rig.network.loses("laser", site=rig.site)
    assert "laser" in await rig.settled()  # a link may stand though nobody announces it
    rig.network.sees("laser", site=rig.site, address="192.0.2.7")
    assert await rig.settled() == {"laser"}
    assert rig.fleet.get("laser") is host
    assert host.entry.instance.addresses == ("192.0.2.7",)


async def test_a_host_that_never_answered_goes_with_its_announcement(rig: Rig) -> None:
    rig.network.sees("laser", site=rig.site)
    await rig.settled()
    rig.network.loses("laser", site=rig.site)
    await asyncio.sleep(0.05)
    assert await rig.settled() == set()


async def test_a_host_that_answered_once_is_dropped_after_a_while(rig: Rig) -> None:
    rig.network.sees("laser", site=rig.site)
    await rig.settled()
    rig.fleet.get("laser").was_connected = True
    rig.network.loses("laser", site=rig.site)
    await rig.settled()
    rig.clock.advance(KEPT_S + 1)
    rig.network.sees("other", site=rig.site)
    await asyncio.sleep(0.05)
    assert await rig.settled() == {"other"}


async def test_an_address_that_discovery_knows_too_is_one_host(rig: Rig) -> None:
    key = f"{NOWHERE}:50051"
    added = rig.fleet.add(key)
    added.was_connected = True
    assert added.is_added
    assert await rig.settled() == {key}
    rig.network.sees("laser", site=rig.site)
    await asyncio.sleep(0.05)
    assert await rig.settled() == {key}
    assert rig.fleet.get(key) is added  # what it is doing goes on
    assert rig.views[key].entry.instance.name == "laser"
    assert added.is_added
    rig.fleet.forget(key)
    assert rig.fleet.added == []
    await asyncio.sleep(0.05)
    assert await rig.settled() == {key}
    with pytest.raises(InvalidArgumentError, match="cannot be removed here"):
        rig.fleet.forget(key)


LASER, MILL = "1" * 64, "2" * 64


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_name_is_one_host_with_what_discovery_finds_at_its_address(
    rig: Rig, *, is_first: bool
) -> None:
    rig.network.places["laser"] = Place(frozenset({NOWHERE}))
    if is_first:
        rig.network.sees("Workshop", site=rig.site)
        await rig.settled()
    rig.fleet.add("laser:50051")
    if not is_first:
        await rig.settled()
        rig.network.sees("Workshop", site=rig.site)
    await asyncio.sleep(0.05)
    (key,) = await rig.settled()
    instance = rig.fleet.get(key).entry.instance
    assert (instance.name, instance.addresses) == ("Workshop", ("laser", NOWHERE))
    assert rig.fleet.get(key).entry.sources == {Source.STATIC, Source.MDNS}
    assert rig.fleet.find("laser:50051") is rig.fleet.find("workshop")


async def test_a_certificate_joins_what_no_address_does(rig: Rig) -> None:
    rig.network.sees("Workshop", site=rig.site)
    rig.fleet.add("tunnel:50051")
    await asyncio.sleep(0.05)
    assert len(await rig.settled()) == 2
    rig.fleet.get("tunnel:50051").was_connected = True
    rig.network.places = {"tunnel": Place(certificate=LASER), NOWHERE: Place(certificate=LASER)}
    rig.network.sees("Other", site=rig.site, address="192.0.2.9")  # so that it looks again
    await asyncio.sleep(0.05)
    assert len(await rig.settled()) == 2
    assert rig.fleet.find("workshop") is rig.fleet.find("tunnel:50051")


async def test_two_certificates_are_two_hosts_whatever_addresses_they_tell(rig: Rig) -> None:
    rig.network.places = {
        "laser": Place(frozenset({NOWHERE}), LASER),
        NOWHERE: Place(frozenset({NOWHERE}), MILL),
    }
    rig.fleet.add("laser:50051")
    rig.network.sees("Mill", site=rig.site)
    await asyncio.sleep(0.05)
    assert len(await rig.settled()) == 2


async def test_a_host_has_its_name_from_the_configuration(rig: Rig) -> None:
    rig.network.configures("shop", "laser.example")
    rig.network.places["laser.example"] = Place(frozenset({NOWHERE}))
    rig.network.sees("Workshop", site=rig.site)
    await asyncio.sleep(0.05)
    (key,) = await rig.settled()
    assert rig.fleet.get(key).entry.instance.name == "shop"


async def test_nobody_takes_a_host_away_that_a_person_named(rig: Rig) -> None:
    """A beacon of another site may announce the address of ours."""
    rig.fleet.add(f"{NOWHERE}:50051")
    await rig.settled()
    rig.network.sees("Workshop", site=FOREIGN)
    await asyncio.sleep(0.05)
    assert len(await rig.settled()) == 2
    assert rig.fleet.followed(f"{NOWHERE}:50051")


async def test_hosts_that_discovery_finds_are_never_one(rig: Rig) -> None:
    rig.network.places[NOWHERE] = Place(certificate=LASER)
    rig.network.sees("Laser", site=rig.site)
    rig.network.sees("Copy", site=rig.site)
    rig.network.sees("Camera", site=rig.site, port=50061)
    rig.fleet.add("other:50051")
    await asyncio.sleep(0.05)
    assert await rig.settled() == {"Laser", "Copy", "Camera", "other:50051"}


async def test_a_flood_of_strangers_is_bounded_and_takes_no_place_of_ours(rig: Rig) -> None:
    for number in range(3 * MOST_HOSTS):
        rig.network.sees(f"flood{number}", site=FOREIGN)
    assert len(await rig.settled()) == MOST_HOSTS
    rig.network.sees("laser", site=rig.site)
    await asyncio.sleep(0.05)
    assert "laser" in await rig.settled()
    for number in range(3 * MOST_HOSTS):
        rig.network.sees(f"liar{number}", site=rig.site)
    await asyncio.sleep(0.05)
    assert len(await rig.settled()) == 2 * MOST_HOSTS
    rig.fleet.add("127.0.0.9:50051")
    assert rig.fleet.followed("127.0.0.9:50051")
