"""The live view of what matches a filter, as changes since the watcher's last update."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.filter import Filter
from usbshare.hosts.instance import Entry


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that matches, sorted by name: forget everything else."""

    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Added:
    """New, or newly matching."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Updated:
    """Changed and still matching; that it was seen again is no change."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Removed:
    """Gone, or no longer matching; the entry as last reported."""

    entry: Entry


Change = Snapshot | Added | Updated | Removed


class Watch:
    """Async iterator for one reader: first a Snapshot, then each change, until it is closed.

    What is told next is the difference between what was told and what is now, so that nothing
    queues however slowly it is read: steps in between are left out.
    """

    def __init__(self, catalogue: Catalogue, filter: Filter | None = None) -> None:  # noqa: A002
        self._catalogue = catalogue
        self._filter = filter or Filter()
        self._told: dict[str, Entry] | None = None
        self._changes: Iterator[Change] = iter(())
        self._has_news = asyncio.Event()
        self._unsubscribe: Callable[[], None] | None = None
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        """Return the next change as soon as there is one; cancelled, nothing is lost."""
        if self._unsubscribe is None and not self._is_closed:
            self._unsubscribe = self._catalogue.subscribe(self._has_news.set)
        while not self._is_closed:
            if (change := self._next_change()) is not None:
                return change
            await self._has_news.wait()
        raise StopAsyncIteration

    def set_filter(self, filter: Filter) -> None:  # noqa: A002
        """Watch for something else; what comes next is a Snapshot."""
        self._filter = filter
        self._told = None
        self._has_news.set()

    def close(self) -> None:
        """End the iteration, also for a reader that waits."""
        self._is_closed = True
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._has_news.set()

    def _next_change(self) -> Change | None:
        if self._told is None or self._has_news.is_set():
            self._has_news.clear()
            matching = {each.id: each for each in self._catalogue.entries(self._filter)}
            if self._told is None:
                self._told = matching
                self._changes = iter(())
                return Snapshot(tuple(matching.values()))
            self._changes = iter(_difference(self._told, matching))
        change = next(self._changes, None)
        if change is not None:
            _note(change, self._told)
        return change


def _difference(told: dict[str, Entry], matching: dict[str, Entry]) -> list[Change]:
    removed = [Removed(entry) for entry in told.values() if entry.id not in matching]
    kept = [entry for entry in matching.values() if entry.id in told]
    updated = [Updated(entry) for entry in kept if _is_other(entry, told[entry.id])]
    added = [Added(entry) for entry in matching.values() if entry.id not in told]
    return [*removed, *updated, *added]


def _is_other(entry: Entry, told: Entry) -> bool:
    if entry is told:  # nearly always, and much quicker
        return False
    return entry.sources != told.sources or entry.instance != told.instance


def _note(change: Change, told: dict[str, Entry]) -> None:
    match change:
        case Removed(entry):
            del told[entry.id]
        case Added(entry) | Updated(entry):
            told[entry.id] = entry
