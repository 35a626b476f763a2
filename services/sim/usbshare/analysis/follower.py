"""Follows a program's state without its motion: every move ends at once."""

from __future__ import annotations

from usbshare.analysis.dry_run import DryRun
from usbshare.analysis.jumping_machine import JumpingMachine
from usbshare.sim.modal import ParserState
from usbshare.sim.planner import Move, Vector
from usbshare.sim.status_codes import State, Status

_HOMING = {22: 1.0}


class Follower:
    """A machine at a position, with coordinate systems shifted by it."""

    def __init__(self, start: Vector) -> None:
        self._start = start
        self._moved = [False, False, False]
        self._highest_z = start[2]
        self._machine = JumpingMachine(_HOMING, on_move=self._note)
        self._dry_run = DryRun(self._machine)
        self._begun_with = [_times(start, number + 2) for number in range(8)]
        self._machine.coordinates.systems[:] = self._begun_with
        self._machine.stand_at(start)

    def run(self, text: str) -> Status:
        """Execute a line as `clean_line` leaves it."""
        return self._dry_run.run(text, 0)

    @property
    def parser(self) -> ParserState:
        """The parser's state."""
        return self._machine.parser

    @property
    def state(self) -> State:
        """The machine's state."""
        return self._machine.state

    @property
    def moved(self) -> list[bool]:
        """Which axes moved, or were given a position by homing."""
        places = zip(self.parser.position, self._start, strict=True)
        jumped = [place != start for place, start in places]
        return [a or b for a, b in zip(self._moved, jumped, strict=True)]

    @property
    def highest_z(self) -> float:
        """The highest Z, in the coordinates of `place`."""
        return self._highest_z - self._zero()[2]

    @property
    def changed_systems(self) -> bool:
        """Whether a stored coordinate system has changed since the start."""
        return self._machine.coordinates.systems != self._begun_with

    def place(self) -> Vector:
        """Return where the machine is, in the coordinate system in force without G92."""
        (x, y, z), (u, v, w) = self.parser.position, self._zero()
        return (x - u, y - v, z - w)

    def _note(self, start: Vector, move: Move) -> None:
        for axis in range(3):
            self._moved[axis] = self._moved[axis] or start[axis] != move.target[axis]
        self._highest_z = max(self._highest_z, move.target[2])

    def _zero(self) -> Vector:
        x, y, z = self._machine.coordinates.systems[self.parser.modal.coordinates]
        return (x, y, z + self.parser.tool_length)


def _times(vector: Vector, factor: int) -> Vector:
    x, y, z = vector
    return (x * factor, y * factor, z * factor)
