"""One control session on a port, which ends with its link: nothing continues automatically."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol

from usbshare.base.backoff import Backoff
from usbshare.base.errors import ConnectionRefusedByPeerError, SessionLostError
from usbshare.base.waits import first_of
from usbshare.base.watched_task import cancel_all
from usbshare.client.connection_limiter import Turns
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.dialer import Dialer
from usbshare.client.serial.link import Link
from usbshare.client.serial.link_state import SessionChoice
from usbshare.client.serial.messages import (
    AskedEvent,
    DataEvent,
    Event,
    OpenedEvent,
    PortEvent,
    RemotePort,
)
from usbshare.client.serial.resumption import Loss, Resumed
from usbshare.client.serial.upstream import Upstream
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

OPEN_S = 15.0
CLOSE_S = 6.0


class SessionOwner(Protocol):
    """Gets the events of a session; nothing here waits."""

    def session_said(self, data: bytes) -> None:
        """Take bytes of the device."""

    def session_port(self, port: RemotePort) -> None:
        """Note the port as it is now."""

    def session_asked(self, who: str) -> None:
        """Note that somebody asks for control."""

    def session_ended(self, reason: str) -> None:
        """Note that the session is over, though nobody here ended it."""


class Session:
    """A session from `open` to `close`; an observing one cannot write."""

    def __init__(
        self,
        place: tuple[Target, ClientBundle | None],
        choice: SessionChoice,
        owner: SessionOwner,
    ) -> None:
        self.id = ""
        self._owner = owner
        self._upstream = Upstream()
        dialer = Dialer(lambda attempt_s: SerialClient(*place, attempt_s), Turns(), time.monotonic)
        self._link = Link(
            dialer, choice, self._upstream, self, Backoff(random.random), time.monotonic
        )
        self._opened = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._is_closing = False
        self._failure = ""

    @property
    def is_connected(self) -> bool:
        """Whether what is written goes out at once."""
        return self._link.is_connected and not self._failure

    @property
    def round_trip_s(self) -> float:
        """The round trip to the service in seconds; 0 before it is known."""
        return self._link.latency.typical_s

    async def open(self) -> None:
        """Open it; the error says why that fails."""
        self._running = running = asyncio.create_task(self._link.run(), name="panel session")
        running.add_done_callback(self._ended)
        try:
            await first_of(self._opened, running, timeout_s=OPEN_S)
            if running.done():
                running.result()
            if not self._opened.is_set():
                raise ConnectionRefusedByPeerError(f"no session within {OPEN_S:g} s")
        except BaseException:
            self._is_closing = True
            await self._stop()
            raise

    def write(self, data: bytes) -> None:
        """Write bytes of a program, real-time bytes ahead of the rest; raises SessionLostError."""
        if not self.is_connected:
            raise SessionLostError(self._failure or "the link is down")
        self._upstream.add_program(data)
        self._link.wake()

    def discard(self) -> int:
        """Drop what was written and has not left; returns how many bytes."""
        return self._upstream.discard()

    async def close(self) -> None:
        """Close the session cleanly."""
        self._is_closing = True
        if self._running is not None and not self._running.done():
            self._link.close()
            await asyncio.wait((self._running,), timeout=CLOSE_S)
        await self._stop()

    # What the link tells.

    def link_connected(self, opened: OpenedEvent, loss: Loss | None) -> None:
        """Note the session; a second one is none of ours."""
        if loss is not None or self.id:
            self._fail("the session was lost")
            return
        self.id = opened.session_id
        self._upstream.port_changed(epoch=opened.port.epoch, profile=opened.port.profile)
        self._owner.session_port(opened.port)
        self._opened.set()

    def link_resumed(self, opened: OpenedEvent, resumed: Resumed) -> None:
        """Ignore it: nothing is resumed."""

    def link_data(self, event: DataEvent) -> None:
        """Pass on what the device says."""
        self._owner.session_said(event.data)
        self._link.taken(event.offset + len(event.data))

    def link_event(self, event: Event) -> None:
        """Pass on news."""
        if isinstance(event, PortEvent):
            port = event.port
            self._upstream.port_changed(epoch=port.epoch, profile=port.profile)
            self._owner.session_port(port)
        elif isinstance(event, AskedEvent):
            self._owner.session_asked(event.who)

    def link_sent(self) -> None:
        """Take no note."""

    def link_lost(self, reason: str, window_s: float, *, is_refused: bool) -> None:
        """End: a person must look at the machine before anything continues."""
        del window_s, is_refused
        self._fail(reason)

    def link_abandoned(self, loss: Loss) -> None:
        """End."""
        self._fail(loss.why)

    def link_waiting(self, wait_s: float, reason: str) -> None:
        """Take no note."""

    def _fail(self, reason: str) -> None:
        if self._failure or self._is_closing:
            return
        self._failure = reason
        self._upstream.discard()
        if self._running is not None:
            self._running.cancel()
        if self.id:
            self._owner.session_ended(reason)

    def _ended(self, running: asyncio.Task[None]) -> None:
        error = None if running.cancelled() else running.exception()
        self._fail(str(error) if error is not None else "the session has ended")

    async def _stop(self) -> None:
        await cancel_all(self._running)
