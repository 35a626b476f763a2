"""Pictures that wait for one page: never a backlog, the newest picture replaces older ones."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from usbshare.client.camera.messages import Format, Frame
from usbshare.panel.pictures.wire import ViewNews, frame_message, pong_message, view_message

_MOST_PINGS = 4
_MOST_FRAMES = 16  # the service's window is 3; more come only from a service that ignores it


@dataclass(frozen=True, slots=True)
class _Waiting:
    frame: Frame
    age_s: float
    since: float


class Outbox:
    """Filled by the view, emptied by the one who writes; used on the event loop only."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._news: ViewNews | None = None
        self._told: ViewNews | None = None
        self._pings: deque[int] = deque(maxlen=_MOST_PINGS)
        self._frames: deque[_Waiting] = deque()
        self._stream = 0
        self._filled = asyncio.Event()

    def tell(self, news: ViewNews) -> None:
        """Send the page the state of the view; an unchanged state is not sent again."""
        self._news = news if news != self._told else None
        self._filled.set()

    def pinged(self, ping: int) -> None:
        """Answer a ping."""
        self._pings.append(ping)
        self._filled.set()

    def put(self, frame: Frame, age_s: float) -> bool:
        """Let a frame wait for its turn; False if there is no room, and the frame is dropped.

        What can be shown without the frames before it replaces those.
        """
        if frame.is_key or frame.format is Format.JPEG:
            self._frames.clear()
        elif len(self._frames) >= _MOST_FRAMES:
            return False
        self._frames.append(_Waiting(frame, age_s, self._clock()))
        self._filled.set()
        return True

    def begin_stream(self) -> None:
        """Drop frames of the stream that has ended; those that follow are of another."""
        self._frames.clear()
        self._stream += 1

    async def next(self) -> str | bytes:
        """Return what goes next, as soon as there is something."""
        while (message := self._take()) is None:
            self._filled.clear()
            await self._filled.wait()
        return message

    def _take(self) -> str | bytes | None:
        now = self._clock()
        if self._pings:
            return pong_message(self._pings.popleft(), now)
        if self._news is not None:
            self._told, self._news = self._news, None
            return view_message(self._told)
        if self._frames:
            waiting = self._frames.popleft()
            age_s = waiting.age_s + now - waiting.since
            return frame_message(waiting.frame, self._stream, age_s, now)
        return None
