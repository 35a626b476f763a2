"""A bridge that lost its host: only then discovery is asked, and tells where it is back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from fakes.clock import FakeClock
from fakes.sightings import FakeFinder, instance
from fakes.waiting import until
from usbshare.bridge.hosts import tracker as module
from usbshare.bridge.hosts.tracker import PATIENCE_S, HostTracker
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

HERE = Target("127.0.0.1", 1, "laser.local", "Laser")


class Rig:
    def __init__(self, target: Target) -> None:
        self.clock = FakeClock()
        self.finder = FakeFinder()
        self.woken: list[bool] = []
        self.proven: list[Target] = []
        self.answers = True
        self.tracker = HostTracker(target, None, lambda: self.finder, self.woken.append, self.clock)

    async def first_proven(
        self, targets: Sequence[Target], bundle: ClientBundle | None
    ) -> Target | None:
        self.proven += targets
        return targets[0] if self.answers and targets else None

    async def lose(self) -> None:
        self.tracker.link_is(up=False)
        self.clock.advance(PATIENCE_S)
        self.tracker.link_is(up=False)
        await until(lambda: self.finder.entered)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Rig:
    rig = Rig(HERE)
    monkeypatch.setattr(module, "first_proven", rig.first_proven)
    monkeypatch.setattr(module, "LOOK_AGAIN_S", 0.01)
    return rig


@pytest.fixture
async def rig(made: Rig) -> AsyncIterator[Rig]:
    yield made
    await made.tracker.close()


async def test_while_the_link_is_up_no_host_is_asked(rig: Rig) -> None:
    for _ in range(5):
        rig.tracker.link_is(up=True)
        rig.clock.advance(10)
    assert rig.finder.entered == 0


async def test_a_link_that_is_back_soon_needs_no_help(rig: Rig) -> None:
    rig.tracker.link_is(up=False)
    rig.clock.advance(PATIENCE_S / 2)
    rig.tracker.link_is(up=False)
    rig.tracker.link_is(up=True)
    rig.clock.advance(PATIENCE_S)
    rig.tracker.link_is(up=False)
    assert rig.finder.entered == 0


async def test_a_search_that_ends_slowly_is_waited_for_at_the_end(made: Rig) -> None:
    await made.lose()
    may_leave = asyncio.Event()
    made.finder.may_leave = may_leave
    made.tracker.link_is(up=True)
    closing = asyncio.create_task(made.tracker.close())
    await until(lambda: made.finder.leaving)
    assert not closing.done()
    may_leave.set()
    await closing
    assert made.finder.left == 1


async def test_the_search_ends_when_the_link_is_up(rig: Rig) -> None:
    await rig.lose()
    rig.tracker.link_is(up=True)
    await until(lambda: rig.finder.left == 1)


async def test_a_host_that_reappears_wakes_the_link(rig: Rig) -> None:
    await rig.lose()
    rig.finder.tell(instance("Laser", "127.0.0.1", serial=1))
    await until(lambda: rig.woken == [False])
    assert rig.tracker.target == HERE
    rig.finder.forget("Laser")
    rig.finder.tell(instance("Laser", "127.0.0.1", serial=1))
    await until(lambda: rig.woken == [False, False])


async def test_a_host_that_is_elsewhere_is_followed(rig: Rig) -> None:
    await rig.lose()
    rig.finder.tell(instance("laser", "127.0.0.1", serial=2))
    await until(lambda: rig.woken == [True])
    assert rig.tracker.target == Target("127.0.0.1", 2, "laser.local")


async def test_a_host_is_followed_only_with_the_certificate_it_had(rig: Rig) -> None:
    await rig.lose()
    rig.finder.tell(instance("Laser", "127.0.0.1", serial=2, host="evil.local"))
    await until(lambda: rig.proven)
    assert rig.proven[0].tls_name == "laser.local"


async def test_a_host_that_does_not_prove_its_identity_is_asked_again_instead_of_followed(
    rig: Rig,
) -> None:
    rig.answers = False
    await rig.lose()
    rig.finder.tell(instance("Laser", "127.0.0.1", serial=2))
    await until(lambda: len(rig.proven) > 2)
    assert rig.tracker.target == HERE
    rig.answers = True
    await until(lambda: rig.tracker.target.port == 2)


async def test_another_host_wakes_no_waiter(rig: Rig) -> None:
    await rig.lose()
    rig.finder.tell(instance("Mill", "127.0.0.1", serial=1, host="mill.local"))
    rig.finder.tell(instance("Laser", "127.0.0.1", serial=1))
    await until(lambda: rig.woken)
    assert rig.woken == [False]


async def test_a_host_that_was_given_as_an_address_is_woken_for_but_not_moved(rig: Rig) -> None:
    rig.tracker.target = replace(HERE, name="", tls_name="")
    await rig.lose()
    rig.finder.tell(instance("Laser", "127.0.0.1", serial=2))
    await until(lambda: rig.woken == [False])
    assert rig.tracker.target.port == 1


async def test_a_discovery_that_fails_is_a_warning_and_is_tried_again(
    made: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> FakeFinder:
        raise OSError("no multicast here")

    tracker = HostTracker(HERE, None, fail, made.woken.append, made.clock)
    tracker.link_is(up=False)
    made.clock.advance(PATIENCE_S)
    tracker.link_is(up=False)
    await until(lambda: "cannot use discovery to find" in caplog.text)
    caplog.clear()
    made.clock.advance(PATIENCE_S)
    tracker.link_is(up=False)
    await until(lambda: "cannot use discovery to find" in caplog.text)
    tracker.link_is(up=True)
    await tracker.close()
    assert made.woken == []
