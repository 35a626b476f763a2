"""What a stop did, as reported by the service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class StopReport:
    """What a stop did. Delays run from the service receiving it; None if unknown."""

    epoch: int
    latched: bool
    sent: bytes
    fenced_commands: int
    receive_time: datetime
    write_delay_s: float
    drain_delay_s: float | None
    round_trip_s: float
    hold_number: int = 0


@dataclass(frozen=True, slots=True)
class SeenHold:
    """What a person saw who decides to resume: the epoch, and the number of the last hold."""

    epoch: int
    number: int
