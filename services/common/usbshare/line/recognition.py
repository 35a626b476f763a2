"""Finds out what firmware is behind a port, from what it says: banners, identities, reports.

Each pattern names the source of its words in the table of tests/unit/line/test_recognition.py.
"""

from __future__ import annotations

import re
from enum import IntEnum

from usbshare.line.profiles import (
    AUTO,
    GRBL,
    GRBL09,
    GRBLHAL,
    MARLIN,
    REPRAP,
    SMOOTHIE,
    Profile,
)

LONGEST_LINE_BYTES = 512
KEPT_PROGRAM_BYTES = 4096

# Noise may precede a banner, but no letter or digit: it is no part of another word.
_START = rb"(?<![A-Za-z0-9])"
_IDENTITIES = (
    (re.compile(_START + rb"GrblHAL \d|\[FIRMWARE:grblHAL\]"), GRBLHAL),
    (re.compile(_START + rb"Grbl v?0\.\d"), GRBL09),
    (re.compile(_START + rb"Grbl v?[1-9]|Grbl \[FluidNC|\bFluidNC v\d|\[VER:[1-9]"), GRBL),
    (re.compile(_START + rb"FIRMWARE_NAME:\s*Smoothie|^\W*Smoothie\s"), SMOOTHIE),
    (re.compile(rb"^\W*Build version: .*Build date: .*MCU: "), SMOOTHIE),
    (re.compile(_START + rb"FIRMWARE_NAME:\s*Marlin"), MARLIN),
    (re.compile(rb"^\W*(?:echo: ?)?Marlin \S"), MARLIN),
    # All others that answer M115 know M112: Prusa, RepRapFirmware, Klipper, Repetier, Teacup.
    (re.compile(_START + rb"FIRMWARE_NAME:\s*\w\S*\s|// Klipper state: "), REPRAP),
)
_STATES = (
    rb"Idle|Run|Hold|Jog|Alarm|Door|Check|Home|Sleep|Tool|Queue|Init|Starting|Critical"
    rb"|ConfigAlarm|Halt|Pause|Wait|Suspend"
)
_REPORTS = (
    # grbl 1.1 and its kin report one position, Smoothie both.
    (re.compile(rb"<(?:%b)(?::\d+)?\|[^<>]*MPos:[^<>]*WPos:" % _STATES), SMOOTHIE),
    (re.compile(rb"<(?:%b),(?:MPos|WPos):" % _STATES), GRBL09),
    (re.compile(rb"<Tool[|:]"), GRBLHAL),
    (re.compile(rb"<(?:%b)(?::\d+)?(?:\|[^<>]*)?>" % _STATES), GRBL),
)
_HINT = re.compile(rb"rbl|FIRMWARE|FluidNC|VER:|moothie|Build version|Marlin|Klipper|<[A-Z]")


class _Certainty(IntEnum):
    """How sure it is what speaks; a report looks alike in several firmwares."""

    UNKNOWN = 0
    REPORT = 1
    IDENTITY = 2


class Recogniser:
    """Finds out what firmware speaks, from the bytes that it sends, split arbitrarily."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._written = b""
        self._certainty = _Certainty.UNKNOWN
        self._profile: Profile = AUTO

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is recognised yet."""
        return self._certainty is _Certainty.UNKNOWN

    def wrote(self, data: bytes) -> None:
        """Note what a program writes: a device that sends it back says nothing of itself."""
        if self.is_unknown:
            self._written = (self._written + data)[-KEPT_PROGRAM_BYTES:]

    def feed(self, data: bytes) -> Profile | None:
        """Take the next bytes; return the profile once a line gives it away, or a better one."""
        found = None
        for piece in data.splitlines(keepends=True):
            self._line += piece[: LONGEST_LINE_BYTES - len(self._line)]
            found = self._recognise(bytes(self._line)) or found
            if piece.endswith((b"\n", b"\r")):
                self._line.clear()
        return found

    def _recognise(self, line: bytes) -> Profile | None:
        if not _HINT.search(line):
            return None
        for pattern, profile in _IDENTITIES:
            if (match := pattern.search(line)) and not self._is_echo(match[0]):
                return self._settle(profile, _Certainty.IDENTITY)
        for pattern, profile in _REPORTS if self._certainty < _Certainty.IDENTITY else ():
            if (match := pattern.search(line)) and not self._is_echo(match[0]):
                return self._settle(profile, _Certainty.REPORT)
        return None

    def _is_echo(self, words: bytes) -> bool:
        return self.is_unknown and words in self._written

    def _settle(self, profile: Profile, certainty: _Certainty) -> Profile:
        # grblHAL may be built to greet as grbl does.
        if not (self._profile is GRBLHAL and profile is GRBL):
            self._profile = profile
        self._certainty = certainty
        self._written = b""
        return self._profile
