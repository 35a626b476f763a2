"""What the firmware behind a port speaks: what overtakes its program, and its stops.

grbl 1.1: gnea/grbl grbl/config.h, doc/markdown/commands.md. FluidNC: FluidNC/src/RealtimeCmd.h.
grblHAL: grblHAL/core grbl.h (CMD_…). grbl 0.9: grbl/grbl grbl/config.h.
Marlin: https://marlinfw.org/docs/gcode/M112.html, M108, M410 (emergency parser).
Smoothie: Smoothieware src/modules/communication/SerialConsole.cpp.
RepRap kin: prusa3d/Prusa-Firmware cmdqueue.cpp, Klipper klippy/gcode.py, RepRapFirmware.
`recognition` finds out which of them it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

from usbshare.base.errors import NotSupportedError
from usbshare.line.stop_actions import StopAction

__all__ = [
    "AUTO",
    "BY_NAME",
    "GCODE",
    "GRBL",
    "GRBL09",
    "GRBLHAL",
    "GRBL_RESET",
    "MARLIN",
    "RAW",
    "REPRAP",
    "SMOOTHIE",
    "Priority",
    "Profile",
    "Split",
    "StopAction",
    "StopPlan",
]


class Priority(IntEnum):
    """How urgent a command is; the values are the levels that users of the older tool know."""

    EMERGENCY = 0
    HIGH = 1
    NORMAL = 5
    LOW = 10


@dataclass(frozen=True, slots=True)
class StopPlan:
    """What a stop sends: `flush` throws the program away first, `own_line` ends an open line."""

    data: bytes
    flush: bool = False
    own_line: bool = False
    drop_dtr: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """Bytes of a program, taken apart. `reset`: all that was queued before them is void."""

    program: bytes
    realtime: bytes = b""
    reset: bool = False


_LINE_CLASS = re.compile(rb"\s*(?:N\d+\s*)?([GM])\s*0*(\d+)(?![\d.])", re.IGNORECASE)
_EMERGENCY_WORDS = frozenset({(b"M", 112)})
_HIGH_WORDS = frozenset({(b"G", n) for n in range(4)} | {(b"M", n) for n in (3, 4, 5)})


@dataclass(frozen=True, slots=True)
class Profile:
    """A firmware: what overtakes its program, and what each stop sends.

    That is either bytes, which may be anywhere, or whole lines. `reset_line` is one of them
    which, as `reset` does, voids the program before it; it alone may bear a line number, since a
    firmware that counts lines would miss any other. `voiding` bytes void it too, and reset nothing.
    Where a hold throws moves away, the program cannot go on after it (`hold_keeps_program`).
    `reports_state`: it answers `?` with a report in angle brackets.
    """

    name: str
    realtime: dict[int, Priority] = field(default_factory=dict)
    reset: int | None = None
    voiding: bytes = b""
    urgent_lines: dict[bytes, Priority] = field(default_factory=dict)
    reset_line: bytes | None = None
    stops: dict[StopAction, StopPlan] = field(default_factory=dict)
    speaks_gcode: bool = False
    reports_state: bool = False
    hold_keeps_program: bool = True
    _realtime_bytes: bytes = field(init=False, repr=False, default=b"")
    _line_initials: bytes = field(init=False, repr=False, default=b"")
    _line_hints: tuple[bytes, ...] = field(init=False, repr=False, default=())
    _line_pattern: re.Pattern[bytes] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        words = [line.strip() for line in self.urgent_lines]
        hints = (*words, *(word.lower() for word in words))
        object.__setattr__(self, "_realtime_bytes", bytes(self.realtime))
        object.__setattr__(self, "_line_hints", hints)
        object.__setattr__(self, "_line_initials", bytes({hint[0] for hint in hints}))
        if words:
            object.__setattr__(self, "_line_pattern", _line_pattern(words, self.reset_line))

    def has_realtime(self, data: bytes) -> bool:
        """Return whether there is a real-time byte among a program's."""
        return len(data.translate(None, self._realtime_bytes)) != len(data)

    def has_urgent(self, data: bytes) -> bool:
        """Return whether there may be something for `split` to take out of a program's bytes."""
        if len(data.translate(None, self._realtime_bytes)) != len(data):
            return True
        if not self._line_hints or len(data.translate(None, self._line_initials)) == len(data):
            return False
        return any(hint in data for hint in self._line_hints)

    def split(self, data: bytes, at_line_start: bool = True) -> Split:
        """Take out of a program's bytes what overtakes it; a reset voids the program before it.

        Urgent lines are taken where `data` has all of them, and come out bare: M112 and LF.
        """
        if self._line_pattern is not None and self.has_urgent(data):
            return self._split_lines(self._line_pattern, data, at_line_start)
        program = data.translate(None, self._realtime_bytes)
        if len(program) == len(data):
            return Split(data)
        realtime = bytes(byte for byte in data if byte in self.realtime)
        last = max((data.rfind(byte) for byte in self._voids), default=-1)
        if last < 0:
            return Split(program, realtime)
        after = data[last + 1 :]
        return Split(after.translate(None, self._realtime_bytes), realtime, reset=True)

    def is_realtime(self, data: bytes) -> bool:
        """Return whether all of it overtakes a program here: real-time bytes, or bare urgent lines.

        Bare: as `split` returns them.
        """
        return all(unit in self.realtime or unit in self.urgent_lines for unit in self._units(data))

    def is_emergency(self, data: bytes) -> bool:
        """Return whether all of it are stops, which do no harm when they come twice."""
        found = [self._priority(unit) for unit in self._units(data)]
        return all(priority is Priority.EMERGENCY for priority in found)

    def stops_in(self, realtime: bytes) -> bytes:
        """Return the stops among what `split` took out."""
        units = self.pieces(realtime, 1)
        return b"".join(unit for unit in units if self.is_emergency(unit))

    def stops_and_polls_in(self, realtime: bytes) -> bytes:
        """Return what lets no machine go on, and switches nothing, among what `split` took out."""
        return b"".join(
            unit
            for unit in self.pieces(realtime, 1)
            if self.is_emergency(unit) or self._polls(unit)
        )

    def resets(self, realtime: bytes) -> bool:
        """Return whether a reset is among what `split` took out."""
        if self.urgent_lines:
            return self.reset_line is not None and self.reset_line in self._units(realtime)
        return any(byte in self._voids for byte in realtime)

    def pieces(self, realtime: bytes, most_bytes: int) -> list[bytes]:
        """Cut what `split` took out for messages of so many bytes, never within an urgent line."""
        if self.urgent_lines:
            return realtime.splitlines(keepends=True)
        return [realtime[i : i + most_bytes] for i in range(0, len(realtime), most_bytes)]

    def classify(self, data: bytes) -> Priority:
        """Say how urgent a line is by what it does."""
        match = _LINE_CLASS.match(data) if self.speaks_gcode else None
        if match is None:
            return Priority.NORMAL
        word = (match[1].upper(), int(match[2]))
        if word in _EMERGENCY_WORDS:
            return Priority.EMERGENCY
        return Priority.HIGH if word in _HIGH_WORDS else Priority.NORMAL

    def stop_plan(self, action: StopAction) -> StopPlan:
        """Return what the stop sends; raises NotSupportedError where the profile has none."""
        plan = self.stops.get(action)
        if plan is None or (action is StopAction.RESUME and not plan.data):
            raise NotSupportedError(
                f"profile '{self.name}' has no bytes for '{action.value}'; "
                f"set them in the port's [ports.<id>.stop] table"
            )
        return plan

    @property
    def _voids(self) -> bytes:
        return self.voiding if self.reset is None else bytes((self.reset,)) + self.voiding

    def _units(self, realtime: bytes) -> Sequence[int | bytes]:
        return realtime.splitlines(keepends=True) if self.urgent_lines else realtime

    def _priority(self, unit: int | bytes) -> Priority | None:
        return self.realtime.get(unit) if isinstance(unit, int) else self.urgent_lines.get(unit)

    def _polls(self, data: bytes) -> bool:
        return all(self._priority(unit) is Priority.LOW for unit in self._units(data))

    def _split_lines(self, pattern: re.Pattern[bytes], data: bytes, at_line_start: bool) -> Split:
        begin = 0 if at_line_start else data.find(b"\n") + 1 or len(data)
        program, realtime, reset = bytearray(data[:begin]), bytearray(), False
        for found in pattern.finditer(data, begin):
            line = (found[1] or found[2]).upper() + b"\n"
            program += data[begin : found.start()]
            realtime += line
            begin = found.end()
            if line == self.reset_line:
                program, reset = bytearray(), True
        return Split(bytes(program + data[begin:]), bytes(realtime), reset)


