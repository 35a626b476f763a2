"""Finds which entries of the catalogue are one host, which people name otherwise than discovery."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace

from usbshare.base.waits import set_within
from usbshare.hosts.host_selection import is_own
from usbshare.hosts.instance import Entry, Kind, Observation, Source
from usbshare.hosts.merge import merged
from usbshare.hosts.places import Place, place_of
from usbshare.hosts.targets import is_asked, sites_of
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

AGAIN_S = 30.0
MOST_AT_ONCE = 8

Look = Callable[[Sequence[Target], ClientBundle | None], Awaitable[Place]]


@dataclass(frozen=True, slots=True)
class Joined:
    """One host: what is known of it together, and the ids of its entries in the catalogue."""

    entry: Entry
    ids: tuple[str, ...]


class Joining:
    """Looks where hosts are as long as `run` runs; `changed` is called when it knows more.

    What the configuration names `shop`, or a person only by its address, may be what discovery
    calls `workshop`: if it shows the same certificate, or, before that was seen, has an address in
    common. What says that it is of another site is never joined: anybody can announce anything.
    """

    def __init__(self, changed: Callable[[], None], look: Look = place_of) -> None:
        self._changed = changed
        self._look = look
        self._places: dict[str, tuple[Sequence[Target], Place]] = {}  # by the entry's id
        self._entries: Sequence[Entry] = ()
        self._bundle: ClientBundle | None = None
        self._is_due = asyncio.Event()
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)

    def joined(
        self, entries: Sequence[Entry], unnamed: Collection[str], bundle: ClientBundle | None
    ) -> list[Joined]:
        """Return the hosts; `unnamed` are the names of entries that are mere addresses."""
        has_other_trust = bundle is not self._bundle
        self._entries, self._bundle = entries, bundle
        if has_other_trust or any(map(self._is_unseen, self._to_look_at())):
            self._is_due.set()
        known = {each.id for each in entries}
        self._places = {id_: each for id_, each in self._places.items() if id_ in known}
        hosts: list[list[Entry]] = []
        for entry in sorted(entries, key=lambda each: _rank(each, unnamed)):
            same = (each for each in hosts if self._is_of(entry, each, unnamed))
            if (host := next(same, None)) is not None:
                host.append(entry)
            else:
                hosts.append([entry])
        return [Joined(_united(each, unnamed), tuple(one.id for one in each)) for each in hosts]

    async def run(self) -> None:
        """Look now and then, and when something new is known; never returns."""
        while True:
            self._is_due.clear()
            await asyncio.gather(*(self._look_at(entry) for entry in self._to_look_at()))
            await set_within(self._is_due, AGAIN_S)

    def _to_look_at(self) -> list[Entry]:
        named = [each for each in self._entries if _is_only_named(each)]
        ports = {each.instance.port_of(Kind.SERIAL) for each in named}
        sites = sites_of(self._bundle)
        return [
            each
            for each in self._entries
            if each.instance.port_of(Kind.SERIAL) in ports
            and is_asked(each, sites, in_plaintext=self._bundle is None)
        ]

    async def _look_at(self, entry: Entry) -> None:
        targets = _targets(entry)
        async with self._at_once:
            place = await self._look(targets, self._bundle)
        if self._places.get(entry.id) != (targets, place):
            self._places[entry.id] = (targets, place)
            self._changed()

    def _is_unseen(self, entry: Entry) -> bool:
        return entry.id not in self._places or self._places[entry.id][0] != _targets(entry)

    def _is_of(self, entry: Entry, host: Sequence[Entry], unnamed: Collection[str]) -> bool:
        """Return whether an entry is one more of a host's; two that discovery found never are."""
        if not _is_only_named(entry):
            return False
        is_unnamed = entry.instance.name in unnamed
        return any(
            _has_same_port(entry, each)
            and (is_unnamed or not _is_only_named(each))
            and not self._is_foreign(each)
            and self._place(entry).is_that_of(self._place(each))
            for each in host
        )

    def _is_foreign(self, entry: Entry) -> bool:
        sites = sites_of(self._bundle)
        return bool(sites and entry.instance.site) and not is_own(entry, sites)

    def _place(self, entry: Entry) -> Place:
        instance = entry.instance
        told = {each.casefold() for each in (*instance.addresses, instance.host) if each}
        if self._is_unseen(entry):
            return Place(frozenset(told))
        _, seen = self._places[entry.id]
        return Place(seen.addresses | told, seen.certificate)


def _targets(entry: Entry) -> Sequence[Target]:
    port = entry.instance.port_of(Kind.SERIAL)
    return [] if port is None else [Target(each, port) for each in entry.instance.addresses]


def _has_same_port(one: Entry, other: Entry) -> bool:
    port = one.instance.port_of(Kind.SERIAL)
    return port is not None and port == other.instance.port_of(Kind.SERIAL)


def _is_only_named(entry: Entry) -> bool:
    return set(entry.sources) == {Source.STATIC}


def _rank(entry: Entry, unnamed: Collection[str]) -> int:
    """Return what discovery found first, then what has a name, then mere addresses."""
    return 0 if not _is_only_named(entry) else 1 if entry.instance.name not in unnamed else 2


def _united(host: Sequence[Entry], unnamed: Collection[str]) -> Entry:
    """Return what is known of a host together: a person's word first, but for a mere address."""
    first = host[0]
    if len(host) == 1:
        return first
    names = [each.instance.name for each in host if _rank(each, unnamed) == 1]
    by_person = [each for each in host if _is_only_named(each)]
    told = [*by_person, *(each for each in host if each not in by_person)]
    observations = [
        Observation(Source.STATIC if each in by_person else Source.MDNS, each.id, each.instance)
        for each in told
    ]
    instance = replace(merged(observations), name=next(iter(names), first.instance.name))
    sources = frozenset[Source]().union(*(each.sources for each in host))
    return Entry(first.id, instance, sources, max(each.last_seen for each in host))
