"""Hands a stop to the service, over whichever connection delivers it first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from usbshare.base.errors import ConnectionRefusedByPeerError, DeviceError, DrainingError
from usbshare.base.waits import first_of
from usbshare.base.watched_task import cancel_all
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.messages import SendRealtime

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.5
CALL_S = 30.0
UNAVAILABLE = (ConnectionRefusedByPeerError, DeviceError, DrainingError)


class Living(Protocol):
    """What knows every connection that works."""

    @property
    def living(self) -> list[SerialClient]:
        """The connections that work, the newest first."""
        ...

    def hurry(self) -> None:
        """Let a connection be made now."""

    async def news(self, wait_s: float) -> None:
        """Return when a connection has been made, or after that time."""


class Delivery:
    """Sends real-time bytes to one port. `trouble`: why the last attempt failed."""

    def __init__(self, dialer: Living, port_id: str, session_id: str) -> None:
        self.trouble = "no connection works"
        self._dialer = dialer
        self._port_id = port_id
        self._session_id = session_id
        self._before = dialer.living

    async def once(self, client: SerialClient, message: SendRealtime) -> None:
        """Send over this connection; raises UsbshareError."""
        await client.send_realtime(
            *(self._port_id, message.data, self._session_id, CALL_S),
            first_number=message.first_number,
            epoch=message.epoch,
        )

    async def insist(
        self, message: SendRealtime, first: Callable[[], SerialClient | None], patience_s: float
    ) -> None:
        """Send until the driver has it, over `first` if there is that one.

        Raises UsbshareError where the service refuses it. A connection that does not answer in
        time may be dead or slow: then another is tried too, and one that is new at once. So the
        service may get the bytes twice, the machine only those without a number.
        """
        calls: dict[asyncio.Task[None], SerialClient] = {}
        loop, pause_s = asyncio.get_running_loop(), FIRST_PAUSE_S
        next_at, ended = loop.time(), list[asyncio.Task[None]]()
        try:
            while True:
                for client in self._candidates(first(), set(calls.values())):
                    if loop.time() >= next_at or client not in self._before:
                        next_at = loop.time() + patience_s
                        calls[asyncio.create_task(self.once(client, message))] = client
                if not calls:
                    self._dialer.hurry()
                await self._until_news(set(calls), pause_s)
                ended = [call for call in calls if call.done()]
                if self._is_delivered(ended):
                    return
                for call in ended:
                    del calls[call]
                    next_at = loop.time() + pause_s
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
        finally:
            await cancel_all(*calls)
            calls.clear()  # an exception leads to this frame, which would keep its call alive
            ended.clear()

    def _candidates(
        self, first: SerialClient | None, busy: set[SerialClient]
    ) -> list[SerialClient]:
        living = self._dialer.living
        living.sort(key=lambda each: each is not first)
        return [each for each in living if each not in busy]

    async def _until_news(self, calls: set[asyncio.Task[None]], wait_s: float) -> None:
        news = asyncio.create_task(self._dialer.news(wait_s))
        try:
            await first_of(*calls, news)
        finally:
            await cancel_all(news)

    def _is_delivered(self, ended: list[asyncio.Task[None]]) -> bool:
        """Return whether one of the calls delivered it; raises what no other attempt can fix."""
        for call in ended:
            error = call.exception()
            if error is None:
                return True
            if not isinstance(error, UNAVAILABLE):
                raise error
            self.trouble = str(error)
        return False
