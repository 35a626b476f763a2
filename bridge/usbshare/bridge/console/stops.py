"""Stops, resumes and real-time bytes of the console: a connection of their own, always open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from usbshare.base.errors import UsbshareError
from usbshare.bridge.console.lines import Kind, Line, Tell
from usbshare.bridge.forwarding.urgent_line import UrgentLine
from usbshare.bridge.stop import command
from usbshare.bridge.stop.guard import PATIENCE_S, REMEDY
from usbshare.client.connection_limiter import Turns
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.dialer import Dialer
from usbshare.client.serial.messages import RemotePort
from usbshare.client.serial.stop_client import STOP_TIMEOUT_S
from usbshare.client.serial.stop_report import SeenHold
from usbshare.line.stop_actions import StopAction
from usbshare.rpc.channel import STOP_KEEPALIVE, Target
from usbshare.rpc.tls import ClientBundle

REALTIME_TIMEOUT_S = 10.0

Place = tuple[Target, ClientBundle | None]


class _News:
    """Reporter of the connection: what it tells goes to everybody."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def event(self, name: str, text: str, **fields: Any) -> None:
        """Tell that the connection for stops is lost, or back."""
        del fields
        self._tell(Line(text, Kind.NEWS if name == "urgent_line_ready" else Kind.PROBLEM))

    def status(self, status: object) -> None:
        """Do nothing: there is none."""

    def end(self) -> None:
        """Do nothing."""


class StopLine:
    """The console's way to stop, for every port of one host; never behind a session."""

    def __init__(self, place: Callable[[], Place], everybody: Tell) -> None:
        self._place = place
        self._line = UrgentLine(Dialer(self._made, Turns(), time.monotonic), _News(everybody))

    def start(self) -> None:
        """Connect, and stay connected."""
        self._line.start()

    def move(self) -> None:
        """Reconnect: the host is elsewhere, or nobody knows whether the connection lives."""
        self._line.move()

    async def close(self) -> None:
        """Disconnect."""
        await self._line.close()

    async def stop(self, port_id: str, action: StopAction, reason: str, tell: Tell) -> Line:
        """Stop the machine and return what that did; raises UsbshareError where not confirmed."""
        loop = asyncio.get_running_loop()
        text = f"{action.value} not confirmed yet (no answer within {PATIENCE_S:g} s): {REMEDY}"
        late = loop.call_later(PATIENCE_S, tell, Line(text, Kind.PROBLEM))
        try:
            async with self._client() as client:
                done = await command.stop(client, port_id, action, reason)
        except UsbshareError as error:
            raise UsbshareError(f"{error}; {action.value} not confirmed: {REMEDY}") from error
        finally:
            late.cancel()
        return Line(done.text, Kind.OK)

    async def resume(self, seen: RemotePort, reason: str) -> Line:
        """Let go on what was seen to be held."""
        hold = SeenHold(seen.epoch, seen.hold_number)
        async with self._client() as client:
            done = await command.resume(client, seen.id, reason, hold)
        return Line(done.text, Kind.OK)

    async def rearm(self, seen: RemotePort) -> Line:
        """Release the latch that was seen, and no later one."""
        if not seen.latched:
            return Line(f"port '{seen.id}' is not latched")
        epoch = seen.epoch if seen.latch is None else seen.latch.epoch
        async with self._client() as client:
            done = await command.rearm(client, seen.id, epoch)
        return Line(done.text, Kind.OK)

    async def realtime(self, port_id: str, data: bytes, epoch: int) -> None:
        """Write real-time bytes ahead of every queue; of an epoch that is over only stops count."""
        async with self._client() as client:
            await client.send_realtime(port_id, data, "", REALTIME_TIMEOUT_S, epoch=epoch)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[SerialClient]:
        """Yield the open connection, or else a new one, which is not abandoned for being slow."""
        with self._line.lent() as lent:
            if lent is not None:
                yield lent
                return
        client = SerialClient(*self._place(), STOP_TIMEOUT_S, STOP_KEEPALIVE)
        try:
            yield client
        finally:
            await client.close()

    def _made(self, attempt_s: float) -> SerialClient:
        return SerialClient(*self._place(), attempt_s)
