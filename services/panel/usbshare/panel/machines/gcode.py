"""The lines of G-code that a panel sends for what a person asks; GRBL 1.1 and its relatives. Pure.

Jogs ($J) change no modal state and can be cancelled: gnea/grbl doc/markdown/jogging.md. They run
with the spindle or beam as a program left it (gcode.c: "planner data to current spindle"), so it is
switched off before. Else it is on only in G1 to G3, and with M4 only while moving:
doc/markdown/laser_mode.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

from usbshare.base.errors import InvalidArgumentError
from usbshare.panel.machines.machine_view import MOST_PULSE_PERCENT, MOST_PULSE_S

MOST_MM = 10_000.0
MOST_FEED = 100_000.0
LEAST_PULSE_S = 0.01
AXES = "XYZ"
JOG_CANCEL = b"\x85"
BEAM_OFF = "M5S0"
DARK = (BEAM_OFF, "G0")
HOME = "$H"
# grblHAL homes single axes too; both ignore spaces and case (protocol.c).
_HOMES = re.compile(r"\$H[A-Z]*", re.IGNORECASE)
# Bytes of overrides: 100 %, and up and down by 10 and by 1 (grbl/config.h).
_FEED = (0x90, 0x91, 0x92, 0x93, 0x94)
_SPINDLE = (0x99, 0x9A, 0x9B, 0x9C, 0x9D)
# The limits of pulses and lit frames are of what the beam has, not of what the program says.
SPINDLE_AS_PROGRAMMED = bytes((_SPINDLE[0],))
_RAPIDS = {100: 0x95, 50: 0x96, 25: 0x97}
_LEAST_PERCENT, _MOST_PERCENT = 10, 200


@dataclass(frozen=True, slots=True)
class Rectangle:
    """What a frame goes around, millimetres of work coordinates."""

    min_x: float
    min_y: float
    max_x: float
    max_y: float

    @property
    def corners(self) -> tuple[tuple[float, float], ...]:
        """The way around, back to its beginning."""
        first = (self.min_x, self.min_y)
        right, left = (self.max_x, self.min_y), (self.min_x, self.max_y)
        return (first, right, (self.max_x, self.max_y), left, first)


def is_homing(line: str) -> bool:
    """Return whether a line homes the machine."""
    return _HOMES.fullmatch("".join(line.split())) is not None


def relative_jog(x_mm: float, y_mm: float, z_mm: float, feed: float) -> str:
    """Return a jog by a distance in mm; InvalidArgumentError if it moves nothing."""
    words = "".join(
        f"{axis}{_millimetres(value, axis)}"
        for axis, value in zip(AXES, (x_mm, y_mm, z_mm), strict=True)
        if value
    )
    if not words:
        raise InvalidArgumentError("the jog moves nothing: give a distance of X, Y or Z")
    return f"$J=G21G91{words}F{_feed(feed)}"


def jog_to_zero(axes: str, feed: float) -> str:
    """Return a jog to the zero of the work coordinates."""
    return f"$J=G21G90{''.join(f'{axis}0' for axis in checked_axes(axes))}F{_feed(feed)}"


def set_zero(axes: str) -> str:
    """Return the line that makes the current position the work zero."""
    return f"G10L20P0{''.join(f'{axis}0' for axis in checked_axes(axes))}"


def dark_frame(box: Rectangle, feed: float) -> tuple[str, ...]:
    """Return the path around a box with the beam off."""
    speed = _feed(feed)
    jogs = (f"$J=G21G90X{_place(x)}Y{_place(y)}F{speed}" for x, y in _checked(box).corners)
    return (BEAM_OFF, *jogs)


def lit_frame(box: Rectangle, feed: float, percent: float, max_spindle: float) -> tuple[str, ...]:
    """Return lines around a box, the beam on while it moves; `max_spindle` is $30.

    Send `restored` after.
    """
    power = _power(percent, max_spindle)
    first, *others = _checked(box).corners
    lines = [f"G21G90G1X{_place(first[0])}Y{_place(first[1])}F{_feed(feed)}M4S0"]
    lines += [f"X{_place(x)}Y{_place(y)}S{power}" for x, y in others]
    return (*lines, *DARK)


def pulse(percent: float, seconds: float, max_spindle: float) -> tuple[str, ...]:
    """Return a pulse that ends by itself: all its lines go in one piece.

    Raises InvalidArgumentError beyond the limits, which no page can change.
    """
    if not LEAST_PULSE_S <= seconds <= MOST_PULSE_S:
        raise InvalidArgumentError(
            f"a pulse must last {LEAST_PULSE_S:g} to {MOST_PULSE_S:g} s, not {seconds:g} s"
        )
    power = _power(percent, max_spindle)
    return (
        "G1F100",
        f"M3S{power}",
        f"G4P{seconds:.3f}",
        *DARK,
    )


def override_bytes(
    now: tuple[int, int, int], feed: int | None, rapids: int | None, spindle: int | None
) -> bytes:
    """Return the bytes that change overrides from `now` to percentages; None leaves one.

    Raises InvalidArgumentError.
    """
    told = b""
    if feed is not None:
        told += _steps(now[0], feed, _FEED, "feed")
    if rapids is not None:
        if rapids not in _RAPIDS:
            raise InvalidArgumentError(f"rapids must be at 25, 50 or 100 %, not {rapids}")
        told += bytes((_RAPIDS[rapids],)) if rapids != now[1] else b""
    if spindle is not None:
        told += _steps(now[2], spindle, _SPINDLE, "spindle")
    return told


def checked_axes(axes: str) -> str:
    """Return axes in their order; raises InvalidArgumentError for others."""
    upper = axes.upper()
    if not upper or any(axis not in AXES for axis in upper):
        raise InvalidArgumentError(f"axes {axes!r}: give some of {AXES}")
    return "".join(axis for axis in AXES if axis in upper)


def restored(modes: Sequence[str]) -> tuple[str, ...]:
    """Return what puts units and distances back, where they were others than ours.

    `modes` are the words that the machine had in force, as `$G` tells them.
    """
    back = "".join(mode for mode in modes if mode in ("G20", "G91"))
    return (back,) if back else ()


def _steps(now: int, wanted: int, codes: Sequence[int], what: str) -> bytes:
    if not _LEAST_PERCENT <= wanted <= _MOST_PERCENT:
        raise InvalidArgumentError(
            f"{what} can be at {_LEAST_PERCENT} to {_MOST_PERCENT} %, not {wanted}"
        )
    if wanted == now:
        return b""
    if wanted == 100:
        return bytes((codes[0],))
    tens, ones = divmod(abs(wanted - now), 10)
    up = wanted > now
    return bytes((codes[1 if up else 2],)) * tens + bytes((codes[3 if up else 4],)) * ones


def _checked(box: Rectangle) -> Rectangle:
    if box.max_x <= box.min_x and box.max_y <= box.min_y:
        raise InvalidArgumentError("the box is empty: give box.maxXMm and box.maxYMm")
    return box


def _power(percent: float, max_spindle: float) -> str:
    if not 0 < percent <= MOST_PULSE_PERCENT:
        raise InvalidArgumentError(
            f"the power must be more than 0 and at most {MOST_PULSE_PERCENT:g} %, not {percent:g} %"
        )
    return f"{max_spindle * percent / 100:.3f}".rstrip("0").rstrip(".")


def _feed(feed: float) -> str:
    if not (isfinite(feed) and 0 < feed <= MOST_FEED):
        raise InvalidArgumentError(
            f"the feed must be more than 0 and at most {MOST_FEED:g} mm/min, not {feed:g}"
        )
    return f"{feed:.1f}".rstrip("0").rstrip(".")


def _millimetres(value: float, axis: str) -> str:
    if not (isfinite(value) and abs(value) <= MOST_MM):
        raise InvalidArgumentError(f"{axis} is at most {MOST_MM:g} mm, not {value:g}")
    return f"{value:.4f}".rstrip("0").rstrip(".")


def _place(value: float) -> str:
    return _millimetres(value, "the box")
