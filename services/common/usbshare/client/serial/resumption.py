"""Whether, and for how long, a session that was lost can be resumed; what it cost if not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from usbshare.client.serial.messages import OpenedEvent


@dataclass(frozen=True, slots=True)
class Resumed:
    """A session that was resumed: nothing of the program was lost."""

    away_s: float
    resent_bytes: int


@dataclass(frozen=True, slots=True)
class Loss:
    """What the end of a session cost.

    `program_bytes`: sent and perhaps not written, or dropped. `device_bytes`: sent by the device
    and missed; None if unknown.
    """

    program_bytes: int
    device_bytes: int | None
    why: str


class Resumption:
    """Remembers what takes up a session; `is_pending` while it is lost and may come back."""

    def __init__(self) -> None:
        self.is_pending = False
        self._token = ""
        self._window_s = 0.0
        self._lost_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def stands(self, opened: OpenedEvent) -> None:
        """Note that a session is established, a new one or the one that was lost."""
        self.give_up()
        self._token = opened.resume_token
        self._window_s = opened.resume_window_s

    @property
    def can_resume(self) -> bool:
        """Whether the current session could come back if it were lost."""
        return bool(self._token) and self._window_s > 0

    def lost(self, now: float) -> float:
        """Note that it is lost; returns for how many seconds it can be resumed, 0 if it cannot."""
        self._lost_at = now
        self.is_pending = self.can_resume
        return self._window_s if self.is_pending else 0.0

    def expires(self, window_s: float, expired: Callable[[str], None]) -> None:
        """Call back, with the reason, once it could not come back in that time."""
        why = f"it did not come back within {window_s:g} s"
        self._timer = asyncio.get_running_loop().call_later(window_s, expired, why)

    def give_up(self) -> None:
        """Let the next session be a new one."""
        self.is_pending = False
        self.end()

    def end(self) -> None:
        """Call back no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def token(self) -> str:
        """What to open the next session with; empty for a new one."""
        return self._token if self.is_pending else ""

    def away_s(self, now: float) -> float:
        """Return for how many seconds the session has been lost."""
        return now - self._lost_at

    def left_s(self, now: float) -> float:
        """Return for how many seconds it can still be resumed."""
        return max(0.0, self._window_s - self.away_s(now)) if self.is_pending else 0.0
