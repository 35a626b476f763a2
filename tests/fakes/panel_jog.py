"""A jog that is held on a page of the panel, on a machine that may be busy with other things."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fakes.panel import LASER, Page, made_now, state_of

FEED = 6000.0
JOG = {"machine": LASER, "lease": 1, "x": 1, "feed": FEED}
RENEW_S = 0.04
LATE = "stopped renewing"


@dataclass
class Finger:
    """Holds a jog as a page does, and presses again where a busy machine let its lease run out."""

    page: Page
    lease: int = 0
    began: float = 0.0
    is_held: bool = True
    said: int = 0
    way: dict[str, Any] = field(default_factory=lambda: dict(JOG))
    _holding: asyncio.Task[None] | None = None

    async def press(self) -> None:
        """Return once the machine moves."""
        self.is_held = True
        while True:
            await self._begin()
            await self.page.until(lambda: self._has_ended or state_of(self.page.laser) == "Jog")
            if not self._has_ended:
                return

    async def keep(self, holds: Callable[[], Any]) -> None:
        """Hold until something is so."""
        while True:
            await self.page.until(lambda: self._has_ended or holds())
            if holds():
                return
            await self.press()

    async def refusal(self) -> dict[str, Any]:
        """Press, and return how that is refused."""
        while True:
            await self._begin()
            await self.page.until(lambda: self._failure or ended(self.page, self.lease))
            self.let_go()
            if self._failure and not self._may_press_again:
                return self._failure

    def let_go(self) -> float:
        """Say nothing any more; returns when."""
        self.is_held = False
        if self._holding is not None:
            self._holding.cancel()
        return time.monotonic()

    async def _begin(self) -> None:
        self.let_go()
        self.is_held = True
        self.lease += 1
        self.began = time.monotonic()
        await self.page.tell(id=1000 + self.lease, jog=made_now({**self.way, "lease": self.lease}))
        self._holding = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        while self.is_held and not self.page.socket.closed:
            await asyncio.sleep(RENEW_S)
            with suppress(ConnectionError):
                await self.page.tell(jog=made_now({**self.way, "lease": self.lease}))
                self.said += 1

    @property
    def _has_ended(self) -> bool:
        assert not self._failure or self._may_press_again, self._failure
        return bool(self._failure) or bool(ended(self.page, self.lease))

    @property
    def _failure(self) -> dict[str, Any]:
        failure: dict[str, Any] = self.page.answers.get(1000 + self.lease, {}).get("failure", {})
        return failure

    @property
    def _may_press_again(self) -> bool:
        text = self._failure["text"]
        return LATE in text or text.endswith("press again")


def ended(page: Page, lease: int) -> list[dict[str, Any]]:
    """Return what a page was told of the end of a jog."""
    told = [each["jogEnded"] for each in page.events if "jogEnded" in each]
    return [each for each in told if each["lease"] == lease]
