"""Which hosts there are under which keys, as discovery sees them come, change and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fakes.certificates import make_site
from fakes.clock import FakeClock
from usbshare.base.errors import ConnectionRefusedByPeerError, InvalidArgumentError, NotFoundError
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import Endpoint, Instance, Kind, Observation, Source
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

    fleet = Fleet(board, machines, Followers(board, machines), pack, in_plaintext=False)
    network = Network(Catalogue(clock))

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


async def test_one_that_answered_once_goes_after_a_while(rig: Rig) -> None:
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
    added = rig.fleet.add(f"{NOWHERE}:50051")
    assert added.is_added
    assert await rig.settled() == {f"{NOWHERE}:50051"}
    rig.network.sees("laser", site=rig.site)
    await asyncio.sleep(0.05)
    assert await rig.settled() == {"laser"}
    assert rig.fleet.get("laser").is_added
    rig.fleet.forget("laser")
    assert rig.fleet.added == []
    with pytest.raises(InvalidArgumentError, match="cannot be removed here"):
        rig.fleet.forget("laser")


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
