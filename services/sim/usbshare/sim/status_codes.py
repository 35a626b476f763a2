"""GRBL's numbers for line status, alarms and messages."""

from __future__ import annotations

from enum import Enum, IntEnum


class Status(IntEnum):
    """How a line ended; anything but OK is sent as `error:n`."""

    OK = 0
    EXPECTED_COMMAND_LETTER = 1
    BAD_NUMBER_FORMAT = 2
    INVALID_STATEMENT = 3
    NEGATIVE_VALUE = 4
    SETTING_DISABLED = 5
    STEP_PULSE_MIN = 6
    NOT_IDLE = 8
    LOCKED = 9
    SOFT_LIMIT_ERROR = 10
    OVERFLOW = 11
    CHECK_DOOR = 13
    LINE_LENGTH_EXCEEDED = 14
    TRAVEL_EXCEEDED = 15
    INVALID_JOG = 16
    UNSUPPORTED_COMMAND = 20
    MODAL_GROUP_VIOLATION = 21
    UNDEFINED_FEED_RATE = 22
    VALUE_NOT_INTEGER = 23
    AXIS_COMMAND_CONFLICT = 24
    WORD_REPEATED = 25
    NO_AXIS_WORDS = 26
    INVALID_LINE_NUMBER = 27
    VALUE_WORD_MISSING = 28
    UNSUPPORTED_COORDINATES = 29
    G53_INVALID_MOTION = 30
    AXIS_WORDS_EXIST = 31
    NO_AXIS_WORDS_IN_PLANE = 32
    INVALID_TARGET = 33
    ARC_RADIUS_ERROR = 34
    NO_OFFSETS_IN_PLANE = 35
    UNUSED_WORDS = 36
    DYNAMIC_TOOL_AXIS = 37
    MAX_VALUE_EXCEEDED = 38


class Alarm(IntEnum):
    """Why the machine has locked itself; sent as `ALARM:n`."""

    HARD_LIMIT = 1
    SOFT_LIMIT = 2
    ABORT_CYCLE = 3
    HOMING_RESET = 6
    HOMING_DOOR = 7
    HOMING_PULL_OFF = 8


class State(Enum):
    """The machine's state; the values are those of the status report."""

    IDLE = "Idle"
    RUN = "Run"
    HOLD = "Hold"
    JOG = "Jog"
    ALARM = "Alarm"
    DOOR = "Door"
    CHECK = "Check"
    HOME = "Home"
    SLEEP = "Sleep"


class GcodeError(Exception):
    """A line that GRBL answers with `error:n`."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.name)
        self.status = status
