"""Keeps one session alive: connects, converses, and connects again when the link is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

import grpc

from usbshare.bridge.backoff import Backoff
from usbshare.bridge.client import SerialClient, SessionStream
from usbshare.bridge.latency import Latency
from usbshare.bridge.messages import (
    Acknowledge,
    ClosedEvent,
    DataEvent,
    Event,
    Goodbye,
    Heartbeat,
    HeartbeatEvent,
    Message,
    OpenedEvent,
)
from usbshare.bridge.upstream import Upstream
from usbshare.common.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.common.pump import StreamPump

log = logging.getLogger(__name__)

HEARTBEAT_S = 0.25
LINK_TIMEOUT_S = 2.0
OPEN_TIMEOUT_S = 10.0
GOODBYE_TIMEOUT_S = 5.0
ACKNOWLEDGE_BYTES = 32 * 1024
REASON_TIMEOUT_S = 0.5


class LinkState(Enum):
    """Where a link is in its life."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    WAITING = "waiting"
    ENDED = "ended"


class LinkListener(Protocol):
    """Whom a link tells."""

    def link_connected(self, opened: OpenedEvent) -> None:
        """Learn that a session stands."""

    def link_data(self, event: DataEvent) -> None:
        """Take bytes from the device."""

    def link_event(self, event: Event) -> None:
        """Take any other event of the session."""

    def link_sent(self) -> None:
        """Learn that something left `upstream`."""

    def link_lost(self, reason: str) -> None:
        """Learn that the session is gone."""

    def link_waiting(self, wait_s: float, reason: str) -> None:
        """Learn that the next attempt comes after `wait_s`, and why the last one failed."""


@dataclass(frozen=True, slots=True)
class SessionChoice:
    """What to open."""

    port_id: str
    observe: bool
    client_name: str


class LinkLostError(Exception):
    """The session is gone; the text says why."""


