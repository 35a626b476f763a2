"""How many bytes the busiest second of a job needs."""

from __future__ import annotations

from collections import deque

_STEPS_PER_S = 100


class PeakRate:
    """Counts bytes by the time at which they are needed; times never decrease."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, int]] = deque()
        self._step = 0
        self._step_bytes = 0
        self._window_bytes = 0
        self.peak_bytes_per_s = 0.0

    def add(self, size_bytes: int, now_s: float) -> None:
        """Count bytes that must have arrived at a time."""
        step = int(now_s * _STEPS_PER_S)
        if step != self._step:
            self._advance(step)
        self._step_bytes += size_bytes
        self._window_bytes += size_bytes
        self.peak_bytes_per_s = max(self.peak_bytes_per_s, float(self._window_bytes))

    def _advance(self, step: int) -> None:
        steps = self._steps
        if self._step_bytes:
            steps.append((self._step, self._step_bytes))
        self._step, self._step_bytes = step, 0
        while steps and steps[0][0] <= step - _STEPS_PER_S:
            self._window_bytes -= steps.popleft()[1]
