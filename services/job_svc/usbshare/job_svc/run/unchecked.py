"""What is left of an analysis where the machine does not speak as GRBL does.

The simulator knows GRBL alone: it finds errors in every line that extrudes, and measures the rest
without it. Of such a file only that it is G-code is known.
"""

from __future__ import annotations

from dataclasses import replace

from usbshare.analysis.records import Analysis, Finding, Severity
from usbshare.base.errors import InvalidArgumentError
from usbshare.client.serial.messages import RemotePort
from usbshare.line.flow.character_counting import rules_of
from usbshare.line.flow.replies import GRBL_DIALECT


def foreign_firmware(port: RemotePort | None) -> str:
    """Return the firmware of a port that is known to be no GRBL, empty for any other."""
    rules = None if port is None else rules_of(port.profile)
    if port is None or rules is None or rules.dialect is GRBL_DIALECT:
        return ""
    return port.profile.name


def require_first_line(port: RemotePort | None, first_line: int) -> None:
    """Raise InvalidArgumentError where a job cannot begin within its file on a port's firmware."""
    if first_line > 1 and (firmware := foreign_firmware(port)):
        raise InvalidArgumentError(
            f"a job for {firmware} cannot begin with line {first_line}: where the machine is and "
            "in which modes is known of programs for GRBL only"
        )


def unchecked(analysis: Analysis, firmware: str) -> Analysis:
    """Return an analysis without what was found as if the machine were a GRBL."""
    text = f"not checked: programs for {firmware} are not simulated here, so nothing is estimated"
    return replace(
        analysis,
        duration_s=0.0,
        box=None,
        burnt_box=None,
        travel=None,
        peak_bytes_per_s=0.0,
        findings=(Finding(0, Severity.WARNING, "", text),),
        finding_count=1,
        error_count=0,
    )
