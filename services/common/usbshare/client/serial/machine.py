"""What a machine is doing, as its host says."""

from __future__ import annotations

from dataclasses import dataclass

from usbshare.line.machine_report import MachineReport


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """A machine at one moment; `report` None: it has said nothing since its device was opened.

    `holder_round_trip_s` is None while nobody has control, or has measured yet.
    """

    report: MachineReport | None
    report_age_s: float
    queued_commands: int
    queued_bytes: int
    queue_band: str
    holder_round_trip_s: float | None = None
