"""Every way in which hosts are found, together: one catalogue, and counters a source."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.counters import SourceCounters, SourceStats
from usbshare.hosts.instance import Observation, Source
from usbshare.hosts.liveness import Liveness
from usbshare.hosts.mdns.mdns import MdnsNode
from usbshare.hosts.settings import DiscoveryTable, HostTable
from usbshare.hosts.sources.beacon import BeaconListener
from usbshare.hosts.via.discovery_service import ViaSource
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

log = logging.getLogger(__name__)

SHORTEST_PAUSE_S = 0.1


class _Node(Protocol):
    async def start(self) -> None: ...

    async def close(self) -> None: ...


NodeT = TypeVar("NodeT", bound=_Node)


class Finder:
    """Finds while it is entered; a way that does not work here is a warning, the others go on.

    `mdns` is None and a source without counters where it is off or does not work.
    """

    def __init__(
        self,
        settings: DiscoveryTable,
        hosts: Mapping[str, HostTable],
        bundle: ClientBundle | None,
        clock: Callable[[], float],
        via: Sequence[Target] = (),
    ) -> None:
        self.catalogue = Catalogue(clock)
        self.counters: dict[Source, SourceCounters] = {}
        self.liveness = Liveness(self.catalogue, bundle, clock)
        self.mdns: MdnsNode | None = None
        self._settings = settings
        self._hosts = hosts
        self._bundle = bundle
        self._clock = clock
        self._via = via
        self._exits = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start every way that is on."""
        try:
            self._add_hosts()
            await self._start_nodes()
            self._spawn("expire entries", self._expire())
        except BaseException:
            await self._exits.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop all, withdrawing what was announced; the catalogue stays as it was."""
        await cancel_all(*self._tasks)
        await self._exits.aclose()

    def start_liveness(self) -> None:
        """From now on drop multicast entries that fail the liveness probe."""
        self._spawn("prove liveness", self.liveness.run())

    async def run(self) -> None:
        """Return never; raises what a background task died of."""
        await asyncio.gather(*self._tasks)

    def add_counters(self, source: Source) -> SourceCounters:
        """Return counters for a source, which from now on is on."""
        return self.counters.setdefault(source, SourceCounters(self._clock))

    def stats(self) -> dict[Source, SourceStats]:
        """Return the counters of each source that is on."""
        return {source: each.snapshot() for source, each in self.counters.items()}

    def reset_stats(self) -> dict[Source, SourceStats]:
        """Set them to zero; return what they were."""
        return {source: each.reset() for source, each in self.counters.items()}

    def active_instances(self) -> dict[Source, int]:
        """Return how many instances each source that is on knows now."""
        return {source: self.catalogue.count(source) for source in self.counters}

    def _add_hosts(self) -> None:
        for name, table in self._hosts.items():
            self.add_counters(Source.STATIC)
            self.catalogue.observe(Observation(Source.STATIC, name, table.instance(name)))

    async def _start_nodes(self) -> None:
        self._exits.push_async_callback(self.liveness.close)
        settings, catalogue = self._settings, self.catalogue
        if settings.mdns:
            node = MdnsNode(catalogue, self.add_counters(Source.MDNS), settings)
            self.mdns = await self._start(Source.MDNS, node)
        if settings.beacon:
            counters = self.add_counters(Source.BEACON)
            await self._start(Source.BEACON, BeaconListener(catalogue, counters, settings))
        for target in self._via:
            source = ViaSource(target, self._bundle, catalogue)
            self._spawn(f"ask {target}", source.run())

    async def _start(self, source: Source, node: NodeT) -> NodeT | None:
        try:
            await node.start()
        except Exception as error:  # whatever it is: the other ways must go on
            log.warning("cannot find hosts by %s: %s", source.value, error)
            del self.counters[source]
            return None
        self._exits.push_async_callback(node.close)
        return node

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    async def _expire(self) -> None:
        changed = asyncio.Event()
        unsubscribe = self.catalogue.subscribe(changed.set)  # which an expiry that is nearer calls
        try:
            while True:
                changed.clear()
                self.catalogue.expire()
                await set_within(changed, self._until_expiry_s())
                await asyncio.sleep(SHORTEST_PAUSE_S)
        finally:
            unsubscribe()

    def _until_expiry_s(self) -> float | None:
        next_at = self.catalogue.next_expiry()
        return None if next_at is None else max(0.0, next_at - self._clock())
