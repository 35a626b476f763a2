"""Counters of one port since the service started."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class TimeStats:
    """A distribution of times in seconds."""

    count: int = 0
    total_s: float = 0.0
    min_s: float = 0.0
    max_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one time."""
        self.min_s = seconds if self.count == 0 else min(self.min_s, seconds)
        self.max_s = max(self.max_s, seconds)
        self.count += 1
        self.total_s += seconds

    @property
    def mean_s(self) -> float:
        """The mean; 0 while nothing was counted."""
        return self.total_s / self.count if self.count else 0.0


@dataclass(slots=True)
class PortCounters:
    """What a port did; only its owner writes here."""

    written_bytes: int = 0
    read_bytes: int = 0
    written_commands: int = 0
    read_chunks: int = 0
    failed_commands: int = 0
    device_errors: int = 0
    stops: int = 0
    lost_sessions: int = 0
    link_loss_actions: int = 0
    max_queue_commands: int = 0
    queue_time: TimeStats = field(default_factory=TimeStats)
    write_time: TimeStats = field(default_factory=TimeStats)
    stop_write_time: TimeStats = field(default_factory=TimeStats)

    def wrote_through(self) -> None:
        """Count a command that waited for nothing."""
        self.written_commands += 1
        for times in (self.queue_time, self.write_time):
            times.count += 1
            times.min_s = 0.0
