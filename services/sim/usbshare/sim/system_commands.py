"""GRBL's `$` commands."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from usbshare.sim import reports
from usbshare.sim.machine import Machine
from usbshare.sim.planner import Vector
from usbshare.sim.program import Answer, CriticalAlarmError, Program, Work
from usbshare.sim.status_codes import Alarm, State, Status

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)"
_SETTING = re.compile(rf"({_NUMBER})(=?)({_NUMBER})?(.*)")
_STARTUP = re.compile(rf"({_NUMBER})(=?)(.*)")
_LOCATE_PASSES = 2
_LEAST_RATE = 1.0


class SystemCommands:
    """Executes lines that begin with `$`; `reset` asks the main loop for a soft reset."""

    def __init__(
        self,
        machine: Machine,
        program: Program,
        delay: Callable[[float], Work],
        reset: Callable[[], None],
        homed: Callable[[], None] = lambda: None,
    ) -> None:
        self._machine = machine
        self._program = program
        self._delay = delay
        self._reset = reset
        self._homed = homed

    def run(self, line: str) -> Answer:
        """Execute a line and return its answer."""
        if line == "$":
            self._machine.say(reports.HELP)
            return Status.OK
        if line[1] == "J":
            return (yield from self._jog(line))
        if line[1] in "$GCX":
            return self._anytime(line)
        if self._machine.state not in (State.IDLE, State.ALARM):
            return Status.NOT_IDLE
        return (yield from self._at_rest(line))

    def run_startup(self) -> Work:
        """Execute the stored startup lines."""
        for line in self._machine.startup_lines:
            if line:
                status = yield from self._program.run(line)
                answer = "ok" if status is Status.OK else f"error:{int(status)}"
                self._machine.say(f">{line}:{answer}")

    def _jog(self, line: str) -> Answer:
        if self._machine.state not in (State.IDLE, State.JOG):
            return Status.NOT_IDLE
        if line[2:3] != "=":
            return Status.INVALID_STATEMENT
        return (yield from self._program.jog(line[3:]))

    def _anytime(self, line: str) -> Status:
        if len(line) > 2:
            return Status.INVALID_STATEMENT
        if line[1] == "$":
            return self._print_settings()
        if line[1] == "G":
            self._machine.say(reports.modes(self._machine))
            return Status.OK
        return self._toggle_check() if line[1] == "C" else self._unlock()

    def _print_settings(self) -> Status:
        if self._machine.state in (State.RUN, State.HOLD):
            return Status.NOT_IDLE
        self._say_all(self._machine.settings.lines())
        return Status.OK

    def _toggle_check(self) -> Status:
        machine = self._machine
        if machine.state is State.CHECK:
            self._reset()
            machine.message("Disabled")
        elif machine.state is State.IDLE:
            machine.state = State.CHECK
            machine.message("Enabled")
        else:
            return Status.NOT_IDLE
        return Status.OK

    def _unlock(self) -> Status:
        machine = self._machine
        if machine.state is State.ALARM:
            if "D" in machine.pins:
                return Status.CHECK_DOOR
            machine.message("Caution: Unlocked")
            machine.state = State.IDLE
        return Status.OK

    def _at_rest(self, line: str) -> Answer:
        if line[1] == "H":
            return (yield from self._home(line))
        if line[1] == "N" and len(line) > 2:
            return (yield from self._store_startup(line[2:]))
        simple = {
            "#": self._print_parameters,
            "S": self._sleep,
            "I": self._build_info,
            "R": self._restore,
            "N": self._print_startup,
        }
        return simple.get(line[1], self._store_setting)(line)

    def _print_parameters(self, line: str) -> Status:
        if line != "$#":
            return Status.INVALID_STATEMENT
        self._say_all(reports.parameters(self._machine))
        return Status.OK

    def _sleep(self, line: str) -> Status:
        if line != "$SLP":
            return Status.INVALID_STATEMENT
        self._machine.answer(Status.OK)
        self._machine.state = State.SLEEP
        self._machine.stand()
        return Status.OK

    def _build_info(self, line: str) -> Status:
        if line == "$I":
            self._say_all(reports.build_info(self._machine))
        elif line[2] == "=":
            self._machine.build_info = line[3:]
        else:
            return Status.INVALID_STATEMENT
        return Status.OK

    def _restore(self, line: str) -> Status:
        if not re.fullmatch(r"\$RST=[$#*]", line):
            return Status.INVALID_STATEMENT
        machine = self._machine
        if line[-1] in "$*":
            machine.settings.restore_defaults()
        if line[-1] in "#*":
            machine.coordinates.restore_defaults()
        if line[-1] == "*":
            machine.startup_lines, machine.build_info = ["", ""], ""
        machine.message("Restoring defaults")
        self._reset()
        return Status.OK

    def _print_startup(self, _line: str) -> Status:
        self._say_all([f"$N{n}={line}" for n, line in enumerate(self._machine.startup_lines)])
        return Status.OK

    def _store_startup(self, rest: str) -> Answer:
        if self._machine.state is not State.IDLE:
            return Status.NOT_IDLE
        match = _STARTUP.fullmatch(rest)
        if match is None:
            return Status.BAD_NUMBER_FORMAT
        number = float(match[1])
        if not match[2] or number not in (0, 1):
            return Status.INVALID_STATEMENT
        status = yield from self._program.run(match[3])
        if status is Status.OK:
            self._machine.startup_lines[int(number)] = match[3]
        return status

    def _store_setting(self, line: str) -> Status:
        match = _SETTING.fullmatch(line[1:])
        if match is None:
            return Status.BAD_NUMBER_FORMAT
        number, equals, value, rest = match.groups()
        if not equals:
            return Status.INVALID_STATEMENT
        if value is None:
            return Status.BAD_NUMBER_FORMAT
        if rest or not 0 <= float(number) <= 255:
            return Status.INVALID_STATEMENT
        if int(float(number)) == 13:
            self._machine.reports_to_offset = 0
        return self._machine.settings.store(int(float(number)), float(value))

    def _home(self, line: str) -> Answer:
        machine = self._machine
        if not machine.settings.homing:
            return Status.SETTING_DISABLED
        if line != "$H":
            return Status.INVALID_STATEMENT
        machine.state = State.HOME
        target = self._home_position()
        yield from self._delay(self._homing_s(target))
        self._homed()
        if machine.pins & set("XYZ"):
            raise CriticalAlarmError(Alarm.HOMING_PULL_OFF)
        machine.motion.reset(target)
        machine.planner.reset(target)
        machine.parser.position = target
        machine.state = State.IDLE
        yield from self.run_startup()
        return Status.OK

    def _home_position(self) -> Vector:
        settings = self._machine.settings
        inverted, pull_off = int(settings[23]), settings[27]
        x, y, z = (
            pull_off - travel if inverted >> axis & 1 else -pull_off
            for axis, travel in enumerate(settings.travel)
        )
        return (x, y, z)

    def _homing_s(self, target: Vector) -> float:
        settings = self._machine.settings
        seek = math.dist(self._machine.position(), target) / (max(settings[25], _LEAST_RATE) / 60)
        locate = _LOCATE_PASSES * settings[27] / (max(settings[24], _LEAST_RATE) / 60)
        return seek + locate + _LOCATE_PASSES * settings[26] / 1000

    def _say_all(self, lines: list[str]) -> None:
        for line in lines:
            self._machine.say(line)
