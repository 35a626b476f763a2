"""What a GRBL machine reported: its answers to `$$` and `$#`, and its status reports."""

from __future__ import annotations

import re
from collections.abc import Iterable

from usbshare.analysis.records import MachineFacts
from usbshare.sim.planner import Vector
from usbshare.sim.resolve import MM_PER_INCH

_NUMBER = r"-?\d+(?:\.\d*)?"
_SETTING = re.compile(rf"\s*\$(\d{{1,3}})\s*=\s*({_NUMBER})")
_VECTOR = rf"({_NUMBER}),({_NUMBER}),({_NUMBER})"
_OFFSET = re.compile(rf"\[(?:G54|G92):{_VECTOR}")
_TOOL_LENGTH = re.compile(rf"\[TLO:({_NUMBER})\]")
_WORK_OFFSET = re.compile(rf"<.*\bWCO:{_VECTOR}")
_IN_INCHES = 13


def machine_facts(lines: Iterable[str]) -> MachineFacts | None:
    """Return what the lines say about a machine; None without any setting.

    The work offset is the last one of a status report, else that of G54, G92 and tool length.
    """
    settings: dict[int, float] = {}
    sums: list[Vector] = []
    reported: Vector | None = None
    for line in lines:
        if match := _SETTING.match(line):
            settings[int(match[1])] = float(match[2])
        elif match := _OFFSET.search(line):
            sums.append((float(match[1]), float(match[2]), float(match[3])))
        elif match := _TOOL_LENGTH.search(line):
            sums.append((0.0, 0.0, float(match[1])))
        elif match := _WORK_OFFSET.search(line):
            reported = (float(match[1]), float(match[2]), float(match[3]))
    if not settings:
        return None
    offset = reported or (_sum(sums) if sums else None)
    if offset is not None and settings.get(_IN_INCHES):
        x, y, z = offset
        offset = (x * MM_PER_INCH, y * MM_PER_INCH, z * MM_PER_INCH)
    return MachineFacts(settings, offset)


def _sum(vectors: Iterable[Vector]) -> Vector:
    x, y, z = (sum(values) for values in zip(*vectors, strict=True))
    return (x, y, z)
