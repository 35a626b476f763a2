"""The part of the plane that a preview shows, and its scale in millimetres."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PIL import ImageDraw, ImageFont

from usbshare.analysis.records import Box

_LARGEST_OVERSAMPLED_PX = 2048
_OVERSAMPLING = 2
_TEXT, _TICK = (60, 60, 60), (110, 110, 110)
_ZERO = (30, 60, 160)
# Of a picture's width: room for ticks and numbers at the left and below, and a margin elsewhere.
_LEFT, _BELOW, _MARGIN = 0.06, 0.04, 0.02
_LEAST_LETTER_PX = 8.0
_TALLEST, _FLATTEST = 1.5, 0.3
_EMPTY_MM = 100.0


@dataclass(frozen=True, slots=True)
class View:
    """A picture's mapping: millimetres to the larger picture that is drawn and then reduced."""

    width_px: int
    height_px: int
    oversampling: int
    scale: float
    left: float
    top: float

    @property
    def drawn_width(self) -> int:
        """How wide the larger picture is."""
        return self.width_px * self.oversampling

    @property
    def drawn_height(self) -> int:
        """How high it is."""
        return self.height_px * self.oversampling

    def rectangle(self, box: Box) -> tuple[float, float, float, float]:
        """Return where a box is in the larger picture: left, top, right, bottom."""
        return (
            (box.low[0] - self.left) * self.scale,
            (self.top - box.high[1]) * self.scale,
            (box.high[0] - self.left) * self.scale,
            (self.top - box.low[1]) * self.scale,
        )

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the position of a point in the finished picture."""
        scale = self.scale / self.oversampling
        return (x - self.left) * scale, (self.top - y) * scale


def view_of(travel: Box | None, box: Box | None, width_px: int) -> View:
    """Return a view that shows the bed and all moves; its height follows from them."""
    x0, y0, x1, y1 = _shown(travel, box)
    left, below, margin = width_px * _LEFT, width_px * _BELOW, width_px * _MARGIN
    inner = width_px - left - margin
    scale = inner / (x1 - x0)
    around = below + 2 * margin
    height = (y1 - y0) * scale + around
    if height > width_px * _TALLEST:
        height = width_px * _TALLEST
        scale = (height - around) / (y1 - y0)
    height = max(height, width_px * _FLATTEST)
    spare_x = (inner / scale - (x1 - x0)) / 2
    spare_y = ((height - around) / scale - (y1 - y0)) / 2
    factor = _OVERSAMPLING if width_px <= _LARGEST_OVERSAMPLED_PX else 1
    return View(
        width_px,
        round(height),
        factor,
        scale * factor,
        x0 - spare_x - left / scale,
        y1 + spare_y + 2 * margin / scale,
    )


def draw_scale(draw: ImageDraw.ImageDraw, view: View, caption: str) -> None:
    """Draw ticks with millimetres at the left and below, the work zero, and a caption."""
    letter = max(_LEAST_LETTER_PX, view.width_px / 80)
    font = ImageFont.load_default(letter)
    tick = letter / 2
    per_px = view.oversampling / view.scale
    step = _step(7 * letter * per_px)
    bottom, left = view.height_px - view.width_px * _BELOW, view.width_px * _LEFT
    for number in _multiples(view.left + left * per_px, view.left + view.width_px * per_px, step):
        x, _ = view.at(number, 0)
        draw.line((x, bottom, x, bottom + tick), fill=_TICK)
        draw.text((x, bottom + tick), f"{number:g}", fill=_TEXT, font=font, anchor="ma")
    for number in _multiples(view.top - bottom * per_px, view.top, step):
        _, y = view.at(0, number)
        draw.line((left - tick, y, left, y), fill=_TICK)
        draw.text((left - 1.5 * tick, y), f"{number:g}", fill=_TEXT, font=font, anchor="rm")
    _draw_zero(draw, view, letter)
    draw.text((left, letter / 3), caption, fill=_TEXT, font=font)


def _draw_zero(draw: ImageDraw.ImageDraw, view: View, size: float) -> None:
    x, y = view.at(0, 0)
    half = size / 2
    draw.line((x - half, y, x + half, y), fill=_ZERO)
    draw.line((x, y - half, x, y + half), fill=_ZERO)


def _shown(travel: Box | None, box: Box | None) -> tuple[float, float, float, float]:
    boxes = [each for each in (travel, box) if each is not None]
    if not boxes:
        return 0.0, 0.0, _EMPTY_MM, _EMPTY_MM
    x0, y0 = (min(each.low[axis] for each in boxes) for axis in (0, 1))
    x1, y1 = (max(each.high[axis] for each in boxes) for axis in (0, 1))
    size = max(x1 - x0, y1 - y0, 1.0)
    return x0, y0, max(x1, x0 + size / 100), max(y1, y0 + size / 100)


def _step(least: float) -> float:
    """Return 1, 2 or 5 times a power of ten that is not less."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)


def _multiples(low: float, high: float, step: float) -> list[float]:
    first = math.ceil(low / step)
    return [round(number * step, 6) for number in range(first, math.floor(high / step) + 1)]
