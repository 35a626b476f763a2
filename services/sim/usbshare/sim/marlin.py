"""A simulated Marlin 2.1 laser controller, smaller than the real one: pure, with time injected."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator

from usbshare.sim.marlin_lines import (
    LINE_CHARACTERS,
    Command,
    EmergencyParser,
    LineChecker,
    LineError,
    Urgent,
    parse_command,
)
from usbshare.sim.marlin_machine import MarlinMachine
from usbshare.sim.planner import Vector
from usbshare.sim.receive import ReceiveBuffer
from usbshare.sim.record import Record

VERSION = "2.1.2"
_RX_BYTES = 127
_QUEUE_COMMANDS = 4
_BUSY_S = 2.0
_ORIGIN: Vector = (0.0, 0.0, 0.0)
_CAPABILITIES = ("SERIAL_XON_XOFF:0", "EEPROM:1", "EMERGENCY_PARSER:1", "AUTOREPORT_POS:0")

_Condition = Callable[[], bool]
_Work = Generator[_Condition, None, None]


class MarlinController:
    """Receives bytes, moves, burns and answers; `Controller` defines its times.

    The beam is in Marlin's standard mode: M3 and M5 wait for the queued moves, and a quick stop
    leaves the beam as it is.
    """

    def __init__(self, record: Record | None = None) -> None:
        self.record = record if record is not None else Record()
        self._machine = MarlinMachine(self.record)
        self._output = bytearray()
        self._now_s = 0.0
        self._power_up()

    @property
    def killed(self) -> bool:
        """Whether only a reset helps."""
        return self._killed

    def receive(self, data: bytes, now_s: float) -> None:
        """Take bytes from the line; their answers are returned by the next `advance`."""
        self._live_until(now_s)
        self.record.receive(data, now_s)
        for byte in data:
            if self._killed:
                return
            self._take(byte)

    def advance(self, now_s: float) -> bytes:
        """Run until `now_s` and return what was sent since the last call."""
        self._live_until(now_s)
        output = bytes(self._output)
        self._output.clear()
        return output

    def next_event_s(self) -> float | None:
        """Return when `advance` is due; None while only received bytes can change anything."""
        times = (self._machine.motion.next_s, self._wake_s, self._busy_s)
        return min((time for time in times if time is not None), default=None)

    def hard_reset(self, now_s: float) -> None:
        """Pull the reset pin: everything starts over."""
        self._live_until(now_s)
        self._stop_all()
        self.record.event("reset", now_s)
        self._power_up()

    def _power_up(self) -> None:
        self._rx = ReceiveBuffer(_RX_BYTES)
        self._line = bytearray()
        self._checker = LineChecker()
        self._emergency = EmergencyParser()
        self._queue: deque[str] = deque()
        self._killed = self._waits_for_user = False
        self._wake_s: float | None = None
        self._busy_s: float | None = None
        self._machine.clear()
        self._main = self._run_commands()
        self._waits_for: _Condition = lambda: True
        self._say("start")
        self._say(f"echo:Marlin {VERSION}")
        self._say(f"echo: Last Updated: 2022-12-17 | Author: (usbshare simulator)\n{_MEMORY}")
        self._pump()

    def _take(self, byte: int) -> None:
        if not self._rx.put(bytes([byte])):
            self.record.lose(1, self._now_s)
        urgent = self._emergency.feed(byte)
        if urgent is not None:
            self._act(urgent)
        if not self._killed:
            self._pump()
            self._live_until(self._now_s)

    def _act(self, urgent: Urgent) -> None:
        if urgent is Urgent.KILL:
            self._kill()
        elif urgent is Urgent.CONTINUE:
            self._waits_for_user = False
        else:
            self._machine.quick_stop(self._now_s)

    def _kill(self) -> None:
        self._stop_all()
        self._killed = True
        self._wake_s = self._busy_s = None
        self._say("Error:Printer halted. kill() called!")
        self.record.event("kill", self._now_s)

    def _stop_all(self) -> None:
        self._machine.quick_stop(self._now_s)
        self._machine.laser.shine(0.0, self._now_s)

    def _live_until(self, now_s: float) -> None:
        while (due_s := self.next_event_s()) is not None and due_s <= now_s:
            self._now_s = due_s
            self._step(due_s)
            self._pump()
        self._now_s = max(now_s, self._now_s)

    def _step(self, now_s: float) -> None:
        if self._machine.motion.next_s == now_s:
            self._machine.finish_motion(now_s)
        elif self._wake_s == now_s:
            self._wake_s = None
        else:
            self._say("echo:busy: " + ("paused for user" if self._waits_for_user else "processing"))
            self._busy_s = now_s + _BUSY_S

    def _pump(self) -> None:
        self._fetch()
        while not self._killed and self._waits_for():
            self._waits_for = next(self._main)
            self._fetch()

    def _fetch(self) -> None:
        """Move lines from the receive buffer to the queue while it has room."""
        while self._rx and len(self._queue) < _QUEUE_COMMANDS:
            data, ended = self._rx.take_past_line_end()
            self._line += data[: LINE_CHARACTERS - len(self._line)]
            if ended:
                line = self._line.decode("latin-1").partition(";")[0].strip()
                self._line.clear()
                self._enqueue(line)

    def _enqueue(self, line: str) -> None:
        if not line:
            return
        try:
            self._queue.append(self._checker.check(line))
        except LineError as error:
            self._rx.clear()
            self._say(f"Error:{error}, Last Line: {self._checker.last_number}")
            self._say(f"Resend: {self._checker.last_number + 1}")
            self._say("ok")

    def _run_commands(self) -> _Work:
        while True:
            while not self._queue:
                yield lambda: bool(self._queue)
            command = parse_command(self._queue[0])
            self._busy_s = self._now_s + _BUSY_S
            yield from self._execute(command)
            self._busy_s = None
            self._queue.popleft()
            self._say(_TEMPERATURE if command.name == "M105" else "ok")

    def _execute(self, command: Command) -> _Work:
        blocking = {
            "G0": self._move,
            "G1": self._move,
            "G4": self._dwell,
            "G28": self._home,
            "M0": self._wait_for_user,
            "M1": self._wait_for_user,
            "M3": self._beam_on,
            "M4": self._beam_on,
            "M5": self._beam_off,
            "M400": self._synchronize,
        }
        if command.name in blocking:
            yield from blocking[command.name](command)
        else:
            self._execute_at_once(command)

    def _execute_at_once(self, command: Command) -> None:
        if command.name in ("G90", "G91"):
            self._machine.relative = command.name == "G91"
        elif command.name == "G92":
            self._machine.name_position(command.words)
        elif command.name == "M114":
            self._say(self._machine.position_report())
        elif command.name == "M115":
            self._say(f"FIRMWARE_NAME:Marlin {VERSION} (usbshare simulator) {_PROTOCOL}")
            for capability in _CAPABILITIES:
                self._say(f"Cap:{capability}")
        elif command.name not in _SILENT:
            self._say(f'echo:Unknown command: "{command.text}"')

    def _move(self, command: Command) -> _Work:
        target = self._machine.aim(command.words)
        yield lambda: not self._machine.planner.full
        self._machine.move(target, self._now_s)

    def _synchronize(self, _command: Command) -> _Work:
        yield lambda: not self._machine.planner.blocks

    def _dwell(self, command: Command) -> _Work:
        yield from self._synchronize(command)
        words = command.words
        self._wake_s = self._now_s + words.get("S", words.get("P", 0.0) / 1000)
        yield lambda: self._wake_s is None

    def _home(self, command: Command) -> _Work:
        yield from self._synchronize(command)
        self._machine.origin = _ORIGIN
        yield lambda: not self._machine.planner.full
        self._machine.move(_ORIGIN, self._now_s)
        yield from self._synchronize(command)

    def _wait_for_user(self, command: Command) -> _Work:
        yield from self._synchronize(command)
        self._waits_for_user = True
        yield lambda: not self._waits_for_user

    def _beam_on(self, command: Command) -> _Work:
        yield from self._synchronize(command)
        self._machine.laser.shine(command.words.get("S", 255.0), self._now_s)

    def _beam_off(self, command: Command) -> _Work:
        yield from self._synchronize(command)
        self._machine.laser.shine(0.0, self._now_s)

    def _say(self, text: str) -> None:
        self._output += text.encode("latin-1") + b"\n"


_MEMORY = "echo: Free Memory: 5000  PlannerBufferBytes: 1200"
_PROTOCOL = "PROTOCOL_VERSION:1.0 MACHINE_TYPE:Laser EXTRUDER_COUNT:0"
_TEMPERATURE = "ok T:22.00 /0.00 @:0"
# fmt: off
_SILENT = frozenset({
    "G17", "G20", "G21", "M17", "M18", "M84", "M105", "M106", "M107",
    "M108", "M110", "M112", "M117", "M155", "M410", "M500", "M501", "M503",
})
# fmt: on
