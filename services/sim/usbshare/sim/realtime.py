"""GRBL's real-time commands: single bytes that act at once, independently of the main loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from usbshare.sim.machine import Door, Machine
from usbshare.sim.modal import Spindle
from usbshare.sim.status_codes import State

_COOLANT_DELAY_S = 1.0
_FEED = {0x90: None, 0x91: 10, 0x92: -10, 0x93: 1, 0x94: -1}
_RAPID = {0x95: 100, 0x96: 50, 0x97: 25}
_SPINDLE = {0x99: None, 0x9A: 10, 0x9B: -10, 0x9C: 1, 0x9D: -1}
_DEAF = (State.ALARM, State.CHECK, State.HOME, State.SLEEP)


class Realtime:
    """Acts on every real-time byte except `?` and reset, which the controller answers itself."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._commands: dict[int, Callable[[], None]] = {
            ord("!"): self.feed_hold,
            ord("~"): self.cycle_start,
            0x84: self.safety_door,
            0x85: self.jog_cancel,
            0x9E: self.spindle_stop,
            0xA0: lambda: self.toggle_coolant("flood"),
            0xA1: lambda: self.toggle_coolant("mist"),
        }

    def act(self, byte: int) -> None:
        """Execute a byte; unknown ones are discarded."""
        if byte in self._commands:
            self._commands[byte]()
        elif byte in _FEED:
            self._override_feed(_FEED[byte])
        elif byte in _RAPID:
            self._override_motion(self._machine.planner.feed_percent, _RAPID[byte])
        elif byte in _SPINDLE:
            self._override_spindle(_SPINDLE[byte])

    def feed_hold(self) -> None:
        """Decelerate and wait; a jog ends instead."""
        machine = self._machine
        if machine.state is State.JOG:
            self.jog_cancel()
        elif machine.state in (State.IDLE, State.RUN):
            machine.state = State.HOLD
            machine.brake()

    def jog_cancel(self) -> None:
        """End a jog and drop the queue."""
        machine = self._machine
        if machine.state is State.JOG and not machine.jog_cancelled:
            machine.jog_cancelled = True
            machine.brake()

    def safety_door(self) -> None:
        """Decelerate, then turn beam and coolant off, and wait."""
        machine = self._machine
        if machine.state in _DEAF:
            return
        machine.message("Check Door")
        if machine.state is State.DOOR:
            self._interrupt_restore()
            return
        machine.door = Door.RETRACTING
        if machine.state is State.JOG:
            self.jog_cancel()
            return
        at_rest = machine.state is State.HOLD and machine.hold_complete
        machine.state, machine.hold_complete = State.DOOR, False
        machine.stand() if at_rest else machine.brake()

    def cycle_start(self) -> None:
        """Resume after a hold or a closed door."""
        machine = self._machine
        if machine.state is State.DOOR and machine.door is Door.CLOSED:
            self._restore()
        elif machine.state is State.HOLD and machine.hold_complete:
            if machine.spindle_stopped:
                machine.spindle_stopped = False
                machine.message("Restoring spindle")
            machine.resume()
        else:
            machine.start_cycle()

    def finish_restore(self) -> None:
        """Continue once the coolant has had time to start."""
        machine = self._machine
        machine.set_coolant(mist=machine.parser.modal.mist, flood=machine.parser.modal.flood)
        machine.resume()

    def door_closed(self) -> None:
        """Notice that the door's switch is closed again."""
        if self._machine.door is Door.AJAR:
            self._machine.door = Door.CLOSED

    def spindle_stop(self) -> None:
        """Turn the beam off in a hold, or on again."""
        machine, modal = self._machine, self._machine.parser.modal
        if machine.state is not State.HOLD or modal.spindle is Spindle.OFF:
            return
        if machine.spindle_stopped:
            machine.message("Restoring spindle")
            machine.set_spindle(modal.spindle, machine.parser.speed)
        else:
            machine.set_spindle(Spindle.OFF, 0.0)
        machine.spindle_stopped = not machine.spindle_stopped

    def toggle_coolant(self, pin: str) -> None:
        """Toggle one coolant pin."""
        machine, modal = self._machine, self._machine.parser.modal
        if machine.state not in (State.IDLE, State.RUN, State.HOLD, State.JOG):
            return
        mist = modal.mist != (pin == "mist")
        flood = modal.flood != (pin == "flood")
        machine.parser.modal = replace(modal, mist=mist, flood=flood)
        machine.set_coolant(mist=mist, flood=flood)

    def _interrupt_restore(self) -> None:
        if self._machine.door is Door.RESTORING:
            self._machine.restored_s = None
            self._machine.stand()

    def _restore(self) -> None:
        machine, modal = self._machine, self._machine.parser.modal
        machine.door = Door.RESTORING
        delay_s = _COOLANT_DELAY_S if modal.mist or modal.flood else 0.0
        machine.restored_s = machine.now_s + delay_s
        if not delay_s:
            self.finish_restore()

    def _override_feed(self, step: int | None) -> None:
        planner = self._machine.planner
        wanted = 100 if step is None else planner.feed_percent + step
        self._override_motion(max(10, min(200, wanted)), planner.rapid_percent)

    def _override_motion(self, feed: int, rapid: int) -> None:
        machine, planner = self._machine, self._machine.planner
        if (feed, rapid) == (planner.feed_percent, planner.rapid_percent):
            return
        planner.feed_percent, planner.rapid_percent = feed, rapid
        machine.reports_to_override = 0
        machine.motion.sync(machine.now_s)
        planner.replan()
        machine.motion.restart(machine.now_s)

    def _override_spindle(self, step: int | None) -> None:
        machine = self._machine
        wanted = 100 if step is None else machine.laser.percent + step
        percent = max(10, min(200, wanted))
        if percent != machine.laser.percent:
            machine.laser.override(percent, machine.now_s)
            machine.reports_to_override = 0
