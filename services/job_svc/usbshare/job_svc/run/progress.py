"""How far a job is: what was sent, what the firmware replied to, and what the machine has done.

`ok` means that a line was parsed. Of those that were, the last ones may still be in the firmware's
planner: as many as its reports say are taken. Where it does not say, the planner counts as full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from usbshare.job_svc.run.program import Step
from usbshare.job_svc.storage.job import Progress
from usbshare.line.machine_report import MachineReport

# grbl's planner has 16 blocks, of which it uses 15; grblHAL's and FluidNC's say how many are free.
BLOCKS = 16
MOST_BLOCKS = 1024


class JobProgress:
    """Counts one job; `clock` is monotonic."""

    def __init__(
        self,
        total: Progress,
        clock: Callable[[], float],
        duration_s: float | None = None,
    ) -> None:
        self._total = total
        self._clock = clock
        self._duration_s = duration_s
        self._unanswered: deque[Step] = deque()
        # Lines up to each of the last moves that were acknowledged, with those behind it.
        self._moves: deque[int] = deque([0], maxlen=MOST_BLOCKS + 1)
        self._sent = self._acknowledged = (0, 0)
        self._executed = 0
        self._run = 0
        self._capacity = 0
        self._began = clock()
        self._held_s = 0.0
        self._held_at: float | None = None
        self._has_all = False

    @property
    def is_acknowledged(self) -> bool:
        """Whether the firmware has replied to every line."""
        return self._has_all and not self._unanswered

    @property
    def next_unanswered(self) -> Step | None:
        """The line whose reply comes next."""
        return self._unanswered[0] if self._unanswered else None

    def sent(self, step: Step) -> None:
        """Note that a line was handed over."""
        self._unanswered.append(step)
        self._sent = (step.lines, step.size_bytes)
        self._run = self._run or step.run

    def sent_last(self, code: bytes) -> None:
        """Note that a line of our own was handed over behind the program."""
        self.sent(Step(code, 0, self._run, self._total.lines, self._total.size_bytes, False))

    def has_all(self) -> None:
        """Note that there are no more lines."""
        self._has_all = True
        self._settle()

    def answered(self) -> None:
        """Note that the firmware replied to the oldest line."""
        step = self._unanswered.popleft()
        self._acknowledged = (step.lines, step.size_bytes)
        self._run = step.run
        if step.moves:
            self._moves.append(step.lines)
        else:
            self._moves[-1] = step.lines
        self._settle()

    def reported(self, report: MachineReport) -> None:
        """Take a status report."""
        if report.free_blocks is not None:
            self._capacity = max(self._capacity, report.free_blocks)
        if report.state == "Idle":
            self._executed = max(self._executed, self._acknowledged[0])
            return
        queued = BLOCKS
        if report.free_blocks is not None:
            queued = max(self._capacity, BLOCKS - 1) - report.free_blocks
        # One move more is under way than waits.
        at = len(self._moves) - 1 - min(max(queued, 0) + 1, MOST_BLOCKS)
        if at >= 0:
            self._executed = max(self._executed, min(self._moves[at], self._acknowledged[0]))

    def is_held(self, held: bool) -> None:
        """Note that the job is held, or goes on."""
        now = self._clock()
        if held and self._held_at is None:
            self._held_at = now
        elif not held and self._held_at is not None:
            self._held_s += now - self._held_at
            self._held_at = None

    def finished(self) -> None:
        """Note that all was executed."""
        self._executed = self._acknowledged[0]

    def progress(self) -> Progress:
        """Return how far it is now."""
        until = self._clock() if self._held_at is None else self._held_at
        return Progress(
            lines=self._total.lines,
            size_bytes=self._total.size_bytes,
            sent_lines=self._sent[0],
            sent_bytes=self._sent[1],
            acknowledged_lines=self._acknowledged[0],
            acknowledged_bytes=self._acknowledged[1],
            executed_lines=self._executed,
            run=self._run,
            elapsed_s=round(until - self._began - self._held_s, 3),
            remaining_s=self._remaining_s(),
        )

    def _settle(self) -> None:
        """Count what is behind the last line that is sent: blank lines and comments."""
        if self.is_acknowledged:
            self._sent = self._acknowledged = (self._total.lines, self._total.size_bytes)
            self._moves[-1] = self._total.lines

    def _remaining_s(self) -> float | None:
        if self._duration_s is None or not self._total.lines:
            return None
        left = 1 - self._executed / self._total.lines
        return round(max(0.0, self._duration_s * left), 3)
