"""The signs of life that a client asks for: who answers them how fast, and that somebody does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from usbshare.bridge.latency import Latency
from usbshare.bridge.link_state import LinkLostError
from usbshare.bridge.messages import Heartbeat


class Heartbeats:
    """Makes the heartbeats of one session after another and knows which are not answered yet.

    `heard_at` is when one was answered last.
    """

    def __init__(self, latency: Latency, clock: Callable[[], float]) -> None:
        self._latency = latency
        self._clock = clock
        self._sent: dict[int, float] = {}
        self._last = self._heard = 0
        self._awaited: tuple[int, asyncio.Future[None]] | None = None
        self.heard_at = 0.0

    def begin(self) -> None:
        """Begin a session: what was not answered before never will be."""
        self._sent.clear()
        self._heard = 0
        self.heard_at = self._clock()

    async def run(
        self, send: Callable[[Heartbeat], None], interval_s: float, timeout_s: float
    ) -> None:
        """Send one after another, for ever; LinkLostError once one is not answered in time."""
        while True:
            if self._sent and self._clock() - min(self._sent.values()) > timeout_s:
                raise LinkLostError(f"no sign of life from the service for {timeout_s:g} s")
            send(self.next())
            await asyncio.sleep(interval_s)

    def next(self) -> Heartbeat:
        """Return the next one, to be sent now."""
        self._last += 1
        self._sent[self._last] = self._clock()
        return Heartbeat(self._last, self._latency.typical_s, self._heard)

    def answered(self, beat: int) -> None:
        """Note an answer."""
        self.heard_at = self._clock()
        sent_at = self._sent.pop(beat, None)
        if sent_at is not None:
            self._heard = max(self._heard, beat)
            self._latency.add(self._clock() - sent_at)
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
