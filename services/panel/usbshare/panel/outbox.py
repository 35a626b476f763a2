"""The frames that wait for one page: bounded, only the latest state of each object."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field

MOST_LINES = 500


@dataclass(slots=True)
class _Stream:
    """Lines that wait, and what stands around them in the frame that carries them."""

    before: str
    after: str
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_LINES))


class Outbox:
    """Frames for one page, as text; `next` is called by one task.

    Answers to stops come first, then other answers, then states, then lines. The caller that adds
    answers bounds their number, see `answers`; states are as many as there are things; of the lines
    that wait the oldest are dropped, which their numbers show.
    """

    def __init__(self) -> None:
        self._urgent: deque[str] = deque()
        self._answers: deque[str] = deque()
        self._states: dict[Hashable, str] = {}
        self._streams: dict[Hashable, _Stream] = {}
        self._has_news = asyncio.Event()

    @property
    def answers(self) -> int:
        """How many answers wait."""
        return len(self._urgent) + len(self._answers)

    def answer(self, frame: str, *, is_urgent: bool = False) -> None:
        """Add an answer; one to a stop overtakes everything."""
        (self._urgent if is_urgent else self._answers).append(frame)
        self._has_news.set()

    def state(self, key: Hashable, frame: str) -> None:
        """Add the state of a thing, or that it is gone; it replaces one that was not sent yet."""
        self._states[key] = frame
        self._has_news.set()

    def line(self, key: Hashable, before: str, line: str, after: str) -> None:
        """Add a line of a stream; lines that wait go together, between `before` and `after`."""
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _Stream(before, after)
        stream.lines.append(line)
        self._has_news.set()

    def forget_stream(self, key: Hashable) -> None:
        """Drop the lines of a stream that wait."""
        self._streams.pop(key, None)

    async def next(self) -> str:
        """Return the next frame as soon as there is one; cancelled, nothing is lost."""
        while (frame := self._take()) is None:
            self._has_news.clear()
            await self._has_news.wait()
        return frame

    def _take(self) -> str | None:
        if self._urgent:
            return self._urgent.popleft()
        if self._answers:
            return self._answers.popleft()
        if self._states:
            return self._states.pop(next(iter(self._states)))
        if self._streams:
            stream = self._streams.pop(next(iter(self._streams)))
            return f"{stream.before}{','.join(stream.lines)}{stream.after}"
        return None
