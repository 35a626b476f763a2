"""Whose answer each line of a machine is. Pure.

One line at a time is with the machine; what it says until `ok` or `error` is that line's answer.
A report goes to whoever asked for one. All else is for everybody, as far as it is news.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from usbshare.base.terminal_safe_text import clean_text
from usbshare.bridge.console.lines import Kind, Line, Tell

MOST_LINE_BYTES = 1024
_LAST = re.compile(r"ok\b|error:")
_ALARM = re.compile(r"(?:ALARM|Error):")
_WELCOME = re.compile(r"Grbl |start$|Smoothie$")
_REPORT = re.compile(r"<([A-Za-z]+)[^>]*>$")


@dataclass(slots=True)
class Pending:
    """The line that is with the machine, and who is told its answer.

    `end` is called with why it ended, empty after an answer. `is_alarmed`: the machine said that
    it is in alarm, after which an `ok` may never come.
    """

    tell: Tell
    end: Callable[[str], None]
    is_alarmed: bool = False


class Replies:
    """Cuts a machine's bytes into lines and hands each to whom it is for."""

    def __init__(self, everybody: Tell, reported: Callable[[str], None]) -> None:
        self._everybody = everybody
        self._reported = reported
        self._unread = bytearray()
        self._pending: Pending | None = None
        self._askers: list[Tell] = []
        self._state = ""

    def begin(self, pending: Pending) -> None:
        """Note the line that goes to the machine now."""
        self._pending = pending

    def end(self) -> None:
        """Wait for the rest of an answer no longer."""
        self._pending = None

    def ask_report(self, tell: Tell) -> None:
        """Have the next report told."""
        self._askers.append(tell)

    def forget(self, tell: Tell) -> None:
        """Have no report told any more."""
        self._askers = [each for each in self._askers if each is not tell]

    def feed(self, data: bytes) -> None:
        """Take bytes of the machine."""
        self._unread += data
        while (end := self._unread.find(b"\n")) >= 0 or len(self._unread) > MOST_LINE_BYTES:
            end = end + 1 if end >= 0 else MOST_LINE_BYTES
            raw = bytes(self._unread[:end])
            del self._unread[:end]
            if text := clean_text(raw.decode(errors="replace"), MOST_LINE_BYTES):
                self._take(text)

    def _take(self, text: str) -> None:
        if report := _REPORT.match(text):
            self._report(text, report[1])
        elif _LAST.match(text):
            self._last(text)
        elif _ALARM.match(text):
            if self._pending is not None:
                self._pending.is_alarmed = True
            self._everybody(Line(text, Kind.PROBLEM))
        elif self._pending is None or _WELCOME.match(text):
            self._everybody(Line(text))
            if _WELCOME.match(text):
                self._finish("the machine was reset")
        else:
            self._pending.tell(Line(text))

    def _report(self, text: str, state: str) -> None:
        """Tell a report to those who asked, to everybody where the machine's state is another."""
        is_other, self._state = state != self._state, state
        self._reported(state)
        askers, self._askers = self._askers, []
        for tell in askers:
            tell(Line(text, Kind.REPORT))
        if not askers and is_other:
            self._everybody(Line(text, Kind.REPORT))

    def _last(self, text: str) -> None:
        """End the answer; without one, it ends that of another client's line."""
        if self._pending is not None:
            kind = Kind.PROBLEM if text.startswith("error") else Kind.OK
            self._pending.tell(Line(text, kind))
        self._finish()

    def _finish(self, why: str = "") -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.end(why)
