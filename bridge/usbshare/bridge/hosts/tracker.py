"""Where a bridge's host is: while the link is down, discovery follows the host to its address."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

from usbshare.base.threads import in_thread
from usbshare.base.waits import set_within
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.host_selection import at_address, choose
from usbshare.hosts.identity_proof import first_proven
from usbshare.hosts.instance import Entry
from usbshare.hosts.targets import sites_of, targets_of
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

log = logging.getLogger(__name__)

PATIENCE_S = 2.0
LOOK_AGAIN_S = 2.0


class HostFinder(Protocol):
    """Finds hosts once it is started."""

    @property
    def catalogue(self) -> Catalogue:
        """What it knows."""
        ...


OpenFinder = Callable[[], AbstractAsyncContextManager[HostFinder]]


class HostTracker:
    """Knows where to connect, and with which bundle. While the link is up it sends nothing.

    `woken(has_moved)` is called when the host is seen again, or elsewhere. That discovery fails
    costs no more than its help.
    """

    def __init__(
        self,
        target: Target,
        bundle: ClientBundle | None,
        open_finder: OpenFinder,
        woken: Callable[[bool], None],
        clock: Callable[[], float],
    ) -> None:
        self.target = target
        self.bundle = bundle
        self._open_finder = open_finder
        self._woken = woken
        self._clock = clock
        self._lost_at: float | None = None
        self._following: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._seen: frozenset[object] = frozenset()

    def link_is(self, *, up: bool) -> None:
        """Note whether the link is up; called about once a second."""
        if up:
            self._lost_at = None
            self._end_following()
        elif self._lost_at is None:
            self._lost_at = self._clock()
        elif self._following is None and self._clock() - self._lost_at >= PATIENCE_S:
            self._following = asyncio.create_task(self._follow(), name="tracker")

    async def close(self) -> None:
        """Look no longer."""
        self._end_following()
        await asyncio.gather(*self._ending, return_exceptions=True)

    def _end_following(self) -> None:
        following, self._following = self._following, None
        if following is not None:
            self._ending.add(following)
            following.add_done_callback(self._ending.discard)
            following.cancel()

    async def _follow(self) -> None:
        self._seen = frozenset()
        try:
            opened = await in_thread(self._open_finder)  # which may import much
            async with opened as finder:
                await self._follow_in(finder.catalogue)
        except Exception:
            log.warning("cannot use discovery to find %s again", self.target, exc_info=True)
            if self._following is asyncio.current_task():  # it may help the next time
                self._following, self._lost_at = None, self._clock()

    async def _follow_in(self, catalogue: Catalogue) -> None:
        changed = asyncio.Event()
        unsubscribe = catalogue.subscribe(changed.set)
        try:
            while True:
                changed.clear()
                await self._look(catalogue.entries())
                await set_within(changed, LOOK_AGAIN_S)
        finally:
            unsubscribe()

    async def _look(self, entries: list[Entry]) -> None:
        found = self._meant(entries)
        places = [place for entry in found for place in targets_of(entry, self.bundle)]
        has_moved = await self._move_to(places)
        seen = frozenset((entry.id, entry.instance) for entry in found)
        is_news, self._seen = bool(seen - self._seen), seen
        if is_news or has_moved:
            self._woken(has_moved)

    def _meant(self, entries: Iterable[Entry]) -> list[Entry]:
        if self.target.name:
            return choose(self.target.name, entries, sites_of(self.bundle))
        return at_address(self.target.host, entries)

    async def _move_to(self, places: list[Target]) -> bool:
        """Go where the host proves to be; only a host that was called by name can have moved."""
        here = self.target
        is_there = any((each.host, each.port) == (here.host, here.port) for each in places)
        if not here.name or is_there:
            return False
        same_host = [replace(each, tls_name=here.tls_name) for each in places]
        place = await first_proven(same_host, self.bundle)
        if place is None:
            return False
        log.info("%r moved from %s to %s", place.name, here, place)
        self.target = place
        return True
