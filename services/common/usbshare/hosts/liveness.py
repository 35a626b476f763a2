"""Proves by connecting that hosts found by multicast are still there, and drops the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from usbshare.base.watched_task import cancel_all
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import Entry, Instance, Source
from usbshare.hosts.via.health_probe import PROBE_TIMEOUT_S, HostProbe
from usbshare.rpc.tls import ClientBundle

_log = logging.getLogger(__name__)

SILENT_S = 5.0  # with two attempts of 2 s: who is gone is dropped 9 s after its last sign of life
SHORTEST_PAUSE_S = 0.25  # however many entries there are, no more than four rounds a second
MOST_AT_ONCE = 32
CLOSE_TIMEOUT_S = 1.0

# Hosts that are told by anybody; the configuration, this host and another service's word stand.
_DOUBTED = frozenset({Source.MDNS, Source.BEACON})


class Probe(Protocol):
    """What looks at one host again and again."""

    async def answers(self, instance: Instance, attempts: int = 2) -> bool:
        """Return whether the host is there."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


class Liveness:
    """Probes each doubted entry that was silent for 5 s, at most 32 at once."""

    def __init__(
        self,
        catalogue: Catalogue,
        bundle: ClientBundle | None,
        clock: Callable[[], float],
        make_probe: Callable[[ClientBundle | None], Probe] = HostProbe,
    ) -> None:
        self._catalogue = catalogue
        self._bundle = bundle
        self._clock = clock
        self._make_probe = make_probe
        self._probes: dict[str, Probe] = {}
        self._left: list[Probe] = []
        self._running: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    async def run(self) -> None:
        """Probe what is silent, until cancelled."""
        while True:
            await self._let_go_of_the_gone()
            now, entries = self._clock(), self._doubted()
            for entry in entries:
                if entry.last_seen + SILENT_S <= now:
                    self._start(entry, attempts=2)
            later = (each.last_seen for each in entries if each.id not in self._running)
            next_due = min(later, default=now) + SILENT_S
            await asyncio.sleep(max(SHORTEST_PAUSE_S, next_due - self._clock()))

    async def confirm(self, stale_after_s: float = 10.0) -> None:
        """Probe what has been silent for so long, once; return after 2 s in any case."""
        limit = self._clock() - stale_after_s
        stale = [each for each in self._doubted() if each.last_seen < limit]
        if tasks := [self._start(each, attempts=1) for each in stale]:
            await asyncio.wait(tasks, timeout=PROBE_TIMEOUT_S)

    def use(self, bundle: ClientBundle) -> None:
        """Ask with this one from now on, over new connections."""
        self._bundle = bundle
        self._left += self._probes.values()
        self._probes = {}

    async def close(self) -> None:
        """Stop probing and close every connection."""
        tasks = list(self._running.values())
        await cancel_all(*tasks)
        await self._let_go(list(self._probes))
        await asyncio.gather(*(_close(each) for each in self._left))

    def _doubted(self) -> list[Entry]:
        return [
            each
            for each in self._catalogue.entries()
            if each.sources & _DOUBTED and Source.LOCAL not in each.sources
        ]

    def _start(self, entry: Entry, attempts: int) -> asyncio.Task[None]:
        task = self._running.get(entry.id)
        if task is None:
            task = asyncio.create_task(self._probe(entry, attempts), name=f"probe {entry.id}")
            self._running[entry.id] = task
            task.add_done_callback(lambda ended: self._ended(entry.id, ended))
        return task

    def _ended(self, entry_id: str, task: asyncio.Task[None]) -> None:
        del self._running[entry_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("could not probe an instance", exc_info=error)

    async def _probe(self, entry: Entry, attempts: int) -> None:
        async with self._places:
            probe = self._probes.get(entry.id)
            if probe is None:
                probe = self._probes[entry.id] = self._make_probe(self._bundle)
            started = self._clock()
            if await probe.answers(entry.instance, attempts):
                self._catalogue.reached(entry.id)
            elif not self._was_heard_since(entry, started):
                self._catalogue.unreachable(entry.id)

    def _was_heard_since(self, entry: Entry, moment: float) -> bool:
        """Return whether a source reported it, or another place for it, while it was probed."""
        now = self._catalogue.get(entry.id)
        return now is not None and (now.last_seen >= moment or now.instance != entry.instance)

    async def _let_go_of_the_gone(self) -> None:
        if self._left and not self._running:
            left, self._left = self._left, []
            await asyncio.gather(*(_close(each) for each in left))
        gone = [each for each in self._probes if self._catalogue.get(each) is None]
        await self._let_go(each for each in gone if each not in self._running)

    async def _let_go(self, ids: Iterable[str]) -> None:
        for entry_id in list(ids):
            await _close(self._probes.pop(entry_id))


async def _close(probe: Probe) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_TIMEOUT_S):
            await probe.close()
