"""What GRBL's error numbers mean, in words that follow the line's number."""

from __future__ import annotations

from usbshare.sim.status_codes import Status

_TEXTS = {
    Status.EXPECTED_COMMAND_LETTER: "a word must begin with a letter",
    Status.BAD_NUMBER_FORMAT: "a letter must be followed by a number",
    Status.INVALID_STATEMENT: "GRBL has no such $ command",
    Status.NEGATIVE_VALUE: "the value must not be negative",
    Status.SETTING_DISABLED: "homing is switched off ($22=0)",
    Status.STEP_PULSE_MIN: "$0 must be at least 3",
    Status.NOT_IDLE: "GRBL accepts this $ command only while idle, and the machine is moving here",
    Status.LOCKED: "GRBL accepts no G-code while it jogs or is locked",
    Status.SOFT_LIMIT_ERROR: "soft limits ($20) need homing ($22)",
    Status.OVERFLOW: "the line is longer than the 79 characters that GRBL accepts",
    Status.LINE_LENGTH_EXCEEDED: "the line is too long to be stored",
    Status.TRAVEL_EXCEEDED: "the jog exceeds the machine's travel",
    Status.INVALID_JOG: "a jog may have only F and axis words, with G20, G21, G53, G90 or G91",
    Status.UNSUPPORTED_COMMAND: "GRBL has no such word",
    Status.MODAL_GROUP_VIOLATION: "two commands of one modal group in a line",
    Status.UNDEFINED_FEED_RATE: "no feed rate is set (F)",
    Status.VALUE_NOT_INTEGER: "the number must be an integer",
    Status.AXIS_COMMAND_CONFLICT: "two commands of the line use its X, Y and Z",
    Status.WORD_REPEATED: "a word occurs twice in the line",
    Status.NO_AXIS_WORDS: "X, Y or Z is missing",
    Status.INVALID_LINE_NUMBER: "the line number (N) is too large",
    Status.VALUE_WORD_MISSING: "a value is missing (P or L)",
    Status.UNSUPPORTED_COORDINATES: "GRBL has only the coordinate systems G54 to G59",
    Status.G53_INVALID_MOTION: "G53 needs G0 or G1",
    Status.AXIS_WORDS_EXIST: "X, Y or Z without a motion mode (after G80)",
    Status.NO_AXIS_WORDS_IN_PLANE: "the arc has no end in its plane",
    Status.INVALID_TARGET: "the arc's end is not as far from its centre as its start",
    Status.ARC_RADIUS_ERROR: "the arc's radius is too small to reach its end",
    Status.NO_OFFSETS_IN_PLANE: "the arc has no centre in its plane (I, J or K)",
    Status.UNUSED_WORDS: "words that belong to no command of the line",
    Status.DYNAMIC_TOOL_AXIS: "G43.1 takes only Z",
    Status.MAX_VALUE_EXCEEDED: "the tool number is too large",
}


def status_text(status: Status) -> str:
    """Return the meaning of an error."""
    return _TEXTS.get(status, "the firmware rejects it")
