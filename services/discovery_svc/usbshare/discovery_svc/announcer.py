"""Announces to the network, and to this host's own clients, what this host offers."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace

from usbshare.base.threads import in_thread
from usbshare.discovery_svc.announcement_methods import (
    Beacon,
    BeaconWay,
    LocalWay,
    Mdns,
    MdnsWay,
    Way,
)
from usbshare.discovery_svc.registrations import Offer
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import Instance
from usbshare.hosts.interfaces import interfaces_up

log = logging.getLogger(__name__)

LOOK_AGAIN_S = 5.0  # at addresses, and at the name


class Announcer:
    """Keeps what is announced equal to what is offered; `instance` is all else but addresses."""

    def __init__(self, instance: Instance, interfaces: Sequence[str], catalogue: Catalogue) -> None:
        self.name = instance.name
        self._base = instance
        self._offer = Offer()
        self._addresses: tuple[str, ...] = ()
        self._interfaces = interfaces
        self._catalogue = catalogue
        self._news: list[asyncio.Event] = []

    def offered(self, offer: Offer) -> None:
        """Announce this from now on."""
        self._offer = offer
        self._changed()

    def is_of_site(self, fingerprint: str) -> None:
        """Announce this site from now on: it has another authority."""
        self._base = replace(self._base, site=fingerprint)
        self._changed()

    async def start(self) -> None:
        """Report to this host's own clients; nothing is sent to the network yet."""
        await self._look(None)
        await LocalWay(self._catalogue).tell(self._instance())

    async def run(self, mdns: Mdns | None, beacon: Beacon | None) -> None:
        """Announce every change of offer, addresses and name, until cancelled; then withdraw it.

        Each way has its own task: ensuring a unique name takes multicast DNS a while.
        """
        ways: list[Way] = [LocalWay(self._catalogue)]
        ways += [BeaconWay(beacon)] if beacon else []
        ways += [MdnsWay(mdns, self._base.name, self._named)] if mdns else []
        try:
            async with asyncio.TaskGroup() as tasks:
                for way in ways:
                    tasks.create_task(self._keep_told(way), name="tell of this host")
                tasks.create_task(self._look_again(mdns), name="look at addresses")
        finally:
            log.info("stopping: withdrawing the announcements")
            await asyncio.gather(*(way.withdraw() for way in ways))

    async def _keep_told(self, way: Way) -> None:
        told: Instance | None = None
        news = asyncio.Event()
        self._news.append(news)
        while True:
            news.clear()
            if (instance := self._instance()) != told:
                told = instance
                await way.tell(instance)
            await news.wait()

    async def _look_again(self, mdns: Mdns | None) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            await self._look(mdns)

    async def _look(self, mdns: Mdns | None) -> None:
        self._addresses = await in_thread(_own_addresses, self._interfaces)
        if mdns is not None and mdns.name:
            self._named(mdns.name)
        self._changed()

    def _named(self, name: str) -> None:
        if name != self.name:
            log.warning("the name %r is taken: announced as %r", self._base.name, name)
            self.name = name
            self._changed()

    def _changed(self) -> None:
        for each in self._news:
            each.set()

    def _instance(self) -> Instance:
        own_kinds = {each.kind for each in self._base.endpoints}
        others = (each for each in self._offer.endpoints if each.kind not in own_kinds)
        return replace(
            self._base,
            name=self.name,
            addresses=self._addresses,
            endpoints=(*others, *self._base.endpoints),
            port_ids=self._offer.port_ids,
        )


def own_host_name() -> str:
    """Return the name that multicast DNS gives this host."""
    return f"{socket.gethostname().partition('.')[0]}.local"


def _own_addresses(chosen: Sequence[str]) -> tuple[str, ...]:
    return tuple(_in_order(chosen))


def _in_order(chosen: Sequence[str]) -> Iterator[str]:
    found = interfaces_up(chosen)
    for interface in found:
        yield from interface.ipv4
    for interface in found:
        yield from interface.ipv6
