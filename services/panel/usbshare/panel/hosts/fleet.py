"""The hosts named by discovery, the configuration and people, each under a stable key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from usbshare.base.errors import ConnectionRefusedByPeerError, InvalidArgumentError, NotFoundError
from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import Endpoint, Entry, Instance, Kind, Observation, Source
from usbshare.hosts.liveness import Liveness
from usbshare.hosts.places import place_of
from usbshare.hosts.targets import is_asked, sites_of
from usbshare.panel.board import HOSTS, Board
from usbshare.panel.hosts.host import Followers, Host, HostView, Relation
from usbshare.panel.hosts.joining import Joined, Joining, Look
from usbshare.panel.kept_list import KeptList
from usbshare.panel.machines.machines import Machines
from usbshare.rpc.channel import Target, parse_target
from usbshare.rpc.tls import ClientBundle

# Limits for discovered hosts: of our site, of other sites, and of unknown site.
MOST_HOSTS = 64
# A host that has answered stays this long after discovery has lost it.
KEPT_S = 600.0
LOOK_S = 5.0
_SITE_DIGITS = 12

Pack = Callable[[HostView], str]


class Found(Protocol):
    """Finds hosts once it is started."""

    liveness: Liveness

    @property
    def catalogue(self) -> Catalogue:
        """What it knows."""
        ...

    def start_liveness(self) -> None:
        """Drop hosts that do not answer."""


OpenFinder = Callable[[ClientBundle | None], AbstractAsyncContextManager[Found]]

ADDED_HOSTS: KeptList[Target] = KeptList(
    "panel-hosts.json",
    "added",
    "the hosts that were added",
    64 * 1024,
    lambda told: parse_target(str(told)),
    str,
)


class Fleet:
    """Follows the hosts of our site while it is entered; the others are only shown.

    `bundle` None: in plaintext if `in_plaintext`, and else nobody is asked.
    """

    def __init__(
        self,
        board: Board,
        machines: Machines,
        followers: Followers,
        pack: Pack,
        *,
        in_plaintext: bool,
        look: Look = place_of,
    ) -> None:
        self.bundle: ClientBundle | None = None
        self._board = board
        self._machines = machines
        self._followers = followers
        self._pack = pack
        self._in_plaintext = in_plaintext
        self._hosts: dict[str, Host] = {}
        self._keys: dict[str, str] = {}  # by the catalogue's id
        self._gone_at: dict[str, float] = {}
        self._named: list[Target] = []
        self._added: dict[str, Target] = {}
        self._found: Found | None = None
        self._changed = asyncio.Event()
        self._joining = Joining(self._changed.set, look)
        self._on_change: Callable[[], None] = lambda: None

    @asynccontextmanager
    async def running(
        self,
        open_finder: OpenFinder,
        bundle: ClientBundle | None,
        named: Iterable[Target],
        added: Iterable[Target] = (),
    ) -> AsyncIterator[None]:
        """Find and follow hosts; `named` and `added` are followed without discovery."""
        self.bundle = bundle
        self._added = {str(target): target for target in list(added)[:MOST_HOSTS]}
        async with open_finder(bundle) as found:
            self._found = found
            self._named = list(named)
            for target in (*self._named, *self._added.values()):
                self._observe(target)
            found.start_liveness()
            running = asyncio.create_task(self._run(found.catalogue), name="fleet")
            joining = asyncio.create_task(self._joining.run(), name="join hosts")
            try:
                yield
            finally:
                await cancel_all(running, joining)
                await asyncio.gather(*(host.stop() for host in self._hosts.values()))

    def __iter__(self) -> Iterator[Host]:
        return iter(list(self._hosts.values()))

    def get(self, key: str) -> Host:
        """Return the host with that key; raises NotFoundError."""
        if (host := self._hosts.get(key)) is None:
            raise NotFoundError(f"host {key!r} is no longer known")
        return host

    def followed(self, key: str) -> Host:
        """Return a host whose services are followed; ConnectionRefusedByPeerError says why not."""
        host = self.get(key)
        if not host.is_followed:
            why = "is not known to belong to this computer's site"
            if self.bundle is None and not self._in_plaintext:
                why = "accepts only computers that have a certificate: enrol this computer first"
            raise ConnectionRefusedByPeerError(f"host {key!r} {why}")
        return host

    async def use(self, bundle: ClientBundle | None) -> None:
        """Follow all hosts with this certificate from now on."""
        self.bundle = bundle
        if self._found is not None and bundle is not None:
            self._found.liveness.use(bundle)
        await asyncio.gather(*(host.use(bundle) for host in self if host.is_followed))
        self._changed.set()

    def name(self, target: Target) -> None:
        """Follow a host that discovery need not find, until the panel ends."""
        if target not in self._named:
            self._named.append(target)
            self._observe(target)

    def add(self, address: str) -> Host:
        """Follow the host of an address that a person gave; raises InvalidArgumentError."""
        target = parse_target(address)
        if len(self._added) >= MOST_HOSTS:
            raise InvalidArgumentError(f"{MOST_HOSTS} hosts have been added: forget one first")
        self._added[str(target)] = target
        self._observe(target)
        self._settle()
        return self._host_at(target)

    def forget(self, key: str) -> None:
        """Remove a host that a person added; InvalidArgumentError for any other host."""
        host = self.get(key)
        mine = [text for text, target in self._added.items() if _is_at(host.entry, target)]
        if not mine:
            raise InvalidArgumentError(
                f"host {key!r} cannot be removed here: discovery or the configuration names it"
            )
        for text in mine:
            del self._added[text]
            if self._found is not None:
                self._found.catalogue.forget(Source.STATIC, text)
        host.was_connected = False
        self._changed.set()

    def view(self, host: Host) -> HostView:
        """Return a host as pages show it."""
        return host.view(self._catalogue.clock())

    def find(self, text: str) -> Host | None:
        """Return the host with that name or address; None if there is none."""
        folded = text.casefold()
        for host in self._hosts.values():
            instance = host.entry.instance
            port = instance.port_of(Kind.SERIAL)
            places = {f"{each}:{port}" for each in instance.addresses}
            names = {instance.name, instance.host, *instance.addresses, *places}
            if folded and folded in {each.casefold() for each in names if each}:
                return host
        return None

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call back when hosts have come, changed or gone."""
        self._on_change = changed

    @property
    def added(self) -> list[Target]:
        """The addresses of hosts that people added."""
        return list(self._added.values())

    # Helpers.

    async def _run(self, catalogue: Catalogue) -> None:
        unsubscribe = catalogue.subscribe(self._changed.set)
        try:
            while True:
                self._changed.clear()
                self._settle()
                await self._drop_gone()
                self._on_change()
                await set_within(self._changed, LOOK_S)
        finally:
            unsubscribe()

    def _observe(self, target: Target) -> None:
        if self._found is None:
            return
        text = str(target)
        instance = Instance(
            target.name or text, (target.host,), (Endpoint(Kind.SERIAL, target.port),)
        )
        self._found.catalogue.observe(Observation(Source.STATIC, text, instance))

    def _settle(self) -> None:
        """Follow new hosts, and note changes."""
        catalogue = self._catalogue
        unnamed = {each.name or str(each) for each in (*self._named, *self._added.values())}
        hosts = self._joining.joined(catalogue.entries(), unnamed, self.bundle)
        living = {id_ for each in hosts for id_ in each.ids}
        self._keys = {id_: key for id_, key in self._keys.items() if id_ in living}
        sites, noted = sites_of(self.bundle), set[str]()
        for each in hosts:
            if (key := self._key_of(each, noted)) is not None:
                noted.add(key)
                self._note(key, each.entry, sites)
        now = catalogue.clock()
        for key in self._hosts.keys() - set(self._keys.values()):
            self._gone_at.setdefault(key, now)

    def _note(self, key: str, entry: Entry, sites: Collection[str]) -> None:
        host = self._hosts.get(key)
        relation = _relation(entry, sites)
        self._gone_at.pop(key, None)
        if host is None:
            host = self._hosts[key] = Host(
                key, entry, relation, self._machines, self._show, self._followers
            )
        host.entry, host.relation = entry, relation
        host.is_added = any(_is_at(entry, target) for target in self._added.values())
        if not host.is_followed and self._may_ask(entry, sites):
            host.start(self.bundle)
        self._show(host)

    def _may_ask(self, entry: Entry, sites: Collection[str]) -> bool:
        may_ask = self.bundle is not None or self._in_plaintext
        return may_ask and is_asked(entry, sites, in_plaintext=self.bundle is None)

    async def _drop_gone(self) -> None:
        now = self._catalogue.clock()
        for key, gone_at in list(self._gone_at.items()):
            host = self._hosts[key]
            if host.was_connected and now - gone_at < KEPT_S:
                continue
            del self._hosts[key], self._gone_at[key]
            await host.stop()
            self._board.remove(HOSTS, (key,), json.dumps(key, ensure_ascii=False))

    def _key_of(self, joined: Joined, noted: Collection[str]) -> str | None:
        """Return the key of a host, the one it had before where it comes back; None: no room.

        `noted` are the keys of others.
        """
        had = {self._keys.pop(id_) for id_ in joined.ids if id_ in self._keys}
        known = [key for key in self._hosts if key in had and key not in noted]
        key = max(known, key=self._in_use, default=None) or self._free_key(joined.entry)
        if key is not None:
            self._keys.update(dict.fromkeys(joined.ids, key))
        for other in known:
            if other != key:  # it was shown as two until now
                self._hosts[other].was_connected = False
        return key

    def _in_use(self, key: str) -> tuple[bool, bool]:
        is_controlled = any(machine.own_session for machine in self._machines.of(key))
        return is_controlled, self._hosts[key].is_connected

    def _free_key(self, entry: Entry) -> str | None:
        taken = set(self._keys.values())
        free = [key for key in self._hosts if key not in taken]
        base = _base_key(entry, sites_of(self.bundle))
        again = next((key for key in free if _is_of(key, base)), None)
        if again is None and self._has_room(entry):
            again = next(key for key in _numbered(base) if key not in self._hosts)
        return again

    def _has_room(self, entry: Entry) -> bool:
        """Return whether one more may be shown; foreign hosts take no place of our site's."""
        if Source.STATIC in entry.sources:
            return True
        relation = _relation(entry, sites_of(self.bundle))
        alike = [
            host
            for host in self._hosts.values()
            if host.relation is relation and Source.STATIC not in host.entry.sources
        ]
        return len(alike) < MOST_HOSTS

    def _host_at(self, target: Target) -> Host:
        found = (host for host in self._hosts.values() if _is_at(host.entry, target))
        if (host := next(found, None)) is None:
            raise NotFoundError(f"{target} is no longer known")
        return host

    def _show(self, host: Host) -> None:
        if self._hosts.get(host.key) is host:
            self._board.put(HOSTS, (host.key,), self._pack(self.view(host)))

    @property
    def _catalogue(self) -> Catalogue:
        if self._found is None:
            raise RuntimeError("the fleet is not running")
        return self._found.catalogue


def _relation(entry: Entry, sites: Collection[str]) -> Relation:
    told = entry.instance.site
    if not told or not sites:
        return Relation.UNKNOWN
    return Relation.OWN if told in sites else Relation.FOREIGN


def _base_key(entry: Entry, sites: Collection[str]) -> str:
    """Return a host's name; a foreign host's says its site, so that it never passes for another."""
    site = entry.instance.site
    foreign = site and site not in sites
    return f"{entry.instance.name}@{site[:_SITE_DIGITS]}" if foreign else entry.instance.name


def _numbered(base: str) -> Iterator[str]:
    yield base
    yield from (f"{base}~{number}" for number in range(2, MOST_HOSTS + 2))


def _is_of(key: str, base: str) -> bool:
    return key == base or key.rpartition("~")[0] == base


def _is_at(entry: Entry, target: Target) -> bool:
    port = entry.instance.port_of(Kind.SERIAL)
    return port == target.port and target.host in (*entry.instance.addresses, entry.instance.host)
