"""Watching jobs: each watcher gets the newest state of each job, however slowly it reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from enum import Enum

from usbshare.base.errors import LimitError
from usbshare.job_svc.queue.jobs import Change
from usbshare.job_svc.storage.job import Job

MOST_WATCHERS = 256


class Shown(Enum):
    """A job's news for a watcher."""

    EXISTING = "existing"
    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"


class Watch:
    """One watcher's jobs: those of ports that `sees` lets through."""

    def __init__(self, jobs: Iterable[Job], sees: Callable[[str], bool]) -> None:
        self._sees = sees
        self._shown: set[int] = set()
        self._news: dict[int, tuple[Shown, Job]] = {}
        self._has_news = asyncio.Event()
        for job in jobs:
            if not job.state.has_ended and sees(job.port_id):
                self._news[job.job_id] = (Shown.EXISTING, job)
        if self._news:
            self._has_news.set()

    def sees(self, port_id: str) -> bool:
        """Return whether it watches the jobs of that port, as far as its owner may."""
        return self._sees(port_id)

    def told(self, job: Job, *, is_gone: bool) -> None:
        """Take note of a job as it is now; replaces what was not taken yet."""
        number = job.job_id
        is_known = number in self._shown
        if is_gone or job.state.has_ended or not self._sees(job.port_id):
            if is_known:
                self._news[number] = (Shown.REMOVED, job)
            else:
                self._news.pop(number, None)
        else:
            waiting = self._news.get(number)
            is_first = waiting is not None and waiting[0] is Shown.EXISTING
            shown = Shown.EXISTING if is_first else Shown.ADDED
            self._news[number] = (Shown.UPDATED if is_known else shown, job)
        if self._news:
            self._has_news.set()

    async def take(self) -> list[tuple[Shown, Job]]:
        """Wait for news and return all of it, each job once."""
        await self._has_news.wait()
        news, self._news = list(self._news.values()), {}
        self._has_news.clear()
        for shown, job in news:
            if shown is Shown.REMOVED:
                self._shown.discard(job.job_id)
            else:
                self._shown.add(job.job_id)
        return news


class Watches:
    """Everybody who watches."""

    def __init__(self) -> None:
        self._watches: dict[Watch, None] = {}

    def __len__(self) -> int:
        return len(self._watches)

    def add(self, watch: Watch) -> None:
        """Begin to tell a watcher; LimitError where there are too many."""
        if len(self._watches) >= MOST_WATCHERS:
            raise LimitError(f"{MOST_WATCHERS} clients are already watching jobs")
        self._watches[watch] = None

    def remove(self, watch: Watch) -> None:
        """Tell a watcher no more."""
        self._watches.pop(watch, None)

    def tell(self, change: Change, job: Job) -> None:
        """Tell all who see the job's port."""
        for each in self._watches:
            each.told(job, is_gone=change is Change.REMOVED)

    def are_on(self, port_id: str) -> bool:
        """Return whether somebody watches the jobs of a port."""
        return any(each.sees(port_id) for each in self._watches)
