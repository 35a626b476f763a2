"""What is known of the network: observations of all sources, merged into one entry a host."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from usbshare.hosts.filter import Filter
from usbshare.hosts.instance import Entry, Observation, Source
from usbshare.hosts.merge import Gathering, merged, preference

MOST_OF_A_SOURCE = 1024
MOST_OF_A_NAME = 64

# Removed when nothing answers there. The configuration, this host and another discovery service
# do so themselves.
_UNVERIFIED = frozenset({Source.MDNS, Source.BEACON})

_At = tuple[Source, str]


@dataclass(slots=True, eq=False)
class _Record:
    observation: Observation
    seen: float
    number: int  # in the order of first observation
    entry_id: str = ""

    @property
    def name(self) -> str:
        return _folded(self.observation)


class _Host:
    """What is merged into one entry; the entry is made once for all who ask."""

    def __init__(self, entry_id: str, records: list[_Record]) -> None:
        self.id = entry_id
        self.records = records
        self.instance = merged([each.observation for each in records])
        self.order = (self.instance.name.casefold(), self.instance.name, int(entry_id))
        self._sources = frozenset(each.observation.source for each in records)
        self._entry: Entry | None = None

    def entry(self) -> Entry:
        if self._entry is None:
            last_seen = max(each.seen for each in self.records)
            self._entry = Entry(self.id, self.instance, self._sources, last_seen)
        return self._entry

    def seen(self) -> None:
        """Note that one of the records was seen again."""
        self._entry = None


class Catalogue:
    """Bounded however much is reported: 1024 observations per source, 64 per name; no more."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._records: dict[_At, _Record] = {}
        self._of_name: dict[str, list[_Record]] = {}
        self._of_source: Counter[Source] = Counter()
        self._hosts: dict[str, _Host] = {}
        self._sorted: list[_Host] | None = None
        self._hosts_of: dict[str, list[_Host]] = {}
        self._numbers = itertools.count(1)
        self._ids = itertools.count(1)
        self._listeners: dict[object, Callable[[], None]] = {}

    def observe(self, observation: Observation) -> bool:
        """Add what a source reports; False if there is no room for it."""
        at = (observation.source, observation.key)
        known = self._records.get(at)
        if known is not None and known.observation.instance == observation.instance:
            self._renew(known, observation)
            return True
        names = [] if known is None else [self._drop(at)]
        has_room = self._has_room(observation)
        if has_room:
            names.append(self._add(observation, known))
        self._regroup(names)
        return has_room

    def forget(self, source: Source, key: str) -> None:
        """Drop what the source reported of that instance."""
        self._forget([(source, key)])

    def forget_source(self, source: Source) -> None:
        """Drop everything that the source reported."""
        self._forget([at for at in self._records if at[0] is source])

    def expire(self) -> None:
        """Drop what has expired by now."""
        now = self.clock()
        self._forget([at for at, each in self._records.items() if _expires_at(each) <= now])

    def next_expiry(self) -> float | None:
        """Return when the next observation expires, in monotonic seconds.

        None if none ever does.
        """
        soonest = min((_expires_at(each) for each in self._records.values()), default=math.inf)
        return None if soonest == math.inf else soonest

    def reached(self, entry_id: str) -> None:
        """Note that the host answers; a change that is not reported."""
        host = self._hosts.get(entry_id)
        if host is not None:
            for record in host.records:
                record.seen = self.clock()
            host.seen()

    def unreachable(self, entry_id: str) -> None:
        """Note that the host does not answer: its multicast entries are dropped."""
        host = self._hosts.get(entry_id)
        observations = [each.observation for each in host.records] if host else []
        self._forget(
            [(each.source, each.key) for each in observations if each.source in _UNVERIFIED]
        )

    def entries(self, filter: Filter | None = None) -> list[Entry]:  # noqa: A002
        """Return those that match, sorted by name."""
        if self._sorted is None:
            self._sorted = sorted(self._hosts.values(), key=lambda each: each.order)
        return [
            each.entry() for each in self._sorted if not filter or filter.matches(each.instance)
        ]

    def get(self, entry_id: str) -> Entry | None:
        """Return the entry of that id, None if it is gone."""
        host = self._hosts.get(entry_id)
        return host.entry() if host else None

    def knows(self, source: Source, key: str) -> bool:
        """Return whether that observation of the source is still valid."""
        return (source, key) in self._records

    def count(self, source: Source) -> int:
        """Return how many instances the source knows now."""
        return self._of_source[source]

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back after each change, until what is returned is called.

        A later last_seen or a later expiry is no change.
        """
        token = object()
        self._listeners[token] = callback

        def unsubscribe() -> None:
            self._listeners.pop(token, None)

        return unsubscribe

    def _has_room(self, observation: Observation) -> bool:
        return (
            self._of_source[observation.source] < MOST_OF_A_SOURCE
            and len(self._of_name.get(_folded(observation), ())) < MOST_OF_A_NAME
        )

    def _renew(self, known: _Record, observation: Observation) -> None:
        before = _expires_at(known)
        known.observation = observation
        known.seen = self.clock()
        self._hosts[known.entry_id].seen()
        if _expires_at(known) < before:  # a wait for the next expiry must be shortened
            self._tell()

    def _add(self, observation: Observation, known: _Record | None) -> str:
        if known is None:
            known = _Record(observation, 0.0, next(self._numbers))
        known.observation = observation
        known.seen = self.clock()
        self._records[observation.source, observation.key] = known
        self._of_source[observation.source] += 1
        self._of_name.setdefault(known.name, []).append(known)
        return known.name

    def _forget(self, gone: Iterable[_At]) -> None:
        self._regroup([self._drop(at) for at in gone if at in self._records])

    def _drop(self, at: _At) -> str:
        record = self._records.pop(at)
        self._of_source[at[0]] -= 1
        self._of_name[record.name].remove(record)
        return record.name

    def _regroup(self, names: Iterable[str]) -> None:
        """Merge again what has one of these names, and report it."""
        changed = dict.fromkeys(names)
        if not changed:
            return
        for name in changed:
            for host in self._hosts_of.pop(name, ()):
                del self._hosts[host.id]
        for name in changed:
            records = self._of_name.pop(name, [])
            if records:
                self._of_name[name] = records
                self._hosts_of[name] = [self._settled(each) for each in _together(records)]
        self._sorted = None
        self._tell()

    def _settled(self, records: list[_Record]) -> _Host:
        """Make them an entry, under the oldest id among them that is still free."""
        told = [each.entry_id for each in sorted(records, key=lambda each: each.number)]
        free = (each for each in told if each and each not in self._hosts)
        entry_id = next(free, None) or str(next(self._ids))
        for record in records:
            record.entry_id = entry_id
        self._hosts[entry_id] = host = _Host(entry_id, records)
        return host

    def _tell(self) -> None:
        for callback in list(self._listeners.values()):
            callback()


def _together(records: Iterable[_Record]) -> list[list[_Record]]:
    """Part them by host; the longest known first, so that ids stay where they were."""
    parts: list[tuple[Gathering, list[_Record]]] = []
    for record in sorted(records, key=lambda each: (preference(each.observation), each.number)):
        for gathering, part in parts:
            if gathering.takes(record.observation):
                part.append(record)
                break
        else:
            parts.append((Gathering(record.observation), [record]))
    hosts = [part for _, part in parts]
    return sorted(hosts, key=lambda part: min(each.number for each in part))


def _expires_at(record: _Record) -> float:
    expires_at = record.observation.expires_at
    return math.inf if expires_at is None else expires_at


def _folded(observation: Observation) -> str:
    return observation.instance.name.casefold()
