"""The simulated machine: its parts, its state, and the effect of a motion's end on both."""

from __future__ import annotations

from enum import Enum

from usbshare.sim.laser import Coolant, Laser
from usbshare.sim.modal import Coordinates, MotionMode, ParserState, Spindle
from usbshare.sim.motion import Drive, Motion
from usbshare.sim.planner import Block, Move, Planner, Vector
from usbshare.sim.record import Record, Segment
from usbshare.sim.settings import Settings
from usbshare.sim.status_codes import State, Status


class Door(Enum):
    """The safety door's phases; the values are those of the status report."""

    CLOSED = 0
    AJAR = 1
    RETRACTING = 2
    RESTORING = 3


class Machine:
    """The parts that the main loop and the real-time commands share.

    `hold_complete` and `door` say how far a hold or a safety door has progressed, `jog_cancelled`
    that the current jog is to end, `spindle_stopped` that a hold turned the beam off.
    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.settings = Settings()
        self.coordinates = Coordinates()
        self.planner = Planner(self.settings)
        self.motion = Motion(self.planner)
        self.laser = Laser(self.settings, record)
        self.coolant = Coolant()
        self.parser = ParserState()
        self.startup_lines = ["", ""]
        self.build_info = ""
        self.pins: set[str] = set()
        self.state = State.IDLE
        self.now_s = 0.0
        self._output = bytearray()
        self.clear()

    def clear(self) -> None:
        """Start over as after a reset; stored values, position and alarm stay."""
        position = self.position()
        self.hold_complete = False
        self.jog_cancelled = False
        self.spindle_stopped = False
        self.door: Door | None = None
        self.restored_s: float | None = None
        self.reports_to_offset = 0
        self.reports_to_override = 0
        self.parser = ParserState(position=position)
        self.planner.feed_percent = self.planner.rapid_percent = self.laser.percent = 100
        self.planner.reset(position)
        self.motion.reset(position)

    def say(self, text: str) -> None:
        """Send a line."""
        self._output += text.encode("ascii") + b"\r\n"

    def take_output(self) -> bytes:
        """Return the output since the last call."""
        output = bytes(self._output)
        self._output.clear()
        return output

    def answer(self, status: Status) -> None:
        """Send the answer to a line."""
        self.say("ok" if status is Status.OK else f"error:{int(status)}")

    def message(self, text: str) -> None:
        """Send a feedback message."""
        self.say(f"[MSG:{text}]")

    def position(self) -> Vector:
        """Return the machine position."""
        return self.motion.position(self.now_s)

    def work_offset(self) -> Vector:
        """Return the offset between machine and work position."""
        parser = self.parser
        (x, y, z), (u, v, w) = (
            self.coordinates.systems[parser.modal.coordinates],
            parser.g92,
        )
        return (x + u, y + v, z + w + parser.tool_length)

    @property
    def suspended(self) -> bool:
        """Whether the main loop is suspended."""
        return self.jog_cancelled or self.state in (State.HOLD, State.DOOR, State.SLEEP)

    @property
    def drained(self) -> bool:
        """Whether every queued move has been executed."""
        return not self.planner.blocks and not self.suspended

    def enqueue(self, move: Move) -> bool:
        """Queue a move; False when it is too short to be one."""
        self.motion.sync(self.now_s)
        queued = self.planner.append(move)
        self.motion.follow_plan(self.now_s)
        return queued

    def start_cycle(self, state: State = State.RUN) -> None:
        """Execute what is queued, if the machine is idle."""
        if self.state is State.IDLE and self.planner.blocks:
            self.state = state
            self.motion.start(self.now_s)
            self._follow_block()

    def resume(self) -> None:
        """Leave a hold or a closed door."""
        self.hold_complete, self.door, self.restored_s = False, None, None
        self.state = State.IDLE
        if self.planner.blocks:
            self.planner.blocks[0].entry_sqr = 0.0
            self.planner.replan()
        self.start_cycle()

    def brake(self) -> None:
        """Begin to decelerate, or note that the machine is already at rest."""
        if self.motion.drive is Drive.STILL:
            self.stand()
        elif self.motion.drive is Drive.MOVING:
            self.motion.brake(self.now_s)

    def finish_motion(self) -> None:
        """Act on the end of a block, or of a hold's deceleration."""
        block = self.motion.finish(self.now_s)
        if block is not None:
            self._engrave(block, block.move.target)
        if self.motion.drive is not Drive.STILL:
            self._follow_block()
            return
        if block is not None and block.move.dynamic and not self.planner.blocks:
            self.laser.shine(0.0, self.now_s)
        self.stand()

    def stand(self) -> None:
        """Enter the state that follows a standstill."""
        if self.jog_cancelled:
            self._end_jog()
        elif self.state in (State.HOLD, State.DOOR, State.SLEEP):
            self._end_hold()
        elif self.state in (State.RUN, State.JOG):
            self.state = State.IDLE

    def kill(self) -> None:
        """Stop motors, beam and coolant at once, wherever the machine is."""
        block = self.motion.block
        if block is not None:
            self._engrave(block, self.position())
        self.motion.reset(self.position())
        self.laser.shine(0.0, self.now_s)
        self.coolant.set(mist=False, flood=False)

    def set_spindle(self, spindle: Spindle, speed: float) -> None:
        """Switch the beam of a machine at rest."""
        self.laser.set_state(spindle, speed, self.now_s)
        self.reports_to_override = 0

    def set_coolant(self, *, mist: bool, flood: bool) -> None:
        """Switch the coolant pins."""
        self.coolant.set(mist=mist, flood=flood)
        self.reports_to_override = 0

    def cuts(self, mode: MotionMode) -> bool:
        """Return whether the beam may be on in a motion mode."""
        return mode in (MotionMode.LINEAR, MotionMode.ARC_CW, MotionMode.ARC_CCW)

    def _end_jog(self) -> None:
        self.jog_cancelled = False
        position = self.position()
        self.planner.reset(position)
        self.parser.position = position
        self.state = State.IDLE
        if self.door is not None:
            self.state = State.DOOR
            self._end_hold()

    def _end_hold(self) -> None:
        self.hold_complete = True
        if self.state is State.HOLD:
            if self.settings.laser_mode and self.parser.modal.spindle is not Spindle.OFF:
                self.spindle_stopped = True
                self.set_spindle(Spindle.OFF, 0.0)
            return
        self.spindle_stopped = False
        self.set_spindle(Spindle.OFF, 0.0)
        self.set_coolant(mist=False, flood=False)
        if self.state is State.SLEEP:
            self.message("Sleeping")
        else:
            self.door = Door.AJAR if "D" in self.pins else Door.CLOSED

    def _follow_block(self) -> None:
        block = self.motion.block
        if block is not None:
            self.laser.shine(block.move.power, self.now_s)

    def _engrave(self, block: Block, end: Vector) -> None:
        power = self.laser.power_for(block.move.power)
        if power and end != block.start:
            (x0, y0, _), (x1, y1, _) = block.start, end
            self.record.cut(Segment(x0, y0, x1, y1, power), self.now_s)