class Link:
    """One session after another on one port. `run` is its only task; `wake` says there is news."""

    def __init__(
        self,
        connect: Callable[[], SerialClient],
        choice: SessionChoice,
        upstream: Upstream,
        listener: LinkListener,
        backoff: Backoff,
        clock: Callable[[], float],
    ) -> None:
        self.state = LinkState.CONNECTING
        self.latency = Latency()
        self._connect = connect
        self._choice = choice
        self._upstream = upstream
        self._listener = listener
        self._backoff = backoff
        self._clock = clock
        self._pump: StreamPump[Message] | None = None
        self._has_stood = False
        self._ending = asyncio.Event()
        self._stream: SessionStream | None = None
        self._acknowledged_offset = 0
        self._beats: dict[int, float] = {}
        self._beat = 0

    async def run(self) -> None:
        """Serve until `close`. A first attempt that fails raises why; later ones are repeated."""
        while not self._ending.is_set():
            self.state = LinkState.CONNECTING
            try:
                await self._until_ended()
            except (UsbshareError, LinkLostError) as error:
                if not self._has_stood:
                    raise
                await self._wait(str(error))
        self.state = LinkState.ENDED

    def close(self) -> None:
        """Say goodbye after what has been read from the program, and let `run` end."""
        self._upstream.add_ordered(Goodbye())
        self._ending.set()
        self.wake()

    def taken(self, offset: int) -> None:
        """Note that the program has every device byte before `offset`."""
        stream = self._stream
        if stream is not None:
            stream.taken_offset = offset
        if offset - self._acknowledged_offset >= ACKNOWLEDGE_BYTES:
            self._acknowledged_offset = offset
            self._upstream.add_urgent(Acknowledge())
            self.wake()

    def wake(self) -> None:
        """Look at `upstream` again."""
        if self._pump is not None:
            self._pump.kick()

    def pass_through(self, data: bytes) -> bool:
        """Send the program's bytes past `upstream` if they may go at once; else False."""
        pump = self._pump
        if pump is None or pump.is_busy:
            return False
        message = self._upstream.pass_through(data, self._clock())
        return message is not None and pump.offer(message)

    @property
    def is_connected(self) -> bool:
        """Tell whether a session stands."""
        return self.state is LinkState.CONNECTED

    # The source of the pump.

    def wait_s(self, now: float) -> float | None:
        """Return how long until there is something to send."""
        return self._upstream.wait_s(now)

    def take(self, now: float) -> Message:
        """Return what to send."""
        message = self._upstream.take(now)
        self._listener.link_sent()
        return message

    async def _until_ended(self) -> None:
        """Run a session; one that does not stand yet when the end comes is given up."""
        session = asyncio.create_task(self._session(), name="session")
        ending = asyncio.create_task(self._ending.wait(), name="ending")
        try:
            await asyncio.wait((session, ending), return_when=asyncio.FIRST_COMPLETED)
            if session.done() or self.is_connected:
                await session
        finally:
            ending.cancel()
            session.cancel()
            await asyncio.gather(session, ending, return_exceptions=True)

    async def _session(self) -> None:
        client = self._connect()
        try:
            stream = await client.open_session(
                self._choice.port_id,
                observe=self._choice.observe,
                name=self._choice.client_name,
            )
            await self._open(stream)
            await self._converse(stream)
        except grpc.aio.AioRpcError as error:
            raise await client.explain(error) from error
        except EOFError as error:
            raise LinkLostError("the service ended the stream without a goodbye") from error
        finally:
            await client.close()

    async def _open(self, stream: SessionStream) -> None:
        try:
            event, credit = await asyncio.wait_for(stream.receive(), OPEN_TIMEOUT_S)
        except TimeoutError as error:
            raise ConnectionRefusedByPeerError("the service does not answer") from error
        if not isinstance(event, OpenedEvent):
            raise LinkLostError(f"the service began a session with {event}")
        self._upstream.begin(epoch=event.port.epoch, profile=event.port.profile)
        self._stream = stream
        self._acknowledged_offset = stream.taken_offset = event.data_offset
        if credit is not None:
            self._upstream.credit(credit)
        self._backoff.reset()
        self._beats.clear()
        self._has_stood = True
        self.state = LinkState.CONNECTED
        self._listener.link_connected(event)

    async def _converse(self, stream: SessionStream) -> None:
        """Run until the goodbye is answered; whatever else ends it raises."""
        self._pump = pump = StreamPump(self, stream.write, self._clock)
        receive = asyncio.create_task(self._receive(stream), name="link receive")
        tasks: list[asyncio.Future[Any]] = [
            receive,
            asyncio.create_task(self._beat_for_ever(), name="link heartbeat"),
            asyncio.create_task(self._end_in_time(), name="link end"),
        ]
        pump.kick()
        try:
            await asyncio.wait((*tasks, pump.ended), return_when=asyncio.FIRST_COMPLETED)
            if pump.ended.done():  # `_receive` is about to learn why
                await asyncio.wait((receive,), timeout=REASON_TIMEOUT_S)
            for task in tasks:
                if task.done():
                    task.result()
            if pump.ended.done() and not receive.done():
                raise EOFError from pump.ended.result()
        except (grpc.aio.AioRpcError, EOFError, LinkLostError) as error:
            self.state = LinkState.WAITING
            self._listener.link_lost(_short(error))
            raise
        finally:
            self._pump = None
            pump.close()
            stream.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _receive(self, stream: SessionStream) -> None:
        listener, upstream = self._listener, self._upstream
        while True:
            event, credit = await stream.receive()
            if type(event) is DataEvent:
                listener.link_data(event)
            elif type(event) is HeartbeatEvent:
                self._beaten(event.id)
            elif type(event) is ClosedEvent:
                break
            elif event is not None:
                listener.link_event(event)
            if credit is not None and upstream.credit(credit):
                self.wake()
        if not self._ending.is_set():
            raise LinkLostError("the service closed the session")

    async def _beat_for_ever(self) -> None:
        while True:
            now = self._clock()
            if self._beats and now - min(self._beats.values()) > LINK_TIMEOUT_S:
                raise LinkLostError(f"no sign of life from the service for {LINK_TIMEOUT_S:g} s")
            self._beat += 1
            self._beats[self._beat] = now
            self._upstream.add_urgent(Heartbeat(self._beat, self.latency.typical_s))
            self.wake()
            await asyncio.sleep(HEARTBEAT_S)

    def _beaten(self, beat: int) -> None:
        sent_at = self._beats.pop(beat, None)
        if sent_at is not None:
            self.latency.add(self._clock() - sent_at)

    async def _end_in_time(self) -> None:
        await self._ending.wait()
        await asyncio.sleep(GOODBYE_TIMEOUT_S)
        self._listener.link_lost(f"no answer to the goodbye within {GOODBYE_TIMEOUT_S:g} s")

    async def _wait(self, reason: str) -> None:
        self.state = LinkState.WAITING
        wait_s = self._backoff.next_s()
        self._listener.link_waiting(wait_s, reason)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), wait_s)


def _short(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return error.details() or error.code().name
    return str(error) or "the stream ended"
