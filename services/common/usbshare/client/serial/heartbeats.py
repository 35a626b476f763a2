"""The heartbeats of a client: their answers, round trips and deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from usbshare.base.time_stats import TimeStats
from usbshare.client.serial.latency import Latency
from usbshare.client.serial.link_state import LinkLostError
from usbshare.client.serial.link_times import LinkTimes
from usbshare.client.serial.messages import Heartbeat
from usbshare.client.serial.send_window import LEAST_BYTES, SendWindow

REPORT_EVERY = 4


class Sender(Protocol):
    """Whose bytes a heartbeat may wait behind."""

    window: SendWindow

    @property
    def unconsumed_bytes(self) -> int:
        """Bytes that are on their way, or may be."""
        ...


class Heartbeats:
    """Makes the heartbeats of one session after another and knows which are not answered yet.

    `heard_at` is when one was answered last.
    """

    def __init__(
        self,
        latency: Latency,
        clock: Callable[[], float],
        sender: Sender,
        times: LinkTimes | None = None,
    ) -> None:
        self._latency = latency
        self._times = times or LinkTimes(TimeStats(), clock)
        self._clock = clock
        self._sender = sender
        self._sent: dict[int, tuple[float, int]] = {}
        self._last = self._heard = 0
        self._first = 1
        self._awaited: tuple[int, asyncio.Future[None]] | None = None
        self.heard_at = 0.0

    def begin(self) -> None:
        """Begin a session: what was not answered before never will be."""
        self._sent.clear()
        self._heard = 0
        self._first = self._last + 1
        self.heard_at = self._clock()
        self._sender.window.begin()

    async def run(
        self, send: Callable[[Heartbeat], None], interval_s: float, timeout_s: float
    ) -> None:
        """Send one after another until cancelled; LinkLostError if one is not answered in time."""
        while True:
            if self._sent and self._clock() - min(self._sent.values())[0] > timeout_s:
                raise LinkLostError(f"heard nothing from the service for {timeout_s:g} s")
            send(self.next())
            due_at = self._clock() + interval_s
            await asyncio.sleep(interval_s)
            self._times.woke(self._clock() - due_at)

    def next(self) -> Heartbeat:
        """Return the next one, to be sent now."""
        self._last += 1
        self._sent[self._last] = (self._clock(), self._sender.unconsumed_bytes)
        times = self._times.report() if self._last % REPORT_EVERY == 0 else None
        return Heartbeat(self._last, self._latency.typical_s, self._heard, times)

    def answered(self, beat: int, host_s: float | None = None) -> None:
        """Note an answer, and how long the host took to give it."""
        self.heard_at = self._clock()
        if (sent := self._sent.pop(beat, None)) is not None:
            sent_at, bytes_ahead = sent
            self._heard = max(self._heard, beat)
            took_s = self._clock() - sent_at
            self._sender.window.answered(took_s, self._latency.typical_s, bytes_ahead)
            was_queued, is_first = bytes_ahead > LEAST_BYTES, beat == self._first
            self._latency.add(took_s, was_queued=was_queued, is_first=is_first)
            if not is_first:
                self._times.answered(took_s, host_s)
        if self._awaited is not None and self._awaited[0] == beat and not self._awaited[1].done():
            self._awaited[1].set_result(None)

    async def until_answered(self, beat: int) -> None:
        """Return when this one, sent just now, is answered; one task may wait at a time."""
        future = asyncio.get_running_loop().create_future()
        self._awaited = (beat, future)
        try:
            await future
        finally:
            self._awaited = None
