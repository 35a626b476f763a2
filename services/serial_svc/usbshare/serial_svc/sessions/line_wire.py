"""What of a line is written, and why a line cannot be."""

from __future__ import annotations

from usbshare.line.flow.gcode_line import without_comments
from usbshare.line.profiles import Profile


def wire_of(line: bytes, profile: Profile, buffer_bytes: int) -> tuple[bytes, str]:
    """Return what is to be written of a line, and why it cannot be; one of them is empty.

    A comment is left out where firmware would obey a byte in it, or the line would be too long.
    `buffer_bytes` 0: the firmware takes a line of any length.
    """
    wire = line
    if profile.has_realtime(wire) or _is_too_long(wire, buffer_bytes):
        wire = without_comments(wire)
    if profile.has_realtime(wire):
        return b"", "it contains a real-time byte, which would act at once; send it as Realtime"
    if _is_too_long(wire, buffer_bytes):
        return b"", f"it has {len(wire)} bytes; the firmware's buffer holds {buffer_bytes}"
    return wire, ""


def _is_too_long(line: bytes, buffer_bytes: int) -> bool:
    return 0 < buffer_bytes < len(line)
