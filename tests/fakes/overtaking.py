"""Real-time bytes for the bridge's second connection, as an upstream hands them over."""

from __future__ import annotations

from usbshare.client.serial.realtime_lane import Overtaking, RealtimeLane
from usbshare.line.profiles import GRBL, MARLIN


def overtaking(data: bytes) -> Overtaking:
    """Return the first real-time bytes of a session, for the firmware that they are meant for."""
    profile = MARLIN if MARLIN.is_realtime(data) else GRBL
    lane = RealtimeLane()
    return lane.overtake(lane.number(profile.pieces(data, 1), epoch=1), profile)
