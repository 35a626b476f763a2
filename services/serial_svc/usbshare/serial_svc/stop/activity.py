"""Whether a machine may be running a job: program bytes were written since it was known to be idle.

Only GRBL says that it is idle, in its status reports (github.com/gnea/grbl/wiki, Grbl v1.1
Interface, real-time status reports). Any other firmware counts as running a job from its
first program byte on, unless all that it got are queries that it has answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from usbshare.line.profiles import RAW, Profile
from usbshare.serial_svc.stop.last_reports import LastReports
from usbshare.serial_svc.stop.queries import Queries

# A report that crossed with a command says nothing about it.
SETTLED_S = 0.25
LONGEST_REPORT_BYTES = 256
_REPORT = re.compile(rb"<(\w+)(:\d+)?[^<>]*>")
_FREE_BYTES = re.compile(rb"\|Bf:\d+,(\d{1,6})")
_AT_REST = frozenset({b"Idle", b"Check", b"Sleep"})
_AT_WORK = frozenset({b"Run", b"Hold", b"Jog", b"Home", b"Door", b"Tool", b"Queue", b"Pause"})
_ALARMED = frozenset({b"Alarm", b"ConfigAlarm", b"Critical", b"Halt"})
_NEVER = float("-inf")


class Activity:
    """Follows one device; `is_active` may be read at any time, `on_change` is called on changes.

    `on_report` gets what each report says (`Hold:0`), and when its first byte came; `reports` keeps
    the last ones.

    A machine that was believed idle and says that it works, works on what it was sent before.
    """

    def __init__(
        self,
        on_change: Callable[[bool], None],
        on_report: Callable[[bytes, float], None] = lambda *_: None,
        profile: Callable[[], Profile] = lambda: RAW,
    ) -> None:
        self.is_active = False
        self.reports = LastReports()
        self._profile = profile
        self._queries = Queries()
        self._on_change = on_change
        self._on_report = on_report
        self._written_at = _NEVER
        self._most_free_bytes = 0
        self._tail = b""
        self._tail_at = 0.0

    @property
    def begun_line(self) -> bytes:
        """What the program bytes so far have of a line that is not ended, as far as is known."""
        return self._queries.begun_line

    def line_is_void(self) -> None:
        """Note that the device holds nothing of a line: it was reset, or is gone."""
        self._queries.line_is_void()

    def wrote(self, data: bytes, now: float) -> None:
        """Note program bytes that were handed to the device."""
        queries = self._queries
        if queries.is_work:
            queries.works_on(data)
        else:
            queries.wrote(data, may_ask=self._profile().name != RAW.name)
        self._written_at = now
        if not self.is_active:
            self._change(active=True)

    def works(self, now: float) -> None:
        """Treat the machine as running a job, whatever it was given."""
        self._queries.works()
        self._written_at = now
        if not self.is_active:
            self._change(active=True)

    def heard(self, data: bytes, now: float, *, nothing_waits: bool) -> None:
        """Look for answers, and for GRBL's reports, however they are split, also while idle."""
        queries = self._queries
        all_answered = not queries.is_work and queries.all_answered_by(data)
        profile = self._profile()
        if profile.reports_state:
            self._look_for_reports(data, now, nothing_waits)
        elif profile.speaks_gcode:
            self.reports.look_for_position(data, now)
        if all_answered and nothing_waits and self.is_active and not self._queries.is_work:
            self._change(active=False)

    def _look_for_reports(self, data: bytes, now: float, nothing_waits: bool) -> None:
        if not self._tail and b"<" not in data:
            return
        text, end = self._tail + data, 0
        for report in _REPORT.finditer(text):
            is_older = bool(self._tail) and report.start() == 0
            self._reported(report, self._tail_at if is_older else now, nothing_waits)
            end = report.end()
        self._keep(text, max(end, text.rfind(b"<")), now)

    def stopped(self) -> None:
        """Note that the machine was stopped, or is gone."""
        self._written_at = _NEVER
        self._most_free_bytes = 0
        self._queries.rests()
        if self.is_active:
            self._change(active=False)

    def _reported(self, report: re.Match[bytes], begun_at: float, nothing_waits: bool) -> None:
        """Take a report whose first byte came at `begun_at`."""
        state = report[1]
        self.reports.reported(report[0], begun_at)
        self._on_report(state + (report[2] or b""), begun_at)
        if state in _AT_WORK:
            self._queries.works()
        # In a dwell (G4) GRBL says Idle, though lines wait in its receive buffer.
        is_at_rest = (self._is_empty(report[0]) and state in _AT_REST) or state in _ALARMED
        is_settled = begun_at - self._written_at >= SETTLED_S and nothing_waits
        if self.is_active and is_at_rest and is_settled:
            self._change(active=False)
        elif not self.is_active and state in _AT_WORK and self._written_at != _NEVER:
            self._change(active=True)

    def _is_empty(self, report: bytes) -> bool:
        """Return whether the receive buffer is empty, if the report says so ($10=2 and more)."""
        found = _FREE_BYTES.search(report)
        if found is None:
            return True
        free_bytes = int(found[1])
        self._most_free_bytes = max(self._most_free_bytes, free_bytes)
        return free_bytes == self._most_free_bytes

    def _keep(self, text: bytes, start: int, now: float) -> None:
        """Keep a report that has begun, with the time of its first byte."""
        is_same = bool(self._tail) and start == 0
        tail = text[start:] if text[start : start + 1] == b"<" else b""
        self._tail = tail if len(tail) <= LONGEST_REPORT_BYTES else b""
        if not is_same:
            self._tail_at = now

    def _change(self, *, active: bool) -> None:
        self.is_active = active
        if not active:
            self._queries.rests()
        self._on_change(active)
