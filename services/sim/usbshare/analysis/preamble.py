"""The lines that bring a machine to the state that a program has before one of its lines."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from itertools import chain
from pathlib import Path

from usbshare.analysis.follower import Follower
from usbshare.analysis.program_lines import ProgramLine, program_lines
from usbshare.base.errors import InvalidArgumentError
from usbshare.sim.modal import ORIGIN, Flow, MotionMode
from usbshare.sim.planner import Vector
from usbshare.sim.receive import clean_line
from usbshare.sim.status_codes import GcodeError, State, Status
from usbshare.sim.status_texts import status_text
from usbshare.sim.words import AxisCommand, Line, parse_words

# A second run begins elsewhere, with other coordinate systems: what it finds equal does not depend
# on them.
_ELSEWHERE: Vector = (101.25, 57.5, 23.75)
_AXES = "XYZ"
_EQUAL_MM = 1e-6
_ARCS = (MotionMode.ARC_CW, MotionMode.ARC_CCW)


def preamble(path: Path, line: int) -> list[str]:
    """Return G-code to be sent before line `line` (from 1 on) and those after it.

    It turns the beam off, goes to where the program is, then sets its modes. An axis that the lines
    before did not move is left where it is. Raises InvalidArgumentError where that place or the
    modes cannot be known, OSError.
    """
    if line <= 1:
        return []
    here, there = Follower(ORIGIN), Follower(_ELSEWHERE)
    reached = 0
    lines = program_lines(path)
    for reached, each in enumerate(lines, 1):
        if reached == line:
            _require_known(here, there, line)
            rebuilder = _Rebuilder(here, there, line)
            if _says_its_motion(here, chain([each], lines)):
                return rebuilder.lines()
            return [*rebuilder.lines(), *rebuilder.motion()]
        if each.code:
            status = here.run(_text(each))
            if there.run(_text(each)) is not status:
                raise _refused(line, f"line {reached} depends on where the machine was before")
            if status is not Status.OK:
                error = f"error:{int(status)}, {status_text(status)}"
                raise _refused(line, f"what line {reached} does is unknown: {error}")
    raise InvalidArgumentError(f"the file has {reached} lines; it cannot begin with line {line}")


def _require_known(here: Follower, there: Follower, line: int) -> None:
    if here.state is State.SLEEP or here.state is State.CHECK:
        raise _refused(line, "the machine is asleep or in check mode there")
    if here.changed_systems or there.changed_systems:
        raise _refused(line, "lines before it set a coordinate system (G10, G28.1 or G30.1)")
    for axis, letter in enumerate(_AXES):
        if abs(here.parser.g92[axis] - there.parser.g92[axis]) > _EQUAL_MM:
            raise _refused(line, f"G92 set {letter} relative to where the machine was")
        moved = here.moved[axis] or there.moved[axis] or here.parser.g92[axis]
        if moved and abs(here.place()[axis] - there.place()[axis]) > _EQUAL_MM:
            raise _refused(
                line, f"where {letter} is there depends on where the machine was at the start"
            )


class _Rebuilder:
    """Writes lines that give the machine the state of a followed program."""

    def __init__(self, here: Follower, there: Follower, line: int) -> None:
        self._line = line
        self._parser = copy(here.parser)
        self._modal = here.parser.modal
        self._place = here.place()
        self._highest_z = here.highest_z
        self._known = [
            here.moved[axis] or there.moved[axis] or self._parser.g92[axis] != 0
            for axis in range(3)
        ]

    def lines(self) -> list[str]:
        """Return lines that restore everything but the motion mode, which is then G0."""
        zero = f"G0 G90 G94 G21 G{54 + self._modal.coordinates}"
        return ["M5 M9", zero, *self._approach(), *self._modes()]

    def motion(self) -> list[str]:
        """Return the line that sets the motion mode; it may turn the beam on, so it comes last."""
        motion = self._modal.motion
        if motion in _ARCS:
            raise _refused(
                self._line, f"it continues with an arc (G{motion.value}) of an earlier line"
            )
        if motion is MotionMode.LINEAR:
            if not self._parser.feed or self._modal.inverse_time:
                raise _refused(self._line, "it continues with G1 and no feed rate is in force")
            return ["G1"]
        return ["G80"] if motion is MotionMode.NONE else []

    def _approach(self) -> list[str]:
        lines, parser = [], self._parser
        if parser.g92 != ORIGIN:
            lines.append("G92.1")
        if parser.tool_length:
            lines.append(f"G43.1 Z{_number(parser.tool_length)}")
        x_and_y = self._words(self._place, (0, 1))
        if self._known[2]:
            lines.append(f"G0 Z{_number(max(self._highest_z, self._place[2]))}")
        if x_and_y:
            lines.append(f"G0 {x_and_y}")
        if self._known[2]:
            lines.append(f"G0 Z{_number(self._place[2])}")
        if parser.g92 != ORIGIN:
            shifted = [a - b for a, b in zip(self._place, parser.g92, strict=True)]
            lines.append(f"G92 {self._words((shifted[0], shifted[1], shifted[2]), (0, 1, 2))}")
        return lines

    def _modes(self) -> list[str]:
        parser, modal = self._parser, self._modal
        lines = [word for word, on in (("M7", modal.mist), ("M8", modal.flood)) if on]
        if parser.tool:
            lines.append(f"T{parser.tool}")
        if parser.feed and not modal.inverse_time:
            lines.append(f"F{_number(parser.feed)}")
        lines.append(f"M{modal.spindle.value} S{_number(parser.speed)}")
        words = (
            f"G{17 + modal.plane}",
            f"G{20 if modal.inches else 21}",
            f"G{91 if modal.incremental else 90}",
            f"G{93 if modal.inverse_time else 94}",
        )
        return [*lines, " ".join(words)]

    def _words(self, values: Vector, axes: tuple[int, ...]) -> str:
        known = [axis for axis in axes if self._known[axis]]
        return " ".join(f"{_AXES[axis]}{_number(values[axis])}" for axis in known)


def _says_its_motion(follower: Follower, lines: Iterable[ProgramLine]) -> bool:
    """Return whether the next lines set a motion mode before they move."""
    for each in lines:
        line = _parsed(each)
        if line is None:
            continue
        accepted = follower.run(_text(each)) is Status.OK
        if accepted and ("G1" in line.groups or line.modes.get("flow") in (Flow.END, Flow.END_30)):
            return True
        if line.axis_command in (AxisCommand.NONE, AxisCommand.MOTION) and _has_axes(line):
            return False
    return True


def _has_axes(line: Line) -> bool:
    return any(letter in line.values for letter in _AXES)


def _parsed(line: ProgramLine) -> Line | None:
    text = _text(line)
    if not text or text[0] == "$":
        return None
    try:
        return parse_words(text)
    except GcodeError:
        return None


def _text(line: ProgramLine) -> str:
    return clean_line(line.code).decode("ascii")


def _refused(line: int, reason: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"a job cannot begin with line {line}: {reason}")


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") if round(value, 4) else "0"
