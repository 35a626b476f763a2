"""The newest picture, for any number of readers at their own pace."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from usbshare.client.camera.messages import Frame


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame as it was shown here; `number` counts all, `arrived_at` is on our monotonic clock."""

    number: int
    frame: Frame
    arrived_at: float
    age_at_arrival_s: float = 0.0

    def age_s(self, now: float) -> float:
        """Return how old it is now."""
        return self.age_at_arrival_s + now - self.arrived_at


class Newest:
    """Keeps one picture: a slow reader misses some and does not slow the others."""

    def __init__(self) -> None:
        self.picture: Picture | None = None
        self.last_good: Picture | None = None
        self._changed = asyncio.Event()

    def put(self, frame: Frame, now: float, age_s: float = 0.0) -> Picture:
        """Show a frame."""
        number = 1 + (self.picture.number if self.picture else 0)
        self.picture = Picture(number, frame, now, age_s)
        if not frame.is_placeholder:
            self.last_good = self.picture
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return self.picture

    async def after(self, number: int) -> Picture:
        """Return the newest picture as soon as it is another one than that; 0 takes any."""
        while self.picture is None or self.picture.number <= number:
            await self._changed.wait()
        return self.picture
