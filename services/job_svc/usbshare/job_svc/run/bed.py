"""Whether a job stays within its machine's travel, by the work zero that the machine has now. Pure.

GRBL's machine space is negative ($130 to $132 from 0 down) whatever its homing direction ($23) and
pull-off ($27); built with HOMING_FORCE_SET_ORIGIN it may be positive, which no setting says
(gnea/grbl grbl/system.c, system_check_travel_limits). On which side of 0 an axis is says which it
is; with soft limits on ($20) that is certain, and GRBL raises ALARM:2 for what leaves.
"""

from __future__ import annotations

from dataclasses import dataclass

from usbshare.analysis.extent import TOLERANCE_MM
from usbshare.analysis.records import Analysis, Box, MachineFacts
from usbshare.base.errors import WrongStateError

_AXES = "XYZ"
_SOFT_LIMITS, _HOMING, _FIRST_TRAVEL = 20, 22, 130


@dataclass(frozen=True, slots=True)
class Standing:
    """What a machine says before a job: its facts, which coordinate system is active, its place.

    `position` is in millimetres of machine coordinates, empty where it is not known.
    """

    facts: MachineFacts
    system: str = ""
    position: tuple[float, ...] = ()


def require_on_bed(analysis: Analysis, machine: Standing) -> str:
    """Return what a person should know of a job that starts, empty for nothing.

    Raises WrongStateError for a job that GRBL's soft limits would end with ALARM:2.
    """
    settings = machine.facts.settings
    if analysis.box is None or not settings.get(_HOMING):
        return ""
    if why := _why_unknown(analysis, machine):
        return f"not compared with the machine's travel: {why}"
    certain: list[str] = []
    said: list[str] = []
    for axis, name in enumerate(_AXES):
        if beyond := _beyond(analysis.box, axis, machine):
            is_certain = settings.get(_SOFT_LIMITS) and name not in analysis.relative_axes
            (certain if is_certain else said).append(beyond)
    if certain:
        raise WrongStateError(
            f"the job leaves the machine's travel: {'; '.join(certain)}. GRBL would end it there "
            "with ALARM:2 (soft limits, $20): set the work zero elsewhere, or start it despite "
            "errors"
        )
    return f"it may leave the machine's travel: {'; '.join(said)}" if said else ""


def _why_unknown(analysis: Analysis, machine: Standing) -> str:
    if machine.facts.work_offset is None:
        return "the machine did not report its work zero"
    if other := [each for each in analysis.zero_words if each != machine.system]:
        return f"the program uses other zeros or machine coordinates ({', '.join(other)})"
    if at_zero := [
        name
        for axis, name in enumerate(_AXES)
        if _is_named(analysis.box, axis) and _space(machine, axis) is None
    ]:
        return f"at machine 0 of {', '.join(at_zero)}, the travel may be on either side"
    return ""


def _beyond(box: Box, axis: int, machine: Standing) -> str:
    """Return how far a job goes beyond the travel of an axis, empty if it does not."""
    space, offset, name = _space(machine, axis), machine.facts.work_offset, _AXES[axis]
    if space is None or offset is None:
        return ""
    low, high = space
    for work in (box.high[axis], box.low[axis]):
        reached = work + offset[axis]
        by = max(reached - high, low - reached)
        if by > TOLERANCE_MM and abs(work) > TOLERANCE_MM:  # 0 is also what no word names
            return (
                f"{name} {work:.1f} is {by:.1f} mm beyond its end (machine {name} {reached:.1f}, "
                f"travel {low:.1f} to {high:.1f})"
            )
    return ""


def _space(machine: Standing, axis: int) -> tuple[float, float] | None:
    """Return the travel of an axis in machine coordinates, None where it is not known."""
    travel = machine.facts.settings.get(_FIRST_TRAVEL + axis)
    if travel is None or len(machine.position) <= axis:
        return None
    at = machine.position[axis]
    if not TOLERANCE_MM < abs(at) <= travel + TOLERANCE_MM:
        return None
    return (-travel, 0.0) if at < 0 else (0.0, travel)


def _is_named(box: Box | None, axis: int) -> bool:
    return box is not None and max(abs(box.low[axis]), abs(box.high[axis])) > TOLERANCE_MM
