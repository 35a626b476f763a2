"""Asks the hosts of our site again and again: round trip, and who holds their ports."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from usbshare.base.errors import UsbshareError
from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.tables.hosts import Look
from usbshare.client.serial.client import SerialClient
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.identity_proof import first_proven
from usbshare.hosts.instance import Entry, Instance
from usbshare.hosts.targets import targets_of
from usbshare.rpc.tls import ClientBundle

INTERVAL_S = 5.0
LOOK_TIMEOUT_S = 3.0
SLOW_LOOK_S = 15.0  # of a host that proved to be there
MOST_AT_ONCE = 16

Ask = Callable[[Entry], Awaitable[Look]]


class Looks:
    """What the hosts of a catalogue answered last; `ask` returns what went wrong as a Look too."""

    def __init__(self, catalogue: Catalogue, is_asked: Callable[[Entry], bool], ask: Ask) -> None:
        self.changed = asyncio.Event()
        self._catalogue = catalogue
        self._is_asked = is_asked
        self._ask = ask
        self._looks: dict[str, tuple[Instance, float, Look]] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(MOST_AT_ONCE)

    def of(self, entry: Entry) -> Look | None:
        """Return what the host answered last, None if it has not been asked."""
        _, _, look = self._looks.get(entry.id, (None, 0.0, None))
        return look

    async def run(self) -> None:
        """Ask each host that is due, until cancelled; a new or changed host is due at once."""
        unsubscribe = self._catalogue.subscribe(self.changed.set)
        has_news = asyncio.Event()
        unsubscribe_news = self._catalogue.subscribe(has_news.set)
        try:
            while True:
                has_news.clear()
                self._begin()
                await set_within(has_news, INTERVAL_S / 5)
        finally:
            unsubscribe_news()
            unsubscribe()
            await self._end()

    async def settle(self, timeout_s: float) -> None:
        """Wait for the answers to what was asked."""
        self._begin()
        if self._asking:
            await asyncio.wait(self._asking.values(), timeout=timeout_s)

    def _begin(self) -> None:
        entries = self._catalogue.entries()
        known = {entry.id for entry in entries}
        self._looks = {id_: look for id_, look in self._looks.items() if id_ in known}
        for entry in entries:
            if entry.id not in self._asking and self._is_asked(entry) and self._is_due(entry):
                task = asyncio.create_task(self._look(entry), name=f"look {entry.instance.name}")
                self._asking[entry.id] = task

    def _is_due(self, entry: Entry) -> bool:
        instance, looked_at, _ = self._looks.get(entry.id, (None, 0.0, None))
        return instance != entry.instance or time.monotonic() - looked_at >= INTERVAL_S

    async def _look(self, entry: Entry) -> None:
        try:
            async with self._places:
                look = await self._ask(entry)
            self._looks[entry.id] = (entry.instance, time.monotonic(), look)
            self.changed.set()
        finally:
            del self._asking[entry.id]

    async def _end(self) -> None:
        asking = list(self._asking.values())
        await cancel_all(*asking)


async def look_at(entry: Entry, bundle: ClientBundle | None) -> Look:
    """Ask a host; what goes wrong is in the answer."""
    targets = targets_of(entry, bundle)
    if not targets:
        return Look()
    try:
        if (target := await first_proven(targets, bundle, LOOK_TIMEOUT_S)) is None:
            return Look(failure=f"none within {LOOK_TIMEOUT_S:g} s")
        return await _ask(SerialClient(target, bundle))
    except UsbshareError as error:
        return Look(failure=str(error))


async def _ask(client: SerialClient) -> Look:
    try:
        await client.list_ports(SLOW_LOOK_S)  # connects
        start = time.monotonic()
        ports = await client.list_ports(SLOW_LOOK_S)
        return Look(time.monotonic() - start, tuple(ports))
    finally:
        await client.close()