def _line_pattern(words: list[bytes], reset_line: bytes | None) -> re.Pattern[bytes]:
    """Match an urgent line with its end; the word is group 1, with a line number group 2."""
    numbered = (reset_line or words[0]).strip()
    return re.compile(
        rb"^[ \t]*+(?:(%b)|N\d++[ \t]*+(%b)(?:[ \t]*+\*[ \t]*+\d++)?+)[ \t]*+(?:;[^\n]*+)?+\r?\n"
        % (b"|".join(words), numbered),
        re.IGNORECASE | re.MULTILINE,
    )


_GRBL_OVERRIDES = (*range(0x90, 0x98), *range(0x99, 0x9F), 0xA0, 0xA1)
GRBL_RESET = 0x18
_EVERY_GRBL = {
    GRBL_RESET: Priority.EMERGENCY,
    ord("!"): Priority.EMERGENCY,
    ord("~"): Priority.HIGH,
    ord("?"): Priority.LOW,
}
_STOP_BY_RESET = StopPlan(b"\x18", flush=True)
_STOP_BY_LINE = StopPlan(b"M112\n", flush=True, own_line=True)

RAW = Profile("raw", stops={StopAction.EMERGENCY_STOP: StopPlan(b"", flush=True)})
# Firmware that is not recognised yet, or not known. Its program passes as on `raw`. Each stop has
# the bytes of grbl, which act at once, then the line of Marlin and its kin; what either does not
# know it answers with an error, and does nothing. `M410` stands twice: the first one spoils a line
# that a program left unfinished, which grbl would else carry out when it is resumed.
AUTO = Profile(
    "auto",
    stops={
        StopAction.HOLD: StopPlan(b"!M410\nM410\n"),
        StopAction.SAFETY_DOOR: StopPlan(b"!\x84M410\nM410\nM5\n"),
        StopAction.RESUME: StopPlan(b"~\nM108\n"),
        StopAction.EMERGENCY_STOP: StopPlan(b"\x18\nM112\n", flush=True),
    },
    hold_keeps_program=False,
)
# The same, once G-code has been seen to flow: a lost link then stops the machine.
GCODE = replace(AUTO, name="gcode", speaks_gcode=True)
GRBL = Profile(
    "grbl",
    realtime={
        **_EVERY_GRBL,
        0x84: Priority.EMERGENCY,
        0x85: Priority.EMERGENCY,
        **dict.fromkeys(_GRBL_OVERRIDES, Priority.HIGH),
    },
    reset=GRBL_RESET,
    stops={
        StopAction.HOLD: StopPlan(b"!"),
        StopAction.SAFETY_DOOR: StopPlan(b"\x84"),
        StopAction.RESUME: StopPlan(b"~"),
        StopAction.EMERGENCY_STOP: _STOP_BY_RESET,
    },
    speaks_gcode=True,
    reports_state=True,
)
# 0x19 stops and discards the program without a reset; 0x80 to 0x82 are `?`, `~`, `!` again.
GRBLHAL = replace(
    GRBL,
    name="grblhal",
    realtime={
        **GRBL.realtime,
        0x19: Priority.EMERGENCY,
        0x82: Priority.EMERGENCY,
        0x81: Priority.HIGH,
        **dict.fromkeys((*range(0x88, 0x8D), 0x9F, *range(0xA2, 0xA5)), Priority.HIGH),
        **dict.fromkeys((0x80, 0x83, 0x87), Priority.LOW),
    },
    voiding=b"\x19",
)
# It knows no safety door, and a feed hold leaves the spindle as it is: only a reset ends the beam.
GRBL09 = Profile(
    "grbl09",
    realtime=dict(_EVERY_GRBL),
    reset=GRBL_RESET,
    stops={
        StopAction.HOLD: StopPlan(b"!"),
        StopAction.SAFETY_DOOR: _STOP_BY_RESET,
        StopAction.RESUME: StopPlan(b"~"),
        StopAction.EMERGENCY_STOP: _STOP_BY_RESET,
    },
    speaks_gcode=True,
    reports_state=True,
    hold_keeps_program=False,
)
# `!` holds it only if its configuration enables that, which cannot be seen from outside.
SMOOTHIE = replace(
    GRBL09,
    name="smoothie",
    realtime={**_EVERY_GRBL, 0x19: Priority.EMERGENCY},
    voiding=b"\x19",
    stops={**GRBL09.stops, StopAction.HOLD: _STOP_BY_RESET},
)
MARLIN = Profile(
    "marlin",
    urgent_lines={
        b"M112\n": Priority.EMERGENCY,
        b"M410\n": Priority.EMERGENCY,
        b"M108\n": Priority.HIGH,
    },
    reset_line=b"M112\n",
    stops={
        StopAction.HOLD: StopPlan(b"M410\n", own_line=True),
        StopAction.SAFETY_DOOR: StopPlan(b"M410\nM5\n", own_line=True),
        StopAction.RESUME: StopPlan(b"M108\n", own_line=True),
        StopAction.EMERGENCY_STOP: _STOP_BY_LINE,
    },
    hold_keeps_program=False,
    speaks_gcode=True,
)
# Prusa's 8-bit firmware, RepRapFirmware, Klipper, Repetier and kin have one command that overtakes
# what they hold. What else would stop them waits behind it.
REPRAP = Profile(
    "reprap",
    urgent_lines={b"M112\n": Priority.EMERGENCY},
    reset_line=b"M112\n",
    stops={
        StopAction.HOLD: _STOP_BY_LINE,
        StopAction.SAFETY_DOOR: _STOP_BY_LINE,
        StopAction.EMERGENCY_STOP: _STOP_BY_LINE,
    },
    hold_keeps_program=False,
    speaks_gcode=True,
)
BY_NAME = {
    profile.name: profile
    for profile in (RAW, AUTO, GCODE, GRBL, GRBLHAL, GRBL09, MARLIN, REPRAP, SMOOTHIE)
}
