"""A bridge that connects, or ends, for longer than a second says so."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from usbshare.bridge.forwarding.report import Reporter

SLOW_S = 1.0


class Slowness:
    """Reports what one bridge is doing, once each time that it takes long."""

    def __init__(self, reporter: Reporter, target: str) -> None:
        self._reporter = reporter
        self._target = target
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Report after a second that it is still connecting."""
        self._later("connecting", f"connecting to {self._target}")
        try:
            yield
        finally:
            self.ended()

    def ending(self) -> None:
        """Report after a second that it is still ending."""
        text = f"ending: sending what the program wrote to {self._target}, at most 5 s"
        self._later("ending", text)

    def ended(self) -> None:
        """Report nothing more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _later(self, name: str, text: str) -> None:
        self.ended()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SLOW_S, lambda: self._reporter.event(name, text))
