"""Follows hosts and shows what they are doing, again and again, until somebody ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from usbshare.base.event_loop import on_stop_signals
from usbshare.base.watched_task import cancel_all
from usbshare.client.serial.client import SerialClient
from usbshare.client.status.fields import objects
from usbshare.client.status.host_jobs import HostJobs
from usbshare.client.status.host_watch import HostWatch
from usbshare.client.status.records import HostStatus
from usbshare.client.status.shown import Shown
from usbshare.client.status.text import page

MOST_HOSTS = 64
FIRST_S = 5.0

Show = Callable[[Sequence[HostStatus]], None]


class Followed:
    """The hosts that are followed, in the order in which they came; of one event loop."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._changed = asyncio.Event()
        self._watches: list[tuple[HostWatch, asyncio.Task[None]]] = []
        self._stopped = asyncio.Event()

    def add(self, name: str, client: SerialClient, jobs: HostJobs) -> None:
        """Follow a host; more than 64 are not followed."""
        if len(self._watches) < MOST_HOSTS:
            watch = HostWatch(name, client, jobs, self._interval_s, self._changed.set)
            task = asyncio.create_task(watch.run(), name=f"status of {name}")
            self._watches.append((watch, task))

    async def show(self, show: Show) -> None:
        """Show them at each interval, and when one falls silent, until SIGINT or SIGTERM."""
        on_stop_signals(self._stop)
        try:
            await self._first()
            while not self._stopped.is_set():
                show([watch.status for watch, _ in self._watches if watch.status])
                for _, task in self._watches:
                    if task.done():
                        task.result()
                await self._until_due()
        finally:
            await cancel_all(*(task for _, task in self._watches))

    async def _until_due(self) -> None:
        """Return after the interval, or as soon as a host has fallen silent."""
        before = self._silent()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._interval_s):
                while not self._stopped.is_set() and self._silent() <= before:
                    self._changed.clear()
                    await self._changed.wait()

    def _silent(self) -> set[HostWatch]:
        found = (watch for watch, _ in self._watches)
        return {each for each in found if each.status and each.status.silent_since}

    def _stop(self) -> None:
        self._stopped.set()
        self._changed.set()

    async def _first(self) -> None:
        """Wait until all have answered, or failed, for a while."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                while not self._stopped.is_set() and any(
                    watch.status is None for watch, _ in self._watches
                ):
                    self._changed.clear()
                    await self._changed.wait()


STATUS: Shown[HostStatus] = Shown(page, objects)
