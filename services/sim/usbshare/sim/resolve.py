"""Second pass of the G-code parser: checks a whole line and computes its target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from usbshare.sim.arc import PLANES, Arc, centre_by_radius, check_centre
from usbshare.sim.modal import Coordinates, Modal, MotionMode, ParserState
from usbshare.sim.planner import Vector
from usbshare.sim.status_codes import GcodeError, Status
from usbshare.sim.words import MAX_LINE_NUMBER, AxisCommand, Line, NonModal

MM_PER_INCH = 25.4
_ARCS = (MotionMode.ARC_CW, MotionMode.ARC_CCW)
_TARGETLESS = (NonModal.SET_COORDINATES, NonModal.SET_OFFSET)
# Without a jog: X, Y and Z make a motion of the line, if nothing else takes them.
_ALWAYS_USED = frozenset("NFSTXYZ")
_NO_MODES = ("tool_length", "coolant_off")
_JOG_GROUPS = {"G0", "G3", "G6"}


@dataclass(slots=True)
class Block:
    """A checked line in machine millimetres, ready to be executed."""

    modal: Modal
    feed: float
    speed: float
    tool: int
    line_number: int
    non_modal: NonModal
    axis_command: AxisCommand
    target: Vector
    has_axes: bool
    arc: Arc | None = None
    offset: Vector | None = None
    system: int = 0
    dwell_s: float = 0.0
    tool_length: float | None = None
    via: bool = False


class Resolver:
    """Checks lines against the parser's state, which it never changes."""

    def __init__(self, state: ParserState, coordinates: Coordinates) -> None:
        self._state = state
        self._coordinates = coordinates

    def resolve(self, line: Line, *, jog: bool = False) -> Block:
        """Check a line and return the block to execute; raises GcodeError."""
        modal = self._modal(line, jog=jog)
        unused: set[str] = set()
        if jog or not line.values.keys() <= _ALWAYS_USED:
            unused = set(line.values) - {"N", "F"} - (set() if jog else {"S", "T"})
        block = self._block(line, modal, jog=jog)
        self._non_modal(line, block, unused)
        self._tool_length(line, block)
        self._motion(line, block, unused)
        if block.axis_command is not AxisCommand.NONE or block.has_axes:
            unused -= set("XYZ")
        if unused:
            raise GcodeError(Status.UNUSED_WORDS)
        if jog:
            self._check_jog(line, block)
        return block

    def _modal(self, line: Line, *, jog: bool) -> Modal:
        if not line.modes and not jog:
            return self._state.modal
        modal = self._state.modal
        changes: dict[str, Any] = {
            name: value
            for name, value in line.modes.items()
            if name not in _NO_MODES and getattr(modal, name) != value
        }
        if "coolant_off" in line.modes:
            changes.update(mist=False, flood=False)
        if jog:
            changes.update(motion=MotionMode.LINEAR, inverse_time=False)
        return replace(modal, **changes) if changes else modal

    def _block(self, line: Line, modal: Modal, *, jog: bool) -> Block:
        values, state = line.values, self._state
        if values.get("N", 0) > MAX_LINE_NUMBER:
            raise GcodeError(Status.INVALID_LINE_NUMBER)
        has_axes = "X" in values or "Y" in values or "Z" in values
        axis_command = line.axis_command
        if has_axes and axis_command is AxisCommand.NONE:
            axis_command = AxisCommand.MOTION
        return Block(
            modal=modal,
            feed=self._feed(line, modal, axis_command, jog=jog),
            speed=values.get("S", state.speed),
            tool=int(values.get("T", state.tool)),
            line_number=int(values.get("N", 0)),
            non_modal=line.non_modal,
            axis_command=axis_command,
            target=self._target(line, modal) if has_axes else state.position,
            has_axes=has_axes,
        )

    def _feed(self, line: Line, modal: Modal, command: AxisCommand, *, jog: bool) -> float:
        feed = line.values.get("F")
        scale = MM_PER_INCH if modal.inches and not modal.inverse_time else 1.0
        if feed is not None:
            return feed * scale
        moves = command is AxisCommand.MOTION
        moves = moves and modal.motion not in (MotionMode.NONE, MotionMode.RAPID)
        if jog or (modal.inverse_time and moves):
            raise GcodeError(Status.UNDEFINED_FEED_RATE)
        kept = not modal.inverse_time and not self._state.modal.inverse_time
        return self._state.feed if kept else 0.0

    def _target(self, line: Line, modal: Modal) -> Vector:
        if line.non_modal in _TARGETLESS or line.axis_command is AxisCommand.TOOL_LENGTH:
            return self._state.position
        return (
            self._axis(line, modal, 0, "X"),
            self._axis(line, modal, 1, "Y"),
            self._axis(line, modal, 2, "Z"),
        )

    def _axis(self, line: Line, modal: Modal, axis: int, letter: str) -> float:
        state = self._state
        word = line.values.get(letter)
        if word is None:
            return state.position[axis]
        value = word * MM_PER_INCH if modal.inches else word
        if line.non_modal is NonModal.MACHINE_COORDINATES:
            return value
        if modal.incremental:
            return state.position[axis] + value
        return value + self._work_zero(modal.coordinates, axis) + state.g92[axis]

    def _work_zero(self, system: int, axis: int) -> float:
        length = self._state.tool_length if axis == 2 else 0.0
        return self._coordinates.systems[system][axis] + length

    def _non_modal(self, line: Line, block: Block, unused: set[str]) -> None:
        if block.non_modal is NonModal.DWELL:
            if "P" not in line.values:
                raise GcodeError(Status.VALUE_WORD_MISSING)
            block.dwell_s = line.values["P"]
            unused.discard("P")
        elif block.non_modal is NonModal.SET_COORDINATES:
            self._set_coordinates(line, block)
            unused -= {"L", "P"}
        elif block.non_modal is NonModal.SET_OFFSET:
            block.offset = self._new_g92(line, block)
        elif block.non_modal in (NonModal.GO_HOME_28, NonModal.GO_HOME_30):
            self._go_home(line, block)
        elif block.non_modal is NonModal.MACHINE_COORDINATES and not _straight(block.modal):
            raise GcodeError(Status.G53_INVALID_MOTION)

    def _set_coordinates(self, line: Line, block: Block) -> None:
        values = line.values
        if not block.has_axes:
            raise GcodeError(Status.NO_AXIS_WORDS)
        if "P" not in values or "L" not in values:
            raise GcodeError(Status.VALUE_WORD_MISSING)
        if int(values["P"]) > 6:
            raise GcodeError(Status.UNSUPPORTED_COORDINATES)
        if values["L"] not in (2, 20) or (values["L"] == 2 and "R" in values):
            raise GcodeError(Status.UNSUPPORTED_COMMAND)
        block.system = int(values["P"]) - 1 if int(values["P"]) else block.modal.coordinates
        stored = self._coordinates.systems[block.system]
        x, y, z = (self._coordinate(line, block, stored, axis) for axis in range(3))
        block.offset = (x, y, z)

    def _coordinate(self, line: Line, block: Block, stored: Vector, axis: int) -> float:
        word = line.values.get("XYZ"[axis])
        if word is None:
            return stored[axis]
        value = word * MM_PER_INCH if block.modal.inches else word
        if line.values["L"] == 2:
            return value
        length = self._state.tool_length if axis == 2 else 0.0
        return self._state.position[axis] - self._state.g92[axis] - value - length

    def _new_g92(self, line: Line, block: Block) -> Vector:
        if not block.has_axes:
            raise GcodeError(Status.NO_AXIS_WORDS)
        offset = list(self._state.g92)
        for axis in range(3):
            word = line.values.get("XYZ"[axis])
            if word is not None:
                value = word * MM_PER_INCH if block.modal.inches else word
                zero = self._work_zero(block.modal.coordinates, axis)
                offset[axis] = self._state.position[axis] - zero - value
        return (offset[0], offset[1], offset[2])

    def _go_home(self, line: Line, block: Block) -> None:
        stored = self._coordinates.systems[6 if block.non_modal is NonModal.GO_HOME_28 else 7]
        block.via = block.has_axes
        here = self._state.position
        named = ["XYZ"[axis] in line.values for axis in range(3)]
        x, y, z = (
            stored[axis] if not block.has_axes or named[axis] else here[axis] for axis in range(3)
        )
        block.offset = (x, y, z)

    def _tool_length(self, line: Line, block: Block) -> None:
        if block.axis_command is not AxisCommand.TOOL_LENGTH:
            return
        if not line.modes["tool_length"]:
            block.tool_length = 0.0
            return
        if set(line.values) & set("XYZ") != {"Z"}:
            raise GcodeError(Status.DYNAMIC_TOOL_AXIS)
        scale = MM_PER_INCH if block.modal.inches else 1.0
        block.tool_length = line.values["Z"] * scale

    def _motion(self, line: Line, block: Block, unused: set[str]) -> None:
        motion = block.modal.motion
        if motion is MotionMode.NONE:
            if block.has_axes:
                raise GcodeError(Status.AXIS_WORDS_EXIST)
        elif block.axis_command is AxisCommand.MOTION:
            if motion is not MotionMode.RAPID and block.feed == 0:
                raise GcodeError(Status.UNDEFINED_FEED_RATE)
            if motion in _ARCS:
                block.arc = self._arc(line, block, unused)
            elif not block.has_axes:
                block.axis_command = AxisCommand.NONE

    def _arc(self, line: Line, block: Block, unused: set[str]) -> Arc:
        if not block.has_axes:
            raise GcodeError(Status.NO_AXIS_WORDS)
        first, second, _ = PLANES[block.modal.plane]
        if "XYZ"[first] not in line.values and "XYZ"[second] not in line.values:
            raise GcodeError(Status.NO_AXIS_WORDS_IN_PLANE)
        here = self._state.position
        dx, dy = block.target[first] - here[first], block.target[second] - here[second]
        scale = MM_PER_INCH if block.modal.inches else 1.0
        clockwise = block.modal.motion is MotionMode.ARC_CW
        if "R" in line.values:
            unused.discard("R")
            if block.target == here:
                raise GcodeError(Status.INVALID_TARGET)
            centre = centre_by_radius(dx, dy, line.values["R"] * scale, clockwise=clockwise)
        else:
            unused -= set("IJK")
            centre = _offsets(line, first, second, scale)
            check_centre(dx, dy, centre)
        return Arc(block.target, centre, clockwise, block.modal.plane)

    def _check_jog(self, line: Line, block: Block) -> None:
        allowed = (NonModal.NONE, NonModal.MACHINE_COORDINATES)
        if line.groups - _JOG_GROUPS or block.non_modal not in allowed:
            raise GcodeError(Status.INVALID_JOG)


def _straight(modal: Modal) -> bool:
    return modal.motion in (MotionMode.RAPID, MotionMode.LINEAR)


def _offsets(line: Line, first: int, second: int, scale: float) -> tuple[float, float]:
    words = [line.values.get("IJK"[axis]) for axis in (first, second)]
    if words == [None, None]:
        raise GcodeError(Status.NO_OFFSETS_IN_PLANE)
    i, j = (0.0 if word is None else word * scale for word in words)
    return (i, j)
