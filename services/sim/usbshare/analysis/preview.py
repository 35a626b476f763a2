"""Draws the tool path: a PNG for people, JSON for programs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import TextIO

from PIL import Image, ImageDraw

from usbshare.analysis.preview_view import View, draw_scale, view_of
from usbshare.analysis.records import Box
from usbshare.analysis.tool_path import ToolPath

DEFAULT_WIDTH_PX = 1024
WIDTHS_PX = (64, 4096)
_WHITE, _OUTSIDE = (255, 255, 255), (236, 236, 236)
_BED, _TRAVEL, _DONE, _BOX = (120, 120, 120), (165, 170, 178), (150, 185, 150), (70, 120, 200)
# Of the least and the most power.
_FAINT, _STRONG = (248, 196, 160), (120, 0, 0)
_SHADES = 64

Color = tuple[int, int, int]


def png(path: ToolPath, *, width_px: int = 0, from_line: int = 0, title: str = "") -> bytes:
    """Return a picture, `width_px` or 1024 wide; lines before `from_line` are drawn as done."""
    width_px = min(max(width_px or DEFAULT_WIDTH_PX, WIDTHS_PX[0]), WIDTHS_PX[1])
    view = view_of(path.travel, path.box, width_px)
    image = Image.new("RGB", (view.drawn_width, view.drawn_height), _OUTSIDE)
    draw = ImageDraw.Draw(image)
    _draw_bed(draw, view, path.travel)
    if path.box is not None:
        draw.rectangle(view.rectangle(path.box), outline=_BOX, width=view.oversampling)
    _draw_segments(draw, view, path, from_line)
    image = image.resize((view.width_px, view.height_px), Image.Resampling.BOX)
    draw_scale(ImageDraw.Draw(image), view, _caption(path, title))
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def write_json(path: ToolPath, file: TextIO) -> None:
    """Write box and segments, millimetres and power from 0 to 1, a segment at a time."""
    box = path.box
    corners = [*box.low[:2], *box.high[:2]] if box is not None else None
    file.write(f'{{"box": {json.dumps(corners)}, "is_cut": {json.dumps(path.is_cut)}, ')
    file.write('"segments": [')
    separator = ""
    for x0, y0, x1, y1, power, line in path.segments():
        file.write(f"{separator}[{x0:.3f},{y0:.3f},{x1:.3f},{y1:.3f},{power:.3f},{line}]")
        separator = ",\n"
    file.write("]}\n")


def _draw_bed(draw: ImageDraw.ImageDraw, view: View, travel: Box | None) -> None:
    if travel is None:
        draw.rectangle((0, 0, view.drawn_width, view.drawn_height), fill=_WHITE)
    else:
        corners, width = view.rectangle(travel), 2 * view.oversampling
        draw.rectangle(corners, fill=_WHITE, outline=_BED, width=width)


def _draw_segments(draw: ImageDraw.ImageDraw, view: View, path: ToolPath, from_line: int) -> None:
    """Draw dark moves first, so that none hides what is burnt."""
    thin, wide = max(1, view.oversampling // 2), view.oversampling
    for at, power, line in _placed(view, path):
        if power <= 0:
            draw.line(at, fill=_DONE if line < from_line else _TRAVEL, width=thin)
    shades = [_shade(number / _SHADES) for number in range(_SHADES + 1)]
    for at, power, line in _placed(view, path):
        if power > 0:
            color = _DONE if line < from_line else shades[round(power * _SHADES)]
            draw.line(at, fill=color, width=wide)


def _placed(
    view: View, path: ToolPath
) -> Iterator[tuple[tuple[float, float, float, float], float, int]]:
    scale, left, top = view.scale, view.left, view.top
    for x0, y0, x1, y1, power, line in path.segments():
        at = ((x0 - left) * scale, (top - y0) * scale, (x1 - left) * scale, (top - y1) * scale)
        yield at, power, line


def _shade(power: float) -> Color:
    red, green, blue = (
        round(faint + (strong - faint) * power)
        for faint, strong in zip(_FAINT, _STRONG, strict=True)
    )
    return red, green, blue


def _caption(path: ToolPath, title: str) -> str:
    if path.box is None:
        return f"{title} contains no moves".strip()
    width, height = (path.box.high[axis] - path.box.low[axis] for axis in (0, 1))
    cut = " (the first moves only)" if path.is_cut else ""
    return f"{title} {width:.1f} x {height:.1f} mm{cut}".strip()
