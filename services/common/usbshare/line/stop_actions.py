"""What a stop does; a separate module, since the stop command imports only what it must."""

from __future__ import annotations

from enum import Enum


class StopAction(Enum):
    """What a stop does."""

    HOLD = "hold"
    SAFETY_DOOR = "safety door"
    RESUME = "resume"
    EMERGENCY_STOP = "emergency stop"
