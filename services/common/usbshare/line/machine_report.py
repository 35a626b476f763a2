"""What a machine says of itself: GRBL's reports in angle brackets, Marlin's answer to M114.

grbl 1.1: github.com/gnea/grbl doc/markdown/interface.md, grbl/report.c. grblHAL: terjeio/grblHAL
grbl/report.c. FluidNC: bdring/FluidNC FluidNC/src/Report.cpp. grbl 0.9: grbl/grbl wiki, Interfacing
with Grbl. Smoothie: Smoothieware src/modules/robot/Robot.cpp. Marlin: marlinfw.org M114.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

MOST_AXES = 9
MOST_REPORT_BYTES = 512
_STATE = re.compile(r"(\w+)(?::(\d{1,9}))?$")
_NEXT_OLD_FIELD = re.compile(r",(?=[A-Za-z][A-Za-z ]*:)")
_POSITION = re.compile(rb"X: ?-?\d+\.\d+ Y: ?-?\d+\.\d+[^\r\n]*")
_AXIS = re.compile(rb"\b([XYZABCUVW]): ?(-?\d+\.\d+)")
_STEPS = re.compile(rb"\bCount\b.*")

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Overrides:
    """How far feeds, rapids and the spindle are changed, in percent."""

    feed: int
    rapids: int
    spindle: int


@dataclass(frozen=True, slots=True)
class MachineReport:
    """One report: lengths in the unit that the machine reports in, feed in that unit per minute.

    `spindle` is the S value. What is None or empty, the report does not say.
    """

    state: str = ""
    substate: int | None = None
    machine_position: Numbers = ()
    work_position: Numbers = ()
    work_offset: Numbers = ()
    feed: float | None = None
    spindle: float | None = None
    overrides: Overrides | None = None
    free_blocks: int | None = None
    free_bytes: int | None = None
    pins: str = ""
    accessories: str | None = None
    line: int | None = None
    text: str = ""


def parse_report(
    report: bytes, offset: bytes = b"", overrides: bytes = b"", accessories: bytes = b""
) -> MachineReport | None:
    """Return what a report in angle brackets says; None where it is none.

    The others are the last reports that had what comes only now and then: WCO, Ov and A.
    """
    text = _text(report)
    state, fields = _fields(text)
    found = _STATE.match(state) if text.startswith("<") and text.endswith(">") else None
    if found is None:
        return None
    work_offset = _numbers(_fields(_text(offset))[1].get("WCO", ""))
    machine, work = _positions(fields, work_offset)
    buffers = _counts(fields.get("Bf", ""))
    speeds = _numbers(fields.get("FS", ""))
    feed, spindle = _first(fields.get("F", "")), _first(fields.get("S", ""))
    return MachineReport(
        state=found[1],
        substate=int(found[2]) if found[2] else None,
        machine_position=machine,
        work_position=work,
        work_offset=work_offset,
        feed=speeds[0] if speeds else feed,
        spindle=speeds[1] if len(speeds) > 1 else spindle,
        overrides=_overrides(_fields(_text(overrides))[1].get("Ov", "")),
        free_blocks=buffers[0] if buffers else None,
        free_bytes=buffers[1] if len(buffers) > 1 else None,
        pins=_letters(fields.get("Pn", "")),
        accessories=_letters(_fields(_text(accessories))[1].get("A", "")) if accessories else None,
        line=next(iter(_counts(fields.get("Ln", ""))), None),
        text=text,
    )


def position_answer(data: bytes) -> bytes:
    """Return the last answer to M114 among lines, empty for none."""
    found = b""
    for match in _POSITION.finditer(data):
        found = match[0]
    return found


def parse_position(answer: bytes) -> MachineReport | None:
    """Return what an answer to M114 says: the position of the program, and nothing else."""
    named = _STEPS.sub(b"", answer)  # the motors' steps follow it
    position = _finite([float(number) for _, number in _AXIS.findall(named)])
    return MachineReport(work_position=position, text=_text(answer)) if position else None


def _text(report: bytes) -> str:
    return report[:MOST_REPORT_BYTES].decode("ascii", errors="replace").strip()


def _fields(report: str) -> tuple[str, Mapping[str, str]]:
    """Return the state and the fields by name."""
    inner = report.removeprefix("<").removesuffix(">")
    state, *rest = inner.split("|") if "|" in inner else _NEXT_OLD_FIELD.split(inner)
    named = (field.partition(":") for field in rest)
    return state, {name: value for name, _, value in named}


def _positions(fields: Mapping[str, str], offset: Numbers) -> tuple[Numbers, Numbers]:
    """Return the machine's position and the program's; one follows from the other."""
    machine, work = _numbers(fields.get("MPos", "")), _numbers(fields.get("WPos", ""))
    if machine and not work and len(offset) == len(machine):
        work = tuple(round(at - by, 4) for at, by in zip(machine, offset, strict=True))
    elif work and not machine and len(offset) == len(work):
        machine = tuple(round(at + by, 4) for at, by in zip(work, offset, strict=True))
    return machine, work


def _numbers(text: str) -> Numbers:
    try:
        return _finite([float(part) for part in text.split(",")[:MOST_AXES]] if text else [])
    except ValueError:
        return ()


def _finite(numbers: list[float]) -> Numbers:
    return tuple(numbers) if all(map(isfinite, numbers)) else ()


def _first(text: str) -> float | None:
    return next(iter(_numbers(text)), None)


def _counts(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    return tuple(map(int, parts)) if all(_is_count(part) for part in parts) else ()


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= MOST_AXES


def _overrides(text: str) -> Overrides | None:
    percents = _counts(text)
    return Overrides(*percents) if len(percents) == 3 else None


def _letters(text: str) -> str:
    return "".join(each for each in text if each.isascii() and each.isalnum())
