"""First pass of the G-code parser: letters and numbers become commands, modes and values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum

from usbshare.sim.modal import Flow, MotionMode, Spindle
from usbshare.sim.status_codes import GcodeError, Status

_WORD = re.compile(r"([A-Z])([+-]?(?:\d+\.?\d*|\.\d+))")
_VALUE_LETTERS = frozenset("FIJKLNPRSTXYZ")
_NOT_NEGATIVE = frozenset("FNPTS")
# Any value will do, and none is a command.
_FREE_LETTERS = frozenset("IJKLRXYZ")
MAX_LINE_NUMBER = 10_000_000
MAX_TOOL = 255


class AxisCommand(Enum):
    """Which command of the line the axis words belong to."""

    NONE = "none"
    MOTION = "motion"
    NON_MODAL = "non-modal"
    TOOL_LENGTH = "tool length"


class NonModal(Enum):
    """Modal group 0: commands that act once; the values are hundredths of the G number."""

    NONE = -1
    DWELL = 400
    SET_COORDINATES = 1000
    GO_HOME_28 = 2800
    SET_HOME_28 = 2810
    GO_HOME_30 = 3000
    SET_HOME_30 = 3010
    MACHINE_COORDINATES = 5300
    SET_OFFSET = 9200
    CLEAR_OFFSET = 9210


@dataclass(slots=True)
class Line:
    """One parsed line; `modes` holds only the modes that it names."""

    modes: dict[str, object] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    values: dict[str, float] = field(default_factory=dict)
    non_modal: NonModal = NonModal.NONE
    axis_command: AxisCommand = AxisCommand.NONE


_Command = tuple[str, str | None, object]

_G: dict[int, _Command] = {
    **{command.value: ("G0", None, command) for command in NonModal if command.value >= 0},
    **{mode.value * 100: ("G1", "motion", mode) for mode in MotionMode},
    **{1700 + 100 * n: ("G2", "plane", n) for n in range(3)},
    9000: ("G3", "incremental", False),
    9100: ("G3", "incremental", True),
    9110: ("G4", None, None),
    9300: ("G5", "inverse_time", True),
    9400: ("G5", "inverse_time", False),
    2000: ("G6", "inches", True),
    2100: ("G6", "inches", False),
    4000: ("G7", None, None),
    4310: ("G8", "tool_length", True),
    4900: ("G8", "tool_length", False),
    **{5400 + 100 * n: ("G12", "coordinates", n) for n in range(6)},
    6100: ("G13", None, None),
}
_M: dict[int, _Command] = {
    0: ("M4", "flow", Flow.PAUSED),
    1: ("M4", None, None),
    2: ("M4", "flow", Flow.END),
    30: ("M4", "flow", Flow.END_30),
    3: ("M7", "spindle", Spindle.CONSTANT),
    4: ("M7", "spindle", Spindle.DYNAMIC),
    5: ("M7", "spindle", Spindle.OFF),
    7: ("M8", "mist", True),
    8: ("M8", "flood", True),
    9: ("M8", "coolant_off", True),
}
_AXIS_USERS = {1000, 2800, 3000, 9200}
# Numbers whose fractions are separate commands, known to GRBL or not.
_FRACTIONAL = {28, 30, 38, 43, 61, 90, 91, 92}


def parse_words(text: str) -> Line:
    """Parse a cleaned line; raises GcodeError."""
    line, at = Line(), 0
    values = line.values
    for match in _WORD.finditer(text):
        if match.start() != at:
            break
        letter, number = match.groups()
        value, at = float(number), match.end()
        if letter in _FREE_LETTERS and letter not in values:  # most words of most lines
            values[letter] = value
        else:
            _take(line, letter, value)
    if at < len(text):
        raise GcodeError(_malformed(text[at]))
    return line


def _malformed(letter: str) -> Status:
    is_letter = "A" <= letter <= "Z"
    return Status.BAD_NUMBER_FORMAT if is_letter else Status.EXPECTED_COMMAND_LETTER


def _take(line: Line, letter: str, value: float) -> None:
    if letter in _VALUE_LETTERS:
        _take_value(line, letter, value)
    elif letter == "G":
        _take_g(line, value)
    elif letter == "M":
        _take_m(line, value)
    else:
        raise GcodeError(Status.UNSUPPORTED_COMMAND)


def _take_value(line: Line, letter: str, value: float) -> None:
    if letter == "T" and value > MAX_TOOL:
        raise GcodeError(Status.MAX_VALUE_EXCEEDED)
    if letter in line.values:
        raise GcodeError(Status.WORD_REPEATED)
    if value < 0 and letter in _NOT_NEGATIVE:
        raise GcodeError(Status.NEGATIVE_VALUE)
    line.values[letter] = value


def _take_g(line: Line, value: float) -> None:
    hundredths = round(value * 100)
    command = _G.get(hundredths)
    if command is None:
        raise GcodeError(_unknown_g(hundredths))
    axis_command = _AXIS_COMMANDS[hundredths]
    if axis_command is not AxisCommand.NONE:
        if line.axis_command is not AxisCommand.NONE:
            raise GcodeError(Status.AXIS_COMMAND_CONFLICT)
        line.axis_command = axis_command
    if isinstance(command[2], NonModal):
        line.non_modal = command[2]
    _enter(line, command)


def _take_m(line: Line, value: float) -> None:
    if value != int(value):
        raise GcodeError(Status.VALUE_NOT_INTEGER)
    command = _M.get(int(value))
    if command is None:
        raise GcodeError(Status.UNSUPPORTED_COMMAND)
    _enter(line, command)


def _enter(line: Line, command: _Command) -> None:
    group, mode, value = command
    if group in line.groups:
        raise GcodeError(Status.MODAL_GROUP_VIOLATION)
    line.groups.add(group)
    if mode is not None:
        line.modes[mode] = value


def _axis_command(hundredths: int) -> AxisCommand:
    if hundredths <= 300:
        return AxisCommand.MOTION
    if hundredths in _AXIS_USERS:
        return AxisCommand.NON_MODAL
    return AxisCommand.TOOL_LENGTH if hundredths in {4310, 4900} else AxisCommand.NONE


_AXIS_COMMANDS = {hundredths: _axis_command(hundredths) for hundredths in _G}


def _unknown_g(hundredths: int) -> Status:
    number, fraction = divmod(hundredths, 100)
    known = fraction and number * 100 in _G and number not in _FRACTIONAL
    return Status.VALUE_NOT_INTEGER if known else Status.UNSUPPORTED_COMMAND
