"""What a machine's overrides are known to be: it says so in few of its reports. Pure."""

from __future__ import annotations

from usbshare.line.machine_report import MachineReport, Overrides


class KnownOverrides:
    """`now` is what was reported last, None where they may be others by now."""

    def __init__(self) -> None:
        self.now: Overrides | None = None

    def reported(self, report: MachineReport) -> None:
        """Take a report, which may say them."""
        self.now = report.overrides or self.now

    def forget(self) -> None:
        """Wait for the next report of them: what was written may change them."""
        self.now = None
