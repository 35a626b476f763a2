"""What stops and resets did, and what is recorded of them in the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from usbshare.line.profiles import Profile, StopAction


@dataclass(frozen=True, slots=True)
class StopRecord:
    """What a stop did, with times since the call.

    `write_delay_s` is until the driver had the bytes, `drain_delay_s` until they had left the host,
    None if unknown. `caller_left` while it was carried out: if the device had not
    `taken` the bytes by then, `write_delay_s` is until that moment.
    """

    epoch: int
    latched: bool
    sent: bytes
    fenced_commands: int
    write_delay_s: float
    drain_delay_s: float | None = None
    caller_left: bool = False
    taken: bool = True
    hold_number: int = 0


class Pulse(Enum):
    """Which line is pulsed."""

    DTR = "DTR"
    RTS = "RTS"


@dataclass(frozen=True, slots=True)
class ResetRecord:
    """What a reset did: the bytes that were written, or which line was pulsed."""

    epoch: int
    latched: bool
    sent: bytes
    fenced_commands: int
    pulsed: Pulse | None


class StopAudit(Protocol):
    """Who notes what stops and resets do; nothing here waits or fails."""

    def realtime(self, who: str, address: str, profile: Profile, data: bytes) -> None:
        """Note real-time bytes."""

    def stopped(
        self, action: StopAction, who: str, address: str, reason: str, record: StopRecord
    ) -> None:
        """Note a stop that was carried out."""

    def stop_failed(
        self, action: StopAction, who: str, address: str, reason: str, why: str
    ) -> None:
        """Note a stop that the device did not accept."""

    def line_error(self, reason: str, *, machine_held: bool) -> None:
        """Note that lines are held since one went wrong, and whether the machine is as well."""

    def job_lost(self, who: str, why: str) -> None:
        """Note that a job was lost."""

    def job_reset(self, sent: bytes) -> None:
        """Note that the machine of a lost job was reset."""

    def rearmed(self, who: str, address: str, epoch: int) -> None:
        """Note that a latch was released."""

    def reset(self, who: str, address: str, reason: str, record: ResetRecord) -> None:
        """Note that somebody reset the machine."""
