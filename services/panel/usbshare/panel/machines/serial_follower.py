"""Follows the serial service of one host: its ports, what its machines report, and our rights."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Protocol

from usbshare.base.errors import UsbshareError
from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all
from usbshare.client.serial.machine import MachineStatus
from usbshare.client.serial.warm_stops import WarmStops
from usbshare.panel.following import proven
from usbshare.panel.machines.machines import Machines
from usbshare.panel.seen import SeenMachine, SeenPort, SeenRights
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

REPORT_S = 0.2
# What says the same again is shown all the same, now and then: it is not old.
SAME_S = 2.0
ROUND_TRIP_S = 5.0
# After a machine could not be watched: an older service cannot tell, or the port has just gone.
AGAIN_S = 5.0


class Calls(Protocol):
    """The calls to a serial service that are needed here."""

    async def seen_ports(self) -> list[SeenPort]:
        """Return every port."""
        ...

    def port_changes(self) -> AsyncGenerator[tuple[SeenPort, bool], None]:
        """Yield ports as they change, and whether each is gone."""
        ...

    def machine_reports(self, port_id: str, interval_s: float) -> AsyncGenerator[SeenMachine, None]:
        """Yield what a machine reports."""
        ...

    async def rights(self) -> SeenRights:
        """Return what we may do."""
        ...

    async def close(self) -> None:
        """Disconnect."""


class SerialListener(Protocol):
    """Gets the events of a follower."""

    def serial_connected(self, target: Target) -> None:
        """Note that the service answers there."""

    def round_trip_measured(self, seconds: float) -> None:
        """Note a round trip, in seconds."""

    def rights_seen(self, rights: SeenRights) -> None:
        """Note our rights there."""


Connect = Callable[[Target, ClientBundle | None], Calls]


class SerialFollower:
    """One host's; `run_once` connects and returns, or raises, when that ends."""

    def __init__(
        self,
        host: str,
        connect: Connect,
        machines: Machines,
        listener: SerialListener,
        watched: asyncio.Event,
    ) -> None:
        self.stops: WarmStops | None = None
        self.place: tuple[Target, ClientBundle | None] | None = None
        self._host = host
        self._connect = connect
        self._machines = machines
        self._listener = listener
        self._watched = watched
        self._reports: dict[str, asyncio.Task[None]] = {}
        self._ask_rights = asyncio.Event()

    def look_at_rights(self) -> None:
        """Ask at once what we may do: a code was confirmed, or something was refused."""
        self._ask_rights.set()

    async def run_once(self, targets: Sequence[Target], bundle: ClientBundle | None) -> None:
        """Follow the service for as long as it answers; raises UsbshareError."""
        target = await proven(targets, bundle)
        if self.place != (target, bundle) or self.stops is None:
            self.place = (target, bundle)
            self.stops = WarmStops(target, bundle)
        calls = self._connect(target, bundle)
        keeping = asyncio.create_task(self.stops.keep(), name=f"stops of {self._host}")
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._begin(calls, target)
            tasks = [
                asyncio.create_task(self._follow_ports(calls), name=f"ports of {self._host}"),
                asyncio.create_task(self._look_around(calls), name=f"rights at {self._host}"),
            ]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel_all(keeping, *tasks, *self._reports.values())
            self._reports.clear()
            await calls.close()

    async def _begin(self, calls: Calls, target: Target) -> None:
        ports = await calls.seen_ports()
        self._listener.rights_seen(await calls.rights())
        self._listener.serial_connected(target)
        self._machines.only(self._host, (each.port.id for each in ports))
        for port in ports:
            self._machines.port_seen(self._host, port)

    async def _follow_ports(self, calls: Calls) -> None:
        async with aclosing(calls.port_changes()) as changes:
            async for port, is_gone in changes:
                if is_gone:
                    self._machines.gone((self._host, port.port.id))
                else:
                    self._machines.port_seen(self._host, port)
                await self._follow_reports(calls, port.port.id, port.port.state == "open")

    async def _follow_reports(self, calls: Calls, port_id: str, is_open: bool) -> None:
        if not is_open:
            await cancel_all(self._reports.pop(port_id, None))
        elif port_id not in self._reports:
            self._reports[port_id] = asyncio.create_task(
                self._reported(calls, port_id), name=f"reports of {port_id} of {self._host}"
            )

    async def _reported(self, calls: Calls, port_id: str) -> None:
        while True:
            await self._watched.wait()
            with suppress(UsbshareError):
                await self._reported_once(calls, port_id)
            if self._watched.is_set():
                await asyncio.sleep(AGAIN_S)

    async def _reported_once(self, calls: Calls, port_id: str) -> None:
        """Take reports while there are pages."""
        last, shown_at = None, 0.0
        async with aclosing(calls.machine_reports(port_id, REPORT_S)) as reports:
            async for seen in reports:
                if not self._watched.is_set():
                    return
                now, told = time.monotonic(), _told(seen.status)
                if told != last or now - shown_at >= SAME_S:
                    last, shown_at = told, now
                    self._machines.reported((self._host, port_id), seen)

    async def _look_around(self, calls: Calls) -> None:
        """Measure the round trip by asking for our rights, again and again."""
        while True:
            start = time.monotonic()
            rights = await calls.rights()
            self._listener.round_trip_measured(time.monotonic() - start)
            self._listener.rights_seen(rights)
            await set_within(self._ask_rights, ROUND_TRIP_S)
            self._ask_rights.clear()


def _told(status: MachineStatus) -> object:
    return (status.report, status.queued_commands, status.queue_band)
