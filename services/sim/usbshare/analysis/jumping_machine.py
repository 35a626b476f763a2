"""A machine whose moves take no time: for results that depend on where it goes, not when."""

from __future__ import annotations

from usbshare.analysis.untimed_machine import UntimedMachine
from usbshare.sim.planner import Move, Vector


class JumpingMachine(UntimedMachine):
    """Reaches the end of each move at once; a move of zero length is ignored."""

    def stand_at(self, place: Vector) -> None:
        """Place the machine at a position, at rest."""
        self.parser.position = place
        self.planner.reset(place)

    def enqueue(self, move: Move) -> bool:
        """Jump to the end of a move; False when it is there already."""
        start = self.planner.position
        if start == move.target:
            return False
        self.planner.position = move.target
        if self._on_move is not None:
            self._on_move(start, move)
        return True
