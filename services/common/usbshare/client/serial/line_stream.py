"""A program that streams lines through a service, which delivers them beside the machine.

    async with LineStream(dialer, choice, listener) as stream:
        for line in lines:
            await stream.send(line)
        await stream.drain()

`choice.lines` says how; `listener` gets each line's answer, in the order of the lines.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from usbshare.base.backoff import Backoff
from usbshare.base.errors import SessionLostError
from usbshare.base.watched_task import cancel_all
from usbshare.client.serial.dialer import Connections
from usbshare.client.serial.line_upstream import Line, LineUpstream
from usbshare.client.serial.link import Link
from usbshare.client.serial.link_state import SessionChoice
from usbshare.client.serial.messages import (
    DataEvent,
    Event,
    OpenedEvent,
    PortEvent,
    RemotePort,
    ResultEvent,
)
from usbshare.client.serial.resumption import Loss, Resumed

# How a line ends whose session is lost for good: nobody knows whether it was carried out.
LOST = "lost"
CLOSE_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class LineAnswer:
    """What became of a line; times in seconds, None where it did not come to that.

    `outcome` is `answered` (the reply is an `ok`), `rejected` (an error or an alarm), `unanswered`
    (written, and then a stop or a reset came), `refused`, `fenced`, `flushed`, `failed` or `lost`.
    """

    number: int
    line: bytes
    outcome: str
    reply: str = ""
    message: str = ""
    queue_time_s: float | None = None
    write_time_s: float | None = None
    answer_time_s: float | None = None

    @property
    def is_ok(self) -> bool:
        """Whether the firmware took the line."""
        return self.outcome == "answered"


class LineListener(Protocol):
    """Whom a stream of lines tells; nothing here waits."""

    def line_answered(self, answer: LineAnswer) -> None:
        """Take what became of a line; each has one answer, in order."""

    def device_said(self, data: bytes) -> None:
        """Take what the device says, but for its replies to lines."""

    def port_changed(self, port: RemotePort) -> None:
        """Note the port as it is now: held, latched, by whom and why."""

    def link_changed(self, text: str, *, is_connected: bool) -> None:
        """Note that the link was lost, with the reason, or is back."""

    def session_event(self, event: Event) -> None:
        """Take any other event of the session."""

    def session_lost(self, why: str) -> None:
        """Note, once, that the session is lost for good; its lines are answered before."""


class LineStream:
    """One session that streams lines. It outlives its link, but not the loss of the session.

    Once the session is lost for good, `send` and `drain` raise SessionLostError, and each line that
    has no result is answered as LOST: what comes next is for whoever knows the program.
    """

    def __init__(
        self,
        dialer: Connections,
        choice: SessionChoice,
        listener: LineListener,
        *,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.port: RemotePort | None = None
        self.opened: OpenedEvent | None = None
        self._listener = listener
        self._upstream = LineUpstream()
        self._link = Link(
            dialer, choice, self._upstream, self, backoff or Backoff(random.random), clock
        )
        self._news = asyncio.Event()
        self._failure = ""
        self._has_lost = self._is_lost = self._is_leaving = False
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Open the session; raises why it cannot be."""
        self._running = running = asyncio.create_task(self._link.run(), name="line stream")
        running.add_done_callback(self._ended)
        try:
            while self.opened is None:
                if running.done():
                    running.result()
                    raise SessionLostError(self._failure or "the session ended as it began")
                await self._until_news()
        except BaseException:
            self._is_leaving = True
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say goodbye: what is queued still goes out, for a few seconds; `drain` first."""
        self._is_leaving = True
        if self._running is not None and not self._running.done():
            self._link.close()
            await asyncio.wait((self._running,), timeout=CLOSE_TIMEOUT_S)
        await self._stop()

    @property
    def unanswered(self) -> int:
        """How many lines have no answer yet."""
        return self._upstream.unanswered

    @property
    def is_connected(self) -> bool:
        """Whether the link is there."""
        return self._link.is_connected

    async def send(self, line: bytes) -> int:
        """Stream one line with its line end; returns its number, waits while there is no room."""
        while not self._upstream.has_room:
            self._require_session()
            await self._until_news()
        self._require_session()
        number = self._upstream.add(line)
        self._link.wake()
        return number

    def realtime(self, data: bytes) -> bool:
        """Send real-time bytes ahead of all lines; False, and nothing is sent, without a link."""
        is_sent = self._upstream.add_realtime(data)
        self._link.wake()
        return is_sent

    async def drain(self) -> None:
        """Wait until each line has its answer; raises SessionLostError if some are LOST."""
        while self._upstream.unanswered:
            self._require_session()
            await self._until_news()
        if self._has_lost:
            raise SessionLostError(self._failure)

    # What the link tells.

    def link_connected(self, opened: OpenedEvent, loss: Loss | None) -> None:
        """Note the session; a second one is none of ours."""
        if self.opened is not None:
            self._fail("the session was lost" if loss is None else loss.why)
            return
        self.opened = opened
        self._take_port(opened.port)
        self._listener.link_changed("", is_connected=True)

    def link_resumed(self, opened: OpenedEvent, resumed: Resumed) -> None:
        """Note that the session goes on, and no line was lost or sent twice."""
        self.opened = opened
        self._take_port(opened.port)
        self._listener.link_changed(f"back after {resumed.away_s:.1f} s", is_connected=True)

    def link_data(self, event: DataEvent) -> None:
        """Pass on what the device says."""
        self._listener.device_said(event.data)
        self._link.taken(event.offset + len(event.data))

    def link_event(self, event: Event) -> None:
        """Pass on answers and news."""
        if isinstance(event, ResultEvent):
            if (line := self._upstream.answer(event)) is not None:
                self._listener.line_answered(_answer(line, event))
                self._news.set()
        elif isinstance(event, PortEvent):
            self._take_port(event.port)
        else:
            self._listener.session_event(event)

    def link_sent(self) -> None:
        """Let whoever waits for room go on."""
        self._news.set()

    def link_lost(self, reason: str, window_s: float, *, is_refused: bool) -> None:
        """Tell of a link that is lost; the session may come back for a while."""
        del window_s, is_refused
        self._listener.link_changed(reason, is_connected=False)

    def link_abandoned(self, loss: Loss) -> None:
        """Give up: the session will not come back."""
        self._fail(loss.why)

    def link_waiting(self, wait_s: float, reason: str) -> None:
        """Take no note: the link tries again."""

    # Helpers.

    def _take_port(self, port: RemotePort) -> None:
        self.port = port
        self._upstream.port_changed(epoch=port.epoch, profile=port.profile)
        self._listener.port_changed(port)
        self._news.set()

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why
        if self._running is not None:
            self._running.cancel()
        self._tell_lost()

    def _ended(self, running: asyncio.Task[None]) -> None:
        if not running.cancelled() and (error := running.exception()) is not None:
            self._failure = self._failure or str(error)
        self._failure = self._failure or "the session has ended"
        self._upstream.lose()
        self._tell_lost()

    def _tell_lost(self) -> None:
        lost = self._upstream.take_lost()
        self._has_lost = self._has_lost or bool(lost)
        for line in lost:
            answer = LineAnswer(line.number, line.data, LOST, message=self._failure)
            self._listener.line_answered(answer)
        if self.opened is not None and not (self._is_lost or self._is_leaving):
            self._is_lost = True
            self._listener.session_lost(self._failure)
        self._news.set()

    def _require_session(self) -> None:
        if self._failure:
            raise SessionLostError(self._failure)

    async def _until_news(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _stop(self) -> None:
        await cancel_all(self._running)


def _answer(line: Line, event: ResultEvent) -> LineAnswer:
    return LineAnswer(
        line.number,
        line.data,
        event.outcome,
        event.reply,
        event.message,
        event.queue_time_s,
        event.write_time_s,
        event.answer_time_s,
    )
