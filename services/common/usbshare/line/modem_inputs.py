"""Which modem lines the other side drives, so that only their changes are reported."""

from __future__ import annotations

from usbshare.line.settings import LineCounts, ModemLines

POLL_S = 0.05


def inputs_of(lines: ModemLines) -> tuple[bool | LineCounts | None, ...]:
    """Return CTS, DSR, RI and CD, and the line events."""
    return lines.cts, lines.dsr, lines.ri, lines.cd, lines.counts


def are_known(lines: ModemLines) -> bool:
    """Return whether the device can report any of its inputs."""
    return any(line is not None for line in inputs_of(lines))
