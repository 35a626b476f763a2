"""The streams that report ports repeatedly: counters, and what machines report."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Generic, TypeVar

from usbshare.base.fair_turns import Turns
from usbshare.base.lateness import Lateness
from usbshare.client.serial.convert_times import times_message
from usbshare.rpc.identity import Identity
from usbshare.rpc.wire_time import duration, seconds_of, timestamp
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc.api.convert_machine import machine_message
from usbshare.serial_svc.api.convert_stats import stats_message
from usbshare.serial_svc.api.visible_ports import KnownPorts
from usbshare.serial_svc.ports.machine_watch import ANSWER_S
from usbshare.serial_svc.ports.port import SerialPort

# A tenth of the loop's time at most.
MOST_MESSAGES_PER_S = 2000.0
# Less than the shortest interval that may be asked for.
OLDEST_S = 0.09

Who = Callable[[], Identity]
_Message = TypeVar("_Message")


class Watches:
    """Serves those who watch; what they cost together is bounded, however many they are.

    Who calls is asked for each message, so that its rights count as they are then.
    """

    def __init__(self, known: KnownPorts, lateness: Lateness) -> None:
        self._known = known
        self._lateness = lateness
        self._started_at = time.monotonic()
        self._turns = Turns()
        self._stats = Board(stats_message, time.monotonic)
        self._machines = Board(machine_message, time.monotonic)

    async def stats(
        self, request: pb.WatchStatsRequest, caller: Who
    ) -> AsyncIterator[pb.WatchStatsResponse]:
        """Yield the counters of one port or of all, until cancelled."""
        interval_s = seconds_of(request.interval, "interval", least=0.1, most=3600.0, absent=1.0)
        with self._stats.watched():
            while True:
                await self._turns.take()
                message = self._stats_of(request.port_id, caller())
                yield message
                least_s = self._stats.least_interval_s(len(message.ports))
                await asyncio.sleep(max(interval_s, least_s))

    async def machine(
        self, request: pb.WatchMachineRequest, caller: Who
    ) -> AsyncIterator[pb.WatchMachineResponse]:
        """Yield what one machine reports, until cancelled."""
        interval_s = seconds_of(request.interval, "interval", least=0.1, most=3600.0, absent=1.0)
        with self._machines.watched():
            while True:
                await self._turns.take()
                if self._known.get(request.port_id, caller()).machine.ask():
                    await asyncio.sleep(ANSWER_S)
                    await self._turns.take()
                yield self._machines.of(self._known.get(request.port_id, caller()))
                await asyncio.sleep(max(interval_s, self._machines.least_interval_s(1)))

    def _stats_of(self, port_id: str, caller: Identity) -> pb.WatchStatsResponse:
        visible = self._known.visible(caller)
        ports = [self._known.get(port_id, caller)] if port_id else visible
        return pb.WatchStatsResponse(
            time=timestamp(datetime.now(UTC)),
            uptime=duration(time.monotonic() - self._started_at),
            clients=sum(len(port.roster) for port in visible),
            ports=[self._stats.of(port) for port in ports],
            wake_time=times_message(self._lateness.summary()),
        )


class Board(Generic[_Message]):
    """Makes a message of each port now and then, once for all who watch."""

    def __init__(self, make: Callable[[SerialPort], _Message], clock: Callable[[], float]) -> None:
        self._make = make
        self._clock = clock
        self._made: dict[str, tuple[float, _Message]] = {}
        self._watchers = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Count who watches while the block lasts."""
        self._watchers += 1
        try:
            yield
        finally:
            self._watchers -= 1

    def least_interval_s(self, ports: int) -> float:
        """Return the shortest interval in seconds for one who watches that many ports."""
        return self._watchers * ports / MOST_MESSAGES_PER_S

    def of(self, port: SerialPort) -> _Message:
        """Return the message about a port, no older than OLDEST_S."""
        now = self._clock()
        made = self._made.get(port.id)
        if made is None or now - made[0] > OLDEST_S:
            made = self._made[port.id] = (now, self._make(port))
        return made[1]
