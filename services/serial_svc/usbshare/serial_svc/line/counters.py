"""Counters of one port since the service started."""

from __future__ import annotations

from dataclasses import dataclass, field

from usbshare.base.time_stats import TimeStats


@dataclass(slots=True)
class PortCounters:
    """Counts of one port; changed only by its own methods."""

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
    drain_time: TimeStats = field(default_factory=TimeStats)
    answer_time: TimeStats = field(default_factory=TimeStats)
    send_time: TimeStats = field(default_factory=TimeStats)

    def wrote_through(self, now: float) -> None:
        """Count a command that did not have to wait."""
        self.written_commands += 1
        self.queue_time.add_none(now)
        self.write_time.add_none(now)

    def wrote(self, size: int) -> None:
        """Count bytes that the device accepted."""
        self.written_bytes += size

    def wrote_command(self, queue_time_s: float, write_time_s: float, now: float) -> None:
        """Count a command that was queued, and is written whole."""
        self.written_commands += 1
        self.queue_time.add(queue_time_s, now)
        self.write_time.add(write_time_s, now)

    def read(self, size: int) -> None:
        """Count bytes that were read together."""
        self.read_bytes += size
        self.read_chunks += 1

    def queued(self, depth: int) -> None:
        """Note how many commands wait."""
        self.max_queue_commands = max(self.max_queue_commands, depth)

    def failed(self, commands: int) -> None:
        """Count commands that were dropped, refused or failed."""
        self.failed_commands += commands

    def device_lost(self) -> None:
        """Count the loss of a device."""
        self.device_errors += 1

    def stopped(self) -> None:
        """Count a stop of any kind."""
        self.stops += 1

    def session_lost(self) -> None:
        """Count a session in control that was lost."""
        self.lost_sessions += 1

    def link_loss_acted(self) -> None:
        """Count an action on the machine of a lost session."""
        self.link_loss_actions += 1
