"""Which entries are probed, when, and what becomes of those that do not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from fakes.clock import FakeClock
from fakes.waiting import until
from usbshare.hosts import liveness as module
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import Endpoint, Instance, Kind, Observation, Source
from usbshare.hosts.liveness import MOST_AT_ONCE, SILENT_S, Liveness


class Network:
    """Which hosts answer, and who was asked; a host in `pending` answers when it is told to."""

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.pending: dict[str, asyncio.Future[bool]] = {}
        self.asked: list[tuple[str, int]] = []
        self.now = self.most = 0
        self.open = 0

    def probe(self, _: object) -> FakeProbe:
        self.open += 1
        return FakeProbe(self)

    def let_wait(self, name: str) -> None:
        self.pending[name] = asyncio.get_running_loop().create_future()


class FakeProbe:
    """Looks at a host of the network."""

    def __init__(self, network: Network) -> None:
        self._network = network

    async def answers(self, instance: Instance, attempts: int = 2) -> bool:
        network = self._network
        network.asked.append((instance.name, attempts))
        network.now += 1
        network.most = max(network.most, network.now)
        try:
            if instance.name in network.pending:
                return await network.pending[instance.name]
            return instance.name not in network.dead
        finally:
            network.now -= 1

    async def close(self) -> None:
        self._network.open -= 1


class Rig:
    """A catalogue, its clock and its network."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.catalogue = Catalogue(clock)
        self.network = Network()
        self.liveness = Liveness(self.catalogue, None, clock, self.network.probe)

    def observe(self, name: str, source: Source = Source.MDNS, port: int = 50051) -> None:
        number = sum(name.encode()) % 250
        where = (f"192.0.2.{number}",)
        instance = Instance(name, where, (Endpoint(Kind.SERIAL, port),))
        self.catalogue.observe(Observation(source, name, instance))

    @property
    def names(self) -> list[str]:
        return [each.instance.name for each in self.catalogue.entries()]

    @property
    def asked(self) -> set[str]:
        return {name for name, _ in self.network.asked}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.liveness.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.liveness.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rig(clock: FakeClock) -> Rig:
    return Rig(clock)


async def test_a_silent_host_that_answers_stays(rig: Rig, clock: FakeClock) -> None:
    rig.observe("laser")
    clock.advance(SILENT_S)
    async with rig.running():
        await until(lambda: rig.network.asked and not rig.network.now)
        assert [each.last_seen for each in rig.catalogue.entries()] == [clock()]
    assert rig.network.asked == [("laser", 2)]


async def test_a_silent_host_that_does_not_answer_goes(rig: Rig, clock: FakeClock) -> None:
    for name in ("laser", "mill"):
        rig.observe(name)
    rig.network.dead = {"laser"}
    clock.advance(SILENT_S)
    async with rig.running():
        await until(lambda: rig.names == ["mill"])


async def test_only_unverified_entries_of_others_are_probed(rig: Rig, clock: FakeClock) -> None:
    for source in Source:
        rig.observe(source.value, source)
    rig.observe("own", Source.LOCAL)
    rig.observe("own", Source.MDNS)
    clock.advance(SILENT_S)
    async with rig.running():
        await until(lambda: rig.asked == {"mdns", "beacon"} and not rig.network.now)


async def test_a_recently_heard_host_is_not_probed(rig: Rig, clock: FakeClock) -> None:
    rig.observe("old")
    clock.advance(SILENT_S)
    rig.observe("new")
    async with rig.running():
        await until(lambda: rig.network.asked)
    assert rig.asked == {"old"}


async def test_a_host_is_asked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_S", 0.02)
    monkeypatch.setattr(module, "SHORTEST_PAUSE_S", 0.01)
    rig = Rig(time.monotonic)
    rig.observe("laser")
    async with rig.running():
        await until(lambda: len(rig.network.asked) >= 3)
        assert rig.names == ["laser"]
        rig.network.dead = {"laser"}
        await until(lambda: not rig.names)
        await until(lambda: rig.network.open == 0)  # its connection is let go


async def test_a_host_that_is_heard_while_it_is_probed_stays(rig: Rig, clock: FakeClock) -> None:
    rig.observe("laser")
    rig.network.let_wait("laser")
    clock.advance(SILENT_S)
    async with rig.running():
        await until(lambda: rig.network.asked)
        clock.advance(1)
        rig.observe("laser")
        rig.network.pending["laser"].set_result(False)
        await until(lambda: not rig.network.now)
        await asyncio.sleep(0)
        assert rig.names == ["laser"]


async def test_a_host_that_moved_while_it_was_probed_stays(rig: Rig, clock: FakeClock) -> None:
    rig.observe("laser")
    rig.network.let_wait("laser")
    clock.advance(SILENT_S)
    async with rig.running():
        await until(lambda: rig.network.asked)
        rig.observe("laser", port=60051)
        rig.network.pending["laser"].set_result(False)
        await until(lambda: not rig.network.now)
        await asyncio.sleep(0)
        assert rig.names == ["laser"]


async def test_many_are_probed_a_few_at_a_time(rig: Rig, clock: FakeClock) -> None:
    names = {f"host-{number}" for number in range(3 * MOST_AT_ONCE)}
    for name in names:
        rig.observe(name)
        rig.network.let_wait(name)
    clock.advance(SILENT_S)
    async with rig.running():
        await until(lambda: rig.network.now == MOST_AT_ONCE)
        for answer in rig.network.pending.values():
            answer.set_result(True)
        await until(lambda: rig.asked == names)
    assert rig.network.most == MOST_AT_ONCE


async def test_confirming_drops_the_dead_and_waits_for_no_one_long(
    rig: Rig, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PROBE_TIMEOUT_S", 0.05)
    for name in ("dead", "alive", "silent"):
        rig.observe(name)
    clock.advance(11)
    rig.observe("new")
    rig.network.dead = {"dead", "new"}
    rig.network.let_wait("silent")
    await rig.liveness.confirm()
    assert rig.names == ["alive", "new", "silent"]
    assert set(rig.network.asked) == {("dead", 1), ("alive", 1), ("silent", 1)}
    await rig.liveness.close()
    assert rig.network.open == 0


async def test_confirming_joins_a_probe_that_runs_already(rig: Rig, clock: FakeClock) -> None:
    rig.observe("laser")
    rig.network.let_wait("laser")
    clock.advance(11)
    async with rig.running():
        await until(lambda: rig.network.asked)
        confirming = asyncio.create_task(rig.liveness.confirm())
        await asyncio.sleep(0)
        rig.network.pending["laser"].set_result(False)
        await confirming
        assert not rig.names
    assert len(rig.network.asked) == 1
