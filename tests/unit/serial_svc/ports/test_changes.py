"""Each change of a port is described once, whoever watches, and only the port that changed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial

import pytest

from fakes.waiting import until
from usbshare.line.settings import LineSettings
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import LinkLossPolicy
from usbshare.serial_svc.ports.changes import Change, PortNews
from usbshare.serial_svc.sessions.port_description import PortDescription

Heard = list[tuple[Change, str, int]]


def description(port_id: str) -> PortDescription:
    return PortDescription(
        id=port_id,
        description="",
        source="/dev/null",
        device="",
        usb=None,
        state=PortState.AVAILABLE,
        state_reason="",
        configured_profile="grbl",
        profile="grbl",
        settings=LineSettings(),
        holder=None,
        observers=0,
        epoch=1,
        latched=False,
        held=False,
        link_loss=LinkLossPolicy.DOOR,
    )


class Host:
    """Ports that count how often they are described."""

    def __init__(self, count: int) -> None:
        self.ports = {f"p{number:02}": description(f"p{number:02}") for number in range(count)}
        self.described: Counter[str] = Counter()
        self.news = PortNews(lambda: {each: partial(self._describe, each) for each in self.ports})

    def _describe(self, port_id: str) -> PortDescription:
        self.described[port_id] += 1
        return replace(self.ports[port_id])

    def change(self, port_id: str) -> None:
        before = self.ports[port_id]
        self.ports[port_id] = replace(before, epoch=before.epoch + 1)
        self.news.changed(port_id)

    def watch(self, is_shown: Callable[[str], bool] = lambda _: True) -> Heard:
        heard: Heard = []
        self.tasks.append(asyncio.create_task(self._listen(heard, is_shown)))
        return heard

    async def _listen(self, heard: Heard, is_shown: Callable[[str], bool]) -> None:
        async for change, port in self.news.watch(is_shown):
            heard.append((change, port.id, port.epoch))

    tasks: list[asyncio.Task[None]]


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    made = Host(64)
    made.tasks = []
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


async def test_a_change_is_described_once_for_thirty_watchers(host: Host) -> None:
    all_heard = [host.watch() for _ in range(30)]
    await until(lambda: all(len(heard) == 64 for heard in all_heard))
    host.described.clear()
    host.change("p07")
    await until(lambda: all(len(heard) == 65 for heard in all_heard))
    assert host.described == {"p07": 1}
    assert {heard[-1] for heard in all_heard} == {(Change.UPDATED, "p07", 2)}


async def test_simultaneous_changes_are_reported_together(host: Host) -> None:
    heard = host.watch()
    await until(lambda: len(heard) == 64)
    for _ in range(10):
        host.change("p01")
    host.change("p02")
    await until(lambda: len(heard) == 66)
    assert heard[64:] == [(Change.UPDATED, "p01", 11), (Change.UPDATED, "p02", 2)]
    assert host.described["p01"] == 2


async def test_an_unchanged_value_is_not_reported(host: Host) -> None:
    heard = host.watch()
    await until(lambda: len(heard) == 64)
    host.news.changed("p01")
    host.change("p02")
    await until(lambda: len(heard) == 65)
    assert heard[-1][1] == "p02"


async def test_ports_that_come_and_go_are_reported(host: Host) -> None:
    heard = host.watch()
    await until(lambda: len(heard) == 64)
    host.ports["new"] = description("new")
    host.news.changed("new")
    await until(lambda: len(heard) == 65)
    del host.ports["new"]
    host.news.changed("new")
    await until(lambda: len(heard) == 66)
    assert [each[0] for each in heard[64:]] == [Change.ADDED, Change.REMOVED]


async def test_a_watcher_sees_ports_appear_and_disappear_with_its_rights(host: Host) -> None:
    shown = {"p01"}
    heard = host.watch(lambda port_id: port_id in shown)
    await until(lambda: heard == [(Change.EXISTING, "p01", 1)])
    host.change("p02")
    shown.add("p03")
    host.news.rules_changed()
    await until(lambda: len(heard) == 2)
    shown.remove("p01")
    host.news.rules_changed()
    await until(lambda: len(heard) == 3)
    assert heard[1:] == [(Change.ADDED, "p03", 1), (Change.REMOVED, "p01", 1)]


async def test_a_change_while_a_watcher_writes_is_reported_after(host: Host) -> None:
    watch = host.news.watch(lambda _: True)
    first = [await anext(watch) for _ in range(64)]
    host.change("p05")
    change, port = await asyncio.wait_for(anext(watch), 30)
    assert (change, port.id) == (Change.UPDATED, "p05")
    assert len({port.id for _, port in first}) == 64
    await watch.aclose()  # type: ignore[attr-defined]  # a generator, in fact


async def test_the_list_shows_the_current_state(host: Host) -> None:
    before = host.news.described()
    host.ports["p09"] = replace(host.ports["p09"], observers=3)
    after = host.news.described()
    assert [each.observers for each in after if each.id == "p09"] == [3]
    assert sum(old is new for old, new in zip(before, after, strict=True)) == 63
