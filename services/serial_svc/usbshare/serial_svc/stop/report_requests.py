"""Asks a machine for its state after a command that it may have ignored.

GRBL ignores a hold while it homes or is in an alarm, and a resume until a hold has come to rest or
while its door is open (github.com/gnea/grbl, protocol.c and limits.c). Where its program asks
often enough by itself, nothing is asked here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.stop.activity import SETTLED_S
from usbshare.serial_svc.stop.last_reports import LastReports

STATUS = b"?"
LOOK_S = 0.1
LIMIT_S = 2.0
# On their way to rest: GRBL goes on by itself to Hold:0, Door:0 or Door:1.
BRAKING = frozenset({b"Hold:1", b"Door:2"})


class ReportRequests:
    """Asks the machine on one line until it has told what a command did, 2 s at most.

    `on_silence` is called where it has reported nothing by then.
    """

    def __init__(
        self,
        line: Line,
        reports: LastReports,
        clock: Callable[[], float],
        on_silence: Callable[[], None],
    ) -> None:
        self._line = line
        self._reports = reports
        self._clock = clock
        self._on_silence = on_silence
        self._commanded_at = 0.0
        self._is_told = True
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Ask from now on: a command has just been written."""
        if self._line.is_open and self._line.profile.reports_state:
            self._commanded_at, self._is_told = self._clock(), False
            self._look_later()

    @property
    def is_pending(self) -> bool:
        """Whether the machine may still tell what the last command did."""
        return not self._is_told and self._clock() - self._commanded_at < LIMIT_S

    def reported(self, state: bytes, begun_at: float) -> None:
        """Take a report that began at that monotonic time.

        One from before the request does not count.
        """
        is_later = begun_at - self._commanded_at >= SETTLED_S
        self._is_told = self._is_told or (is_later and state not in BRAKING)

    def ask(self) -> None:
        """Ask now, unless a report came just before."""
        if self._clock() - self._reports.begun_at >= LOOK_S:
            self._line.writer.polite(STATUS)

    def _look_later(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._is_told or not self._line.is_open:
            return
        if self._clock() - self._commanded_at < LIMIT_S:
            self.ask()
            self._look_later()
        elif self._reports.begun_at < self._commanded_at:
            self._on_silence()
