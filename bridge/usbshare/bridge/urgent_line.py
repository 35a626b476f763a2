"""A way to the machine for stops alone: a connection of its own, opened in advance and watched."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from usbshare.bridge.client import ConnectionState, SerialClient
from usbshare.bridge.report import Reporter
from usbshare.common.errors import (
    ConnectionRefusedByPeerError,
    DeviceError,
    DrainingError,
    UsbshareError,
)
from usbshare.common.profiles import GRBL, MARLIN, Profile

log = logging.getLogger(__name__)

DELIVERY_S = 2.0
RETRY_S = 0.02
MOST_BYTES = 64
_UNAVAILABLE = (ConnectionRefusedByPeerError, DeviceError, DrainingError)


class UrgentLine:
    """Delivers the stops that a session's stream cannot take at once; used from one event loop."""

    def __init__(self, connect: Callable[[], SerialClient], reporter: Reporter) -> None:
        self.is_ready = False
        self._connect = connect
        self._reporter = reporter
        self._is_reported_lost = False
        self._sending: set[asyncio.Task[bool]] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._client: SerialClient
        self._watching: asyncio.Task[None]

    def start(self) -> None:
        """Connect, and stay connected."""
        self._client = self._connect()
        watching = self._client.watch_connection(self._changed)
        self._watching = asyncio.create_task(watching, name="urgent line")

    def move(self) -> None:
        """Connect anew, where the service is now; what is being sent ends where it began."""
        self.is_ready = False
        leaving = asyncio.create_task(
            _leave(self._client, self._watching, set(self._sending)), name="urgent line leaves"
        )
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)
        self.start()

    def send(self, data: bytes, port_id: str, session_id: str) -> asyncio.Task[bool]:
        """Send real-time bytes; the result tells, within 2 s, whether the driver has them.

        Stops are tried again for as long; anything else goes once, while it is connected.
        """
        sending = asyncio.create_task(self._deliver(data, port_id, session_id), name="urgent bytes")
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        return sending

    async def close(self) -> None:
        """Finish what is being sent, within its 2 s, then disconnect."""
        sending = set(self._sending)
        await asyncio.gather(*self._leaving, _leave(self._client, self._watching, sending))

    async def _deliver(self, data: bytes, port_id: str, session_id: str) -> bool:
        deadline = time.monotonic() + DELIVERY_S
        profile = _profile_of(data)
        try:
            for piece in profile.pieces(data, MOST_BYTES):
                await self._send_piece(
                    piece, port_id, session_id, deadline, again=profile.is_emergency(data)
                )
        except UsbshareError as error:
            self._tell_undelivered(data, error)
            return False
        log.info("sent %r to port '%s' on the urgent line", data, port_id)
        return True

    async def _send_piece(
        self, piece: bytes, port_id: str, session_id: str, deadline: float, *, again: bool
    ) -> None:
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            try:
                await self._client.send_realtime(
                    port_id, piece, session_id, left_s, waits_for_connection=again
                )
            except _UNAVAILABLE:
                if not again or time.monotonic() + RETRY_S >= deadline:
                    raise
            else:
                return
            await asyncio.sleep(RETRY_S)

    def _tell_undelivered(self, data: bytes, error: UsbshareError) -> None:
        log.error("%r could not be delivered: %s", data, error)
        self._reporter.event(
            "stop_undelivered",
            "the stop could not be delivered: use the machine's own emergency stop",
            reason=str(error),
        )

    def _changed(self, state: ConnectionState) -> None:
        self.is_ready = state is ConnectionState.READY
        if state is ConnectionState.FAILING and not self._is_reported_lost:
            self._is_reported_lost = True
            self._reporter.event(
                "urgent_line_lost",
                "the connection for stops is lost: until it is back, "
                "use the machine's own emergency stop",
            )
        elif self.is_ready and self._is_reported_lost:
            self._is_reported_lost = False
            self._reporter.event("urgent_line_ready", "the connection for stops is back")


async def _leave(
    client: SerialClient, watching: asyncio.Task[None], sending: set[asyncio.Task[bool]]
) -> None:
    """Close a connection, after what is being sent on it, which takes no more than 2 s."""
    watching.cancel()
    await asyncio.gather(watching, *sending, return_exceptions=True)
    await client.close()


def _profile_of(data: bytes) -> Profile:
    """Return the firmware that these bytes are meant for: their own urgent lines tell Marlin's."""
    return MARLIN if MARLIN.is_realtime(data) else GRBL
