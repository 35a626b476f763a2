"""G2 and G3: the centre of an arc and the short lines that replace it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from usbshare.sim.planner import Vector
from usbshare.sim.status_codes import GcodeError, Status

# Axis numbers of a plane (G17, G18, G19): first, second and the one across.
# GRBL counts them in 16 bits.
MOST_CHORDS = 0xFFFF
PLANES = ((0, 1, 2), (2, 0, 1), (1, 2, 0))


@dataclass(frozen=True, slots=True)
class Arc:
    """An arc from the current position; the centre is relative to the start, in the plane."""

    target: Vector
    centre: tuple[float, float]
    clockwise: bool
    plane: int


def centre_by_radius(
    dx: float, dy: float, radius: float, *, clockwise: bool
) -> tuple[float, float]:
    """Return the centre of the R form, in mm; a negative radius means the longer arc.

    Raises GcodeError.
    """
    discriminant = 4 * radius * radius - dx * dx - dy * dy
    if discriminant < 0:
        raise GcodeError(Status.ARC_RADIUS_ERROR)
    height = -math.sqrt(discriminant) / math.hypot(dx, dy)
    if not clockwise:
        height = -height
    if radius < 0:
        height = -height
    return (dx - dy * height) / 2, (dy + dx * height) / 2


def check_centre(dx: float, dy: float, centre: tuple[float, float]) -> None:
    """Raise GcodeError if start and end (mm) are not equally far from the centre."""
    radius = math.hypot(*centre)
    error = abs(math.hypot(dx - centre[0], dy - centre[1]) - radius)
    if error > 0.5 or (error > 0.005 and error > 0.001 * radius):
        raise GcodeError(Status.INVALID_TARGET)


def chords(start: Vector, arc: Arc, tolerance: float) -> Iterator[Vector]:
    """Yield the end points of chords that stay within `tolerance` of the arc."""
    first, second, across = PLANES[arc.plane]
    angle = _angle(start, arc)
    radius = math.hypot(*arc.centre)
    sagitta = math.sqrt(max(tolerance * (2 * radius - tolerance), 1e-12))
    count = int(min(abs(angle * radius / 2) / sagitta, MOST_CHORDS))
    begin = math.atan2(-arc.centre[1], -arc.centre[0])
    for n in range(1, count):
        theta = begin + angle * n / count
        point = list(start)
        point[first] = start[first] + arc.centre[0] + radius * math.cos(theta)
        point[second] = start[second] + arc.centre[1] + radius * math.sin(theta)
        point[across] += (arc.target[across] - start[across]) * n / count
        yield (point[0], point[1], point[2])
    yield arc.target


def _angle(start: Vector, arc: Arc) -> float:
    first, second, _ = PLANES[arc.plane]
    rx, ry = -arc.centre[0], -arc.centre[1]
    tx = arc.target[first] - start[first] + rx
    ty = arc.target[second] - start[second] + ry
    angle = math.atan2(rx * ty - ry * tx, rx * tx + ry * ty)
    if arc.clockwise:
        return angle - 2 * math.pi if angle >= -5e-7 else angle
    return angle + 2 * math.pi if angle <= 5e-7 else angle
