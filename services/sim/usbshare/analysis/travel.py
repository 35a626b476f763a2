"""The machine's travel ($130 to $132), and the findings for a job that exceeds it."""

from __future__ import annotations

import math

from usbshare.analysis.extent import TOLERANCE_MM, Extent
from usbshare.analysis.findings import Findings
from usbshare.analysis.records import Box, MachineFacts
from usbshare.sim.planner import Vector

_AXES = "XYZ"
_FIRST_TRAVEL_SETTING = 130
_SOFT_LIMITS = 20
_ORIGIN: Vector = (0.0, 0.0, 0.0)


class Travel:
    """A machine's travel, if it reported it.

    GRBL's travel goes from 0 to negative values; only a known work offset tells where that is in
    work coordinates. Without one the work zero is assumed to be the lower left corner of the bed,
    and nothing is assumed about Z.
    """

    def __init__(self, machine: MachineFacts | None) -> None:
        settings = machine.settings if machine is not None else {}
        numbers = [_FIRST_TRAVEL_SETTING + axis for axis in range(3)]
        self._known = machine is not None and machine.work_offset is not None
        self._soft_limits = bool(settings.get(_SOFT_LIMITS))
        self.zero = (machine.work_offset if machine is not None else None) or _ORIGIN
        self._sizes: Vector | None = None
        if all(number in settings for number in numbers):
            x, y, z = (settings[number] for number in numbers)
            self._sizes = (x, y, z)

    def in_machine_coordinates(self) -> Box | None:
        """Return the travel as the simulator's moves see it."""
        if self._sizes is None:
            return None
        x, y, z = self._sizes
        if self._known:
            return Box((-x, -y, -z), _ORIGIN)
        return Box((0.0, 0.0, -math.inf), (x, y, math.inf))

    def in_work_coordinates(self) -> Box | None:
        """Return the travel as it is shown."""
        if self._sizes is None:
            return None
        x, y, z = self._sizes
        if not self._known:
            return Box((0.0, 0.0, -z), (x, y, z))
        u, v, w = self.zero
        return Box((-x - u, -y - v, -z - w), (-u, -v, -w))

    def judge(self, extent: Extent, findings: Findings) -> None:
        """Add a finding for a job that leaves the travel."""
        box, travel = extent.box(self.zero), self.in_work_coordinates()
        if box is None or travel is None or self._sizes is None:
            return
        too_large = set()
        for axis, size in enumerate(self._sizes):
            span = box.high[axis] - box.low[axis]
            if span > size + 2 * TOLERANCE_MM:
                too_large.add(axis)
                findings.fail(
                    0,
                    f"the job spans {span:.1f} mm in {_AXES[axis]}; the machine has {size:.1f} mm "
                    f"(${_FIRST_TRAVEL_SETTING + axis})",
                )
        for (axis, side), line in sorted(extent.beyond.items(), key=lambda item: item[1]):
            if self._known or axis not in too_large:
                self._outside(findings, line, axis, _side(box, axis, side), travel)

    def _outside(
        self, findings: Findings, line: int, axis: int, reached: float, travel: Box
    ) -> None:
        text = (
            f"from this line on {_AXES[axis]} goes to {reached:.1f} mm; the machine reaches "
            f"{travel.low[axis]:.1f} to {travel.high[axis]:.1f} mm"
        )
        if self._known:
            findings.fail(line, text, "ALARM:2" if self._soft_limits else "")
        else:
            findings.warn(line, f"{text} if the work zero is at the corner of the bed")


def _side(box: Box, axis: int, side: int) -> float:
    return box.low[axis] if side < 0 else box.high[axis]
