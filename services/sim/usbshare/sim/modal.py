"""The parser's modes, which a line of G-code leaves in force for the next one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from usbshare.sim.planner import Vector

ORIGIN: Vector = (0.0, 0.0, 0.0)
G28, G30 = 6, 7


class MotionMode(Enum):
    """Modal group 1; the values are the G numbers."""

    RAPID = 0
    LINEAR = 1
    ARC_CW = 2
    ARC_CCW = 3
    NONE = 80


class Flow(Enum):
    """Program flow; the values are the M numbers."""

    RUNNING = -1
    PAUSED = 0
    END = 2
    END_30 = 30


class Spindle(Enum):
    """Spindle, or beam: M3 constant, M4 dynamic; the values are the M numbers."""

    CONSTANT = 3
    DYNAMIC = 4
    OFF = 5


@dataclass(frozen=True, slots=True)
class Modal:
    """The modes in force; `plane` 0 is XY (G17), `coordinates` 0 is G54."""

    motion: MotionMode = MotionMode.RAPID
    plane: int = 0
    incremental: bool = False
    inverse_time: bool = False
    inches: bool = False
    coordinates: int = 0
    flow: Flow = Flow.RUNNING
    spindle: Spindle = Spindle.OFF
    mist: bool = False
    flood: bool = False


@dataclass(slots=True)
class ParserState:
    """What the parser remembers between lines; `position` is where its last move ends."""

    modal: Modal = field(default_factory=Modal)
    feed: float = 0.0
    speed: float = 0.0
    tool: int = 0
    position: Vector = ORIGIN
    g92: Vector = ORIGIN
    tool_length: float = 0.0


class Coordinates:
    """The stored coordinate systems: G54 to G59, then G28 and G30; they outlive resets."""

    def __init__(self) -> None:
        self.restore_defaults()

    def restore_defaults(self) -> None:
        """Set all to zero, as `$RST=#` does."""
        self.systems = [ORIGIN] * 8
