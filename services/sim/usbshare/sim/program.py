"""Executes lines of G-code; each wait of the firmware is a yielded condition."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import replace

from usbshare.sim.arc import chords
from usbshare.sim.machine import Machine
from usbshare.sim.modal import G28, G30, ORIGIN, Flow, Modal, MotionMode, Spindle
from usbshare.sim.planner import Move, Vector
from usbshare.sim.resolve import Block, Resolver
from usbshare.sim.status_codes import Alarm, GcodeError, State, Status
from usbshare.sim.words import AxisCommand, NonModal, parse_words

# The main loop sleeps until the yielded condition is true; it holds a deadline if it has one.
Condition = Callable[[], bool]
Work = Generator[Condition, None, None]
Answer = Generator[Condition, None, Status]

_HOMES = (NonModal.GO_HOME_28, NonModal.GO_HOME_30)


class CriticalAlarmError(Exception):
    """The machine has locked itself and accepts only a reset."""

    def __init__(self, alarm: Alarm) -> None:
        super().__init__(alarm.name)
        self.alarm = alarm


class Program:
    """The G-code side of the main loop."""

    def __init__(self, machine: Machine, delay: Callable[[float], Work]) -> None:
        self._machine = machine
        self._delay = delay

    def run(self, text: str) -> Answer:
        """Execute a cleaned line and return its answer."""
        machine = self._machine
        try:
            resolver = Resolver(machine.parser, machine.coordinates)
            block = resolver.resolve(parse_words(text))
        except GcodeError as error:
            return error.status
        yield from self._execute(block)
        return Status.OK

    def jog(self, text: str) -> Answer:
        """Execute what follows `$J=` and return its answer."""
        machine = self._machine
        try:
            resolver = Resolver(machine.parser, machine.coordinates)
            block = resolver.resolve(parse_words(text), jog=True)
        except GcodeError as error:
            return error.status
        if machine.settings.soft_limits and self._outside(block.target):
            return Status.TRAVEL_EXCEEDED
        yield from self._line(self._jog_move(block))
        machine.parser.position = block.target
        machine.start_cycle(State.JOG)
        return Status.OK

    def synchronize(self) -> Work:
        """Wait until every queued move was executed."""
        self._machine.start_cycle()
        yield lambda: self._machine.drained

    def _execute(self, block: Block) -> Work:
        parser = self._machine.parser
        parser.feed = block.feed
        power = yield from self._beam(block)
        parser.tool = block.tool
        if (block.modal.mist, block.modal.flood) != (parser.modal.mist, parser.modal.flood):
            yield from self._coolant(block)
        if block.non_modal is NonModal.DWELL:
            yield from self._dwell(block.dwell_s)
        self._offsets(block)
        parser.modal = block.modal
        if block.non_modal in _HOMES:
            yield from self._go_home(block)
        if block.axis_command is AxisCommand.MOTION:
            yield from self._motion(block, power)
        if block.modal.flow is not Flow.RUNNING:
            yield from self._flow(block.modal.flow)

    def _beam(self, block: Block) -> Generator[Condition, None, float]:
        """Set the beam as the line says and return the power of its motion."""
        machine, parser = self._machine, self._machine.parser
        dark = machine.settings.laser_mode and not machine.cuts(block.modal.motion)
        power = 0.0 if dark else block.speed
        moves = block.has_axes and block.axis_command is AxisCommand.MOTION
        moves = moves and machine.settings.laser_mode
        changed = parser.speed != block.speed or self._mode_switches_beam(block, moves=moves)
        if changed and not moves and parser.modal.spindle is not Spindle.OFF:
            yield from self._set_spindle(parser.modal.spindle, power)
        parser.speed = block.speed
        if parser.modal.spindle is not block.modal.spindle:
            yield from self._set_spindle(block.modal.spindle, power)
        return 0.0 if block.modal.spindle is Spindle.OFF else power

    def _mode_switches_beam(self, block: Block, *, moves: bool) -> bool:
        machine, modal = self._machine, self._machine.parser.modal
        if not machine.settings.laser_mode or moves or modal.spindle is not Spindle.CONSTANT:
            return False
        return machine.cuts(modal.motion) != machine.cuts(block.modal.motion)

    def _set_spindle(self, spindle: Spindle, speed: float) -> Work:
        if self._machine.state is not State.CHECK:
            yield from self.synchronize()
            self._machine.set_spindle(spindle, speed)

    def _coolant(self, block: Block) -> Work:
        if self._machine.state is not State.CHECK:
            yield from self.synchronize()
            self._machine.set_coolant(mist=block.modal.mist, flood=block.modal.flood)

    def _dwell(self, seconds: float) -> Work:
        if self._machine.state is not State.CHECK:
            yield from self.synchronize()
            yield from self._delay(seconds)
            yield lambda: not self._machine.suspended

    def _offsets(self, block: Block) -> None:
        machine, parser = self._machine, self._machine.parser
        changes = block.non_modal is not NonModal.NONE or block.tool_length is not None
        if not changes and block.modal.coordinates == parser.modal.coordinates:
            return
        offset_before = machine.work_offset()
        if block.tool_length is not None:
            parser.tool_length = block.tool_length
        systems = machine.coordinates.systems
        if block.non_modal is NonModal.SET_COORDINATES and block.offset is not None:
            systems[block.system] = block.offset
        elif block.non_modal is NonModal.SET_OFFSET and block.offset is not None:
            parser.g92 = block.offset
        elif block.non_modal is NonModal.CLEAR_OFFSET:
            parser.g92 = ORIGIN
        elif block.non_modal is NonModal.SET_HOME_28:
            systems[G28] = parser.position
        elif block.non_modal is NonModal.SET_HOME_30:
            systems[G30] = parser.position
        moved = block.modal.coordinates != parser.modal.coordinates
        if moved or machine.work_offset() != offset_before:
            machine.reports_to_offset = 0

    def _go_home(self, block: Block) -> Work:
        if block.offset is not None:
            if block.via:
                yield from self._line(self._move(block, block.target, 0.0, rapid=True))
            yield from self._line(self._move(block, block.offset, 0.0, rapid=True))
            self._machine.parser.position = block.offset

    def _motion(self, block: Block, power: float) -> Work:
        if block.modal.motion is MotionMode.NONE:
            return
        parser = self._machine.parser
        rapid = block.modal.motion is MotionMode.RAPID
        if block.arc is None:
            yield from self._line(self._move(block, block.target, power, rapid=rapid))
        else:
            tolerance = self._machine.settings[12]
            for target in chords(parser.position, block.arc, tolerance):
                yield from self._line(self._move(block, target, power, rapid=False))
        parser.position = block.target

    def _move(self, block: Block, target: Vector, power: float, *, rapid: bool) -> Move:
        machine = self._machine
        rate = block.feed / 60
        if block.modal.inverse_time:
            rate *= math.dist(machine.parser.position, block.target)
        dynamic = block.modal.spindle is Spindle.DYNAMIC and machine.settings.laser_mode
        return Move(target, 0.0 if rapid else rate, power, dynamic, block.line_number)

    def _jog_move(self, block: Block) -> Move:
        parser = self._machine.parser
        off = parser.modal.spindle is Spindle.OFF
        dynamic = parser.modal.spindle is Spindle.DYNAMIC and self._machine.settings.laser_mode
        power = 0.0 if off else parser.speed
        return Move(block.target, block.feed / 60, power, dynamic, block.line_number, True)

    def _line(self, move: Move) -> Work:
        machine = self._machine
        jogs = machine.state is State.JOG
        if machine.settings.soft_limits and not jogs and self._outside(move.target):
            yield from self._soft_limit()
        if machine.state is State.CHECK:
            return
        if machine.planner.full:
            machine.start_cycle()
        if not self._has_room():
            yield self._has_room
        constant = machine.parser.modal.spindle is Spindle.CONSTANT
        if not machine.enqueue(move) and constant and machine.settings.laser_mode:
            yield from self._set_spindle(Spindle.CONSTANT, move.power)

    def _has_room(self) -> bool:
        return not self._machine.planner.full and not self._machine.suspended

    def _outside(self, target: Vector) -> bool:
        travel = self._machine.settings.travel
        return any(not -far <= t <= 0 for t, far in zip(target, travel, strict=True))

    def _soft_limit(self) -> Work:
        machine = self._machine
        if machine.state is State.RUN:
            machine.state = State.HOLD
            machine.brake()
            yield lambda: machine.hold_complete
        machine.kill()
        raise CriticalAlarmError(Alarm.SOFT_LIMIT)

    def _flow(self, flow: Flow) -> Work:
        machine, parser = self._machine, self._machine.parser
        yield from self.synchronize()
        parser.modal = replace(parser.modal, flow=Flow.RUNNING)
        if flow is not Flow.PAUSED:
            self._end_program()
        elif machine.state is State.IDLE:
            machine.state = State.HOLD
            machine.stand()
            yield lambda: not machine.suspended

    def _end_program(self) -> None:
        machine, parser = self._machine, self._machine.parser
        kept = parser.modal
        parser.modal = Modal(motion=MotionMode.LINEAR, inches=kept.inches)
        if machine.state is not State.CHECK:
            machine.planner.feed_percent = machine.planner.rapid_percent = 100
            machine.laser.percent = 100
            machine.reports_to_offset = 0
            machine.set_spindle(Spindle.OFF, 0.0)
            machine.set_coolant(mist=False, flood=False)
        machine.message("Pgm End")
