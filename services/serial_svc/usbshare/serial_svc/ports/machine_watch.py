"""The state of a machine for its watchers; the machine is asked only if that disturbs nobody.

GRBL takes a second `?` that comes before it has answered the first as the same one, so that nobody
can tell whose answer a report is. So a program is not asked over for those who watch: while a
session has control, lost or not, only its program asks, and the host itself after a hold or resume.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from usbshare.line.machine_report import MachineReport
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.sessions.events import QueueState
from usbshare.serial_svc.sessions.roster import SessionRoster
from usbshare.serial_svc.stop.stops import Stops

ASK_S = 1.0
ANSWER_S = 0.1  # GRBL answers within 20 ms
# A device that does not answer is asked rarely.
MOST_UNANSWERED = 3
SELDOM_S = 10.0
_STATUS = b"?"


@dataclass(frozen=True, slots=True)
class MachineView:
    """A machine at one moment: its last report and how old that is, and what is around it."""

    report: MachineReport | None
    age_s: float
    queue: QueueState
    holder_round_trip_s: float | None


class MachineWatch:
    """Watches one machine for all of its watchers."""

    def __init__(
        self,
        line: Line,
        stops: Stops,
        roster: SessionRoster,
        queue: Callable[[], QueueState],
        clock: Callable[[], float],
    ) -> None:
        self._line = line
        self._stops = stops
        self._reports = stops.machine.activity.reports
        self._roster = roster
        self._queue = queue
        self._clock = clock
        self._asked_at = -inf
        self._unanswered = 0

    def ask(self) -> bool:
        """Ask the machine if its report is old and that is allowed; True if an answer may come."""
        now = self._clock()
        if self._is_due(now):
            is_answered = self._reports.begun_at >= self._asked_at
            self._unanswered = 0 if is_answered else self._unanswered + 1
            self._asked_at = now
            self._line.writer.polite(_STATUS)
        return now - self._asked_at < ANSWER_S

    def view(self) -> MachineView:
        """Return what is known now."""
        return MachineView(
            self._reports.parsed(self._line.profile),
            max(0.0, self._clock() - self._reports.begun_at),
            self._queue(),
            self._roster.control.hearing.round_trip_s if self._roster.control else None,
        )

    def _is_due(self, now: float) -> bool:
        wait_s = ASK_S if self._unanswered < MOST_UNANSWERED else SELDOM_S
        if now - self._asked_at < wait_s or now - self._reports.begun_at < ASK_S:
            return False
        line = self._line
        is_free = self._roster.control is None and not self._stops.lost_job.must_reset
        takes_it = line.is_open and ord(_STATUS) in line.profile.realtime
        return is_free and takes_it and not line.scheduler.commands
