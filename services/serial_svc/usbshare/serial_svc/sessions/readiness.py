"""Whether a machine takes lines: it may be starting, or owe replies to what came before.

GRBL's banner says that it has started; its reports say that it is at rest, and owes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from usbshare.line.flow.gcode_line import bare

WELCOME_TIMEOUT_S = 3.0
_RESETS_ITSELF = (b"[MSG:DISABLED]", b"[MSG:RESTORINGDEFAULTS]")
_AT_REST = re.compile(rb"<(?:Idle|Alarm|Check|Sleep)\b")


class Readiness:
    """Follows what one machine says; `clock` counts monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.awaits_rest = False
        self.ends_at_report = False
        self._clock = clock
        self._resets_itself = False
        self._welcome_until: float | None = None

    @property
    def awaits_welcome(self) -> bool:
        """Whether it was reset, and has not greeted."""
        return self._welcome_until is not None

    @property
    def waits(self) -> bool:
        """Whether it must be given no line now."""
        return self.awaits_welcome or self.awaits_rest

    def begin(self, *, owes_replies: bool) -> None:
        """Begin to speak to it; what owes replies is asked until it is at rest."""
        self.awaits_rest = owes_replies

    def was_reset(self, *, ends_at_report: bool = False) -> None:
        """Wait until it greets, for 3 s at most; or with `ends_at_report` until it reports.

        Opening its port may have reset it, or not: then it does not greet.
        """
        self.ends_at_report = ends_at_report
        self._welcome_until = self._clock() + WELCOME_TIMEOUT_S

    def said(self, message: bytes) -> None:
        """Note a message: some announce that it resets itself after its reply."""
        self._resets_itself |= bare(message).startswith(_RESETS_ITSELF)

    def resets_itself(self) -> bool:
        """Return, once, whether it has announced that it resets itself now that it has replied."""
        resets, self._resets_itself = self._resets_itself, False
        return resets

    def greeted(self) -> bool:
        """Note its banner, after which it owes nothing; returns whether a reset was awaited."""
        was_awaited = self.awaits_welcome
        self._resets_itself = self.awaits_rest = False
        if was_awaited:
            self._end_wait()
        return was_awaited

    def reported(self, report: bytes) -> bool:
        """Note a report; returns whether it says that no reply of before will come."""
        ends_wait, rests = self.ends_at_report, bool(self.awaits_rest and _AT_REST.match(report))
        if ends_wait:
            self._end_wait()
        if rests:
            self.awaits_rest = False
        return ends_wait or rests

    def gives_up(self, now: float) -> bool:
        """Return, once, whether it should have greeted by now: it was not reset, or is silent."""
        is_late = self._welcome_until is not None and now >= self._welcome_until
        if is_late:
            self._end_wait()
        return is_late

    def _end_wait(self) -> None:
        self._welcome_until, self.ends_at_report = None, False
