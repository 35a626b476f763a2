"""Measures the parts of round trips of the machines that pages show, and keeps the last minutes."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field

from usbshare.base.backoff import Backoff
from usbshare.base.errors import UsbshareError
from usbshare.base.watched_task import cancel_all, in_background
from usbshare.client.latency.records import HostLatency, PortLatency
from usbshare.client.latency.watch import LatencyWatch
from usbshare.client.serial.client import SerialClient
from usbshare.panel.machines.machine_view import MachineKey

INTERVAL_S = 1.0
KEPT = 300  # five minutes
MOST_MACHINES = 256


@dataclass(frozen=True, slots=True)
class Record:
    """The parts of one machine's round trip at one moment; `unix_s` by the gateway's clock."""

    key: MachineKey
    unix_s: float
    latency: PortLatency


Took = Callable[[Record], None]
Connect = Callable[[str], SerialClient]


@dataclass(slots=True)
class _Followed:
    """One host that is asked, since pages show machines of it."""

    task: asyncio.Task[None]
    viewers: set[tuple[Hashable, MachineKey]] = field(default_factory=set)


class Latencies:
    """Asks a host once a second while a page shows a machine of it, however many pages do.

    `connect` returns a new client of a host's serial service; raises UsbshareError. What was
    measured is kept for those who look again.
    """

    def __init__(self, connect: Connect, clock: Callable[[], float] = time.time) -> None:
        self._connect = connect
        self._clock = clock
        self._hosts: dict[str, _Followed] = {}
        self._took: dict[tuple[Hashable, MachineKey], Took] = {}
        self._kept: dict[MachineKey, deque[Record]] = {}

    def show(self, viewer: Hashable, key: MachineKey, took: Took) -> None:
        """Call `took` with each new record of a machine, until `hide`; raises UsbshareError."""
        host = key[0]
        followed = self._hosts.get(host)
        if followed is None:
            following = self._follow(host, self._connect(host))
            followed = _Followed(in_background(following, f"latency of {host}"))
            self._hosts[host] = followed
        followed.viewers.add((viewer, key))
        self._took[viewer, key] = took

    def hide(self, viewer: Hashable, key: MachineKey) -> None:
        """Stop the callbacks; a host is asked only while a page shows one of its machines."""
        self._took.pop((viewer, key), None)
        followed = self._hosts.get(key[0])
        if followed is None:
            return
        followed.viewers.discard((viewer, key))
        if not followed.viewers:
            del self._hosts[key[0]]
            followed.task.cancel()

    def past(self, key: MachineKey) -> list[Record]:
        """Return the records of the last minutes, the oldest first."""
        since = self._clock() - KEPT * INTERVAL_S
        return [record for record in self._kept.get(key, ()) if record.unix_s >= since]

    async def close(self) -> None:
        """Stop asking."""
        tasks = [each.task for each in self._hosts.values()]
        self._hosts.clear()
        self._took.clear()
        await cancel_all(*tasks)

    async def _follow(self, host: str, client: SerialClient) -> None:
        """Ask until cancelled; after each failure again, at the host's current address."""
        backoff = Backoff(random.random)
        while True:
            watch = LatencyWatch(host, client)
            with suppress(UsbshareError):  # the host's own state says why
                try:
                    while True:
                        self._found(host, await watch.look())
                        backoff.reset()
                        await asyncio.sleep(INTERVAL_S)
                finally:
                    await client.close()
            client = await self._connected(host, backoff)

    async def _connected(self, host: str, backoff: Backoff) -> SerialClient:
        while True:
            await asyncio.sleep(max(INTERVAL_S, backoff.next_s()))
            with suppress(UsbshareError):  # it is not known now
                return self._connect(host)

    def _found(self, host: str, found: HostLatency) -> None:
        now = self._clock()
        for latency in found.ports:
            record = Record((host, latency.port.id), now, latency)
            self._keep(record)
            for (_, key), took in list(self._took.items()):
                if key == record.key:
                    took(record)

    def _keep(self, record: Record) -> None:
        kept = self._kept.pop(record.key, None)
        if kept is None:
            while len(self._kept) >= MOST_MACHINES:
                del self._kept[next(iter(self._kept))]
            kept = deque(maxlen=KEPT)
        self._kept[record.key] = kept  # the latest goes last, so that the oldest is forgotten
        kept.append(record)
