"""Looks for hosts and shows them: once, as a living table, or as changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TextIO

from usbshare.base.event_loop import on_stop_signals
from usbshare.base.live_table import LiveTable
from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.hosts.polling import Looks, look_at
from usbshare.bridge.tables.hosts import (
    Look,
    Sight,
    as_table,
    change_json,
    change_line,
    sight,
)
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.counters import SourceReport
from usbshare.hosts.filter import Filter
from usbshare.hosts.finder import Finder
from usbshare.hosts.instance import Entry
from usbshare.hosts.settings import DiscoveryTable, HostTable
from usbshare.hosts.targets import is_asked, sites_of
from usbshare.hosts.watch import Added, Change, Removed, Snapshot, Watch
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

QUIET_S = 1.0
BEACON_MARGIN_S = 0.5
REDRAW_S = 0.1


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for, and how: by ourselves, or `via` another computer's discovery service."""

    discovery: DiscoveryTable
    hosts: Mapping[str, HostTable] = field(default_factory=dict)
    bundle: ClientBundle | None = None
    in_plaintext: bool = False
    via: Target | None = None
    filter: Filter = field(default_factory=Filter)

    def finder(self) -> Finder:
        """Return what finds; it is not started yet."""
        if self.via is None:
            return Finder(self.discovery, self.hosts, self.bundle, time.monotonic)
        off = self.discovery.model_copy(update={"mdns": False, "beacon": False})
        return Finder(off, {}, self.bundle, time.monotonic, via=(self.via,))

    @property
    def least_s(self) -> float:
        """How long it takes until everybody was heard who is there."""
        if self.via is None and self.discovery.beacon:
            return self.discovery.beacon_interval_s + BEACON_MARGIN_S
        return QUIET_S


async def found_once(search: Search, timeout_s: float) -> list[Sight]:
    """Return who is there, as soon as nothing new was heard for a second."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    async with search.finder() as finder, _looking(search, finder) as looks:
        await _until_quiet(finder.catalogue, min(search.least_s, timeout_s), timeout_s)
        await looks.settle(max(0.0, end - loop.time()))
        return _sights(search, finder.catalogue, looks)


async def counted_once(search: Search, timeout_s: float) -> list[SourceReport]:
    """Return the counters of each source after the same time."""
    async with search.finder() as finder:
        await _until_quiet(finder.catalogue, min(search.least_s, timeout_s), timeout_s)
        active = finder.active_instances()
        return [SourceReport(each, stats, active[each]) for each, stats in finder.stats().items()]


async def show_living(search: Search, stream: TextIO) -> None:
    """Draw the hosts in place until SIGINT or SIGTERM."""
    is_stopped = asyncio.Event()
    table = LiveTable(stream)
    async with search.finder() as finder, _looking(search, finder) as looks:
        finder.start_liveness()

        def stop() -> None:
            is_stopped.set()
            looks.changed.set()

        on_stop_signals(stop)
        while not is_stopped.is_set():
            looks.changed.clear()
            table.draw(_page(_sights(search, finder.catalogue, looks)))
            await asyncio.sleep(REDRAW_S)  # however much changes
            await looks.changed.wait()


async def show_changes(search: Search, tell: Callable[[str], None], *, as_json: bool) -> None:
    """Report each host that comes, changes or goes, in a line, until SIGINT or SIGTERM."""
    line = change_json if as_json else change_line
    sites = sites_of(search.bundle)
    async with search.finder() as finder:
        finder.start_liveness()
        with Watch(finder.catalogue, search.filter) as watch:
            on_stop_signals(watch.close)
            async for change in watch:
                for event, entry in _events(change):
                    tell(line(event, sight(entry, sites, None)))


@asynccontextmanager
async def _looking(search: Search, finder: Finder) -> AsyncIterator[Looks]:
    """Ask the hosts of our site meanwhile."""
    sites = sites_of(search.bundle)

    def asked(entry: Entry) -> bool:
        fits = search.filter.matches(entry.instance)
        return fits and is_asked(entry, sites, in_plaintext=search.in_plaintext)

    async def ask(entry: Entry) -> Look:
        return await look_at(entry, search.bundle)

    looks = Looks(finder.catalogue, asked, ask)
    running = asyncio.create_task(looks.run(), name="looks")
    try:
        yield looks
    finally:
        await cancel_all(running)


async def _until_quiet(catalogue: Catalogue, least_s: float, most_s: float) -> None:
    clock = asyncio.get_running_loop().time
    changed = asyncio.Event()
    unsubscribe = catalogue.subscribe(changed.set)
    quiet_at, end = clock() + least_s, clock() + most_s
    try:
        while (wait_s := min(quiet_at, end) - clock()) > 0:
            if await set_within(changed, wait_s):
                changed.clear()
                quiet_at = max(quiet_at, clock() + QUIET_S)
    finally:
        unsubscribe()


def _sights(search: Search, catalogue: Catalogue, looks: Looks) -> list[Sight]:
    sites = sites_of(search.bundle)
    return [sight(each, sites, looks.of(each)) for each in catalogue.entries(search.filter)]


def _page(sights: list[Sight]) -> str:
    count = {0: "no host found yet", 1: "1 host"}.get(len(sights), f"{len(sights)} hosts")
    return f"{as_table(sights)}\n{count}; Ctrl-C ends"


def _events(change: Change) -> list[tuple[str, Entry]]:
    if isinstance(change, Snapshot):
        return [("added", each) for each in change.entries]
    if isinstance(change, Added):
        return [("added", change.entry)]
    return [("removed" if isinstance(change, Removed) else "updated", change.entry)]
