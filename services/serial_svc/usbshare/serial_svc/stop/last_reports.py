"""The last reports of one machine, as bytes: they are parsed only when somebody looks."""

from __future__ import annotations

import re
from math import inf

from usbshare.line.machine_report import (
    MOST_REPORT_BYTES,
    MachineReport,
    parse_position,
    parse_report,
    position_answer,
)
from usbshare.line.profiles import GRBLHAL, Profile

_MOST_TAIL_BYTES = 128
_PINS = re.compile(rb"\|Pn:([A-Z]+)")


class LastReports:
    """Keeps the last report, and the last that had what comes only now and then.

    GRBL says in every 10th to 30th report what its work offset and its overrides are.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Forget all: the machine is gone."""
        self.begun_at = -inf
        self._report = self._offset = self._overrides = self._accessories = b""
        self._is_accessories_old = False
        self._position = self._tail = b""

    def reported(self, report: bytes, begun_at: float) -> None:
        """Take a report in angle brackets, whose first byte came then."""
        if len(report) > MOST_REPORT_BYTES:
            return
        self._report, self.begun_at = report, begun_at
        if b"WCO:" in report:
            self._offset = report
        if b"|Ov:" in report:
            self._overrides, self._is_accessories_old = report, True
        if b"|A:" in report:
            self._accessories, self._is_accessories_old = report, False

    @property
    def pins(self) -> frozenset[int]:
        """The letters of the switches that are active, as of the last report."""
        found = _PINS.search(self._report)
        return frozenset(found[1]) if found is not None else frozenset()

    def look_for_position(self, data: bytes, now: float) -> None:
        """Take the answers, however split, of a machine that reports its position only on M114."""
        text = self._tail + data
        if b" Y:" in text and (found := position_answer(text[: text.rfind(b"\n") + 1])):
            self._position, self.begun_at = found[:MOST_REPORT_BYTES], now
        self._tail = text[text.rfind(b"\n") + 1 :][:_MOST_TAIL_BYTES]

    def parsed(self, profile: Profile) -> MachineReport | None:
        """Return what is known from them; None before the first."""
        if not self._report:
            return parse_position(self._position) if self._position else None
        accessories = self._accessories
        # grblHAL says them when they change; others with each override, unless all are off.
        if self._is_accessories_old and profile.name != GRBLHAL.name:
            accessories = self._overrides
        return parse_report(self._report, self._offset, self._overrides, accessories)
