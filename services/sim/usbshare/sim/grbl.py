"""A simulated GRBL 1.1h laser controller: pure, with time injected."""

from __future__ import annotations

from enum import Enum

from usbshare.sim import reports
from usbshare.sim.machine import Machine
from usbshare.sim.motion import Drive
from usbshare.sim.program import Condition, CriticalAlarmError, Program, Work
from usbshare.sim.realtime import Realtime
from usbshare.sim.receive import LineReader, ReceiveBuffer, split_realtime
from usbshare.sim.record import Record
from usbshare.sim.status_codes import Alarm, State, Status
from usbshare.sim.system_commands import SystemCommands

_ALARM_DELAY_S = 0.5
_RESET, _STATUS = 0x18, ord("?")


class Attention(Enum):
    """Which real-time bytes take effect."""

    ALL = "all"
    RESET_ONLY = "reset only"
    NONE = "none"


_HOMING = 22


class GrblController:
    """Receives bytes, moves, burns and answers; `Controller` defines its times.

    The main loop is a generator that yields what it waits for; interrupts (real-time bytes) and
    motion act around it, as on the real machine.
    """

    def __init__(self, record: Record | None = None, *, homing: bool = False) -> None:
        self.record = record if record is not None else Record()
        self.machine = Machine(self.record)
        self.machine.settings.store(_HOMING, homing)
        self._rx = ReceiveBuffer()
        self._reader = LineReader(self._rx)
        self._program = Program(self.machine, self._delay)
        self._system = SystemCommands(
            self.machine, self._program, self._delay, self._soft_reset, self._say_owed_report
        )
        self._realtime = Realtime(self.machine)
        self._wake_s: float | None = None
        self._main: Work
        self._waits_for: Condition
        self._attention = Attention.ALL
        self._owes_report = False
        self._power_up()

    @property
    def state(self) -> State:
        """The machine's state."""
        return self.machine.state

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the line; their answers are returned by the next `advance`."""
        self._live_until(now_s)
        self.record.receive(data, now_s)
        for ordinary, urgent in split_realtime(data):
            self._store(ordinary)
            if urgent is not None:
                self._interrupt(urgent)
                self._catch_up()

    def advance(self, now_s: float) -> bytes:
        """Run until `now_s` and return what was sent since the last call."""
        self._live_until(now_s)
        return self.machine.take_output()

    def next_event_s(self) -> float | None:
        """Return when `advance` is due; None while only received bytes can change anything."""
        due_s = self.machine.motion.next_s
        for other_s in (self._wake_s, self.machine.restored_s):
            if other_s is not None and (due_s is None or other_s < due_s):
                due_s = other_s
        return due_s

    def hard_reset(self, now_s: float) -> None:
        """Pull the reset pin: position and overrides are lost, stored settings are kept."""
        self._live_until(now_s)
        self.machine.kill()
        self.machine.motion.reset((0.0, 0.0, 0.0))
        self.record.event("reset", now_s)
        self._power_up()

    def set_pin(self, pin: str, *, active: bool, now_s: float) -> None:
        """Press or release a switch: a limit (X, Y, Z), the door (D) or the probe (P)."""
        self._live_until(now_s)
        machine = self.machine
        (machine.pins.add if active else machine.pins.discard)(pin)
        if pin == "D":
            self._realtime.safety_door() if active else self._realtime.door_closed()
        elif pin in "XYZ" and active and self._heeds_limits():
            self._lock(Alarm.HARD_LIMIT)
        self._catch_up()

    def _heeds_limits(self) -> bool:
        machine = self.machine
        return machine.settings.hard_limits and machine.state not in (State.ALARM, State.HOME)

    def _catch_up(self) -> None:
        self._pump()
        self._live_until(self.machine.now_s)

    def _live_until(self, now_s: float) -> None:
        while (due_s := self.next_event_s()) is not None and due_s <= now_s:
            self.machine.now_s = due_s
            self._step(due_s)
            self._pump()
        self.machine.now_s = max(now_s, self.machine.now_s)

    def _step(self, now_s: float) -> None:
        machine = self.machine
        if machine.motion.next_s == now_s:
            machine.finish_motion()
        elif machine.restored_s == now_s:
            self._realtime.finish_restore()
        else:
            self._wake_s = None

    def _pump(self) -> None:
        """Let the main loop run until it has to wait."""
        try:
            while self._waits_for():
                main = self._main
                condition = next(main)
                if main is self._main:  # else it has reset the machine
                    self._waits_for = condition
        except CriticalAlarmError as error:
            self._lock(error.alarm)

    def _store(self, data: bytes) -> None:
        while data:
            taken = self._rx.put(data)
            self._catch_up()
            data = data[taken:]
            if not taken:
                self.record.lose(len(data), self.machine.now_s)
                return

    def _interrupt(self, byte: int) -> None:
        if self._attention is Attention.NONE:
            return
        if byte == _RESET:
            self._soft_reset()
        elif self._attention is Attention.RESET_ONLY:
            return
        elif byte == _STATUS and self.machine.state is State.HOME:
            self._owes_report = True  # limits.c: switches are not checked while it homes
        elif byte == _STATUS:
            self._say_report()
        elif byte == 0x84 and self.machine.state is State.HOME:
            self._abort(Alarm.HOMING_DOOR)
        else:
            self._realtime.act(byte)

    def _say_report(self) -> None:
        self.machine.say(reports.status_report(self.machine, self._rx.free))

    def _say_owed_report(self) -> None:
        if self._owes_report:
            self._owes_report = False
            self._say_report()

    def _soft_reset(self) -> None:
        machine = self.machine
        alarm = None
        if machine.state is State.HOME:
            alarm = Alarm.HOMING_RESET
        elif machine.motion.drive is not Drive.STILL:
            alarm = Alarm.ABORT_CYCLE
        self._abort(alarm)

    def _abort(self, alarm: Alarm | None) -> None:
        self.machine.kill()
        self.record.event("reset", self.machine.now_s)
        self._attention = Attention.NONE
        self._run(self._reboot(alarm))

    def _lock(self, alarm: Alarm) -> None:
        self.machine.kill()
        self.machine.state = State.ALARM
        self.machine.say(f"ALARM:{int(alarm)}")
        self.machine.message("Reset to continue")
        self._attention = Attention.RESET_ONLY
        self._waits_for = _never

    def _power_up(self) -> None:
        self.machine.state = State.ALARM if self.machine.settings.homing else State.IDLE
        self._run(self._reboot(None))
        self._pump()

    def _run(self, work: Work) -> None:
        self._main = work
        self._wake_s = None
        self._waits_for = _at_once

    def _reboot(self, alarm: Alarm | None) -> Work:
        machine = self.machine
        if alarm is not None:
            machine.state = State.ALARM
            machine.say(f"ALARM:{int(alarm)}")
            yield from self._delay(_ALARM_DELAY_S)
        self._rx.clear()
        self._reader.reset()
        self._owes_report = False
        machine.clear()
        self._attention = Attention.ALL
        machine.say(reports.WELCOME)
        if machine.state in (State.ALARM, State.SLEEP):
            machine.state = State.ALARM
            machine.message("'$H'|'$X' to unlock")
        else:
            machine.state = State.IDLE
            yield from self._system.run_startup()
        yield from self._read_lines()

    def _read_lines(self) -> Work:
        while self._attention is Attention.ALL:
            while (line := self._reader.next_line()) is None:
                yield self._has_input
            if self.machine.suspended:
                yield self._may_go_on
            yield from self._execute(line)
            self.machine.start_cycle()
        yield _never

    def _execute(self, line: str) -> Work:
        machine = self.machine
        if self._reader.overflowed:
            machine.answer(Status.OVERFLOW)
        elif not line:
            machine.answer(Status.OK)
        elif line[0] == "$":
            status = yield from self._system.run(line)
            if machine.state is not State.SLEEP:
                machine.answer(status)
        elif machine.state in (State.ALARM, State.JOG):
            machine.answer(Status.LOCKED)
        else:
            machine.answer((yield from self._program.run(line)))

    def _delay(self, seconds: float) -> Work:
        self._wake_s = self.machine.now_s + seconds
        yield self._is_awake

    def _has_input(self) -> bool:
        return bool(self._rx)

    def _may_go_on(self) -> bool:
        return not self.machine.suspended

    def _is_awake(self) -> bool:
        return self._wake_s is None


def _never() -> bool:
    return False


def _at_once() -> bool:
    return True
