"""Keeps one identity from filling the log with what it may do as often as it likes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

# Nothing else is ever left out: above all no stop, no control, no revocation, no refusal.
SPARED = frozenset({"connected", "session opened", "session closed", "renewed"})
MOST_A_WINDOW = 20
WINDOW_S = 60.0
MOST_REMEMBERED = 4096


@dataclass(slots=True)
class _Window:
    began_at: float
    lines: int = 0
    left_out: int = 0


class Sparing:
    """Says which lines to leave out: of each identity and event some a minute are written."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: OrderedDict[tuple[str, str], _Window] = OrderedDict()
        self._lock = threading.Lock()

    def left_out_before(self, event: str, who: str) -> int | None:
        """Return how many were left out before this one, None if it is left out as well."""
        if event not in SPARED:
            return 0
        with self._lock:
            window, left_out = self._window((event, who))
            if window.lines >= MOST_A_WINDOW:
                window.left_out += 1
                return None
            window.lines += 1
            return left_out

    def _window(self, key: tuple[str, str]) -> tuple[_Window, int]:
        """Return the window of now, and how many the one before it left out if this is new."""
        now, window = self._clock(), self._windows.get(key)
        if window is not None and now - window.began_at < WINDOW_S:
            return window, 0
        self._windows[key] = _Window(now)
        self._windows.move_to_end(key)
        if len(self._windows) > MOST_REMEMBERED:
            self._windows.popitem(last=False)
        return self._windows[key], window.left_out if window is not None else 0
