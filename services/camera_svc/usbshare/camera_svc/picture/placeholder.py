"""The placeholder for the picture of a camera that delivers none, with the reason."""

from __future__ import annotations

import textwrap
from datetime import datetime

import cv2
import numpy as np

from usbshare.camera_svc.picture.frame import Pixels

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_DARK, _BRIGHT, _AMBER = (40, 36, 34), (235, 235, 235), (60, 170, 250)
_SMALLEST, _LARGEST = (160, 120), (1920, 1080)
_LETTERS_ACROSS, _MOST_LINES = 44, 8
_LINE = 40  # pixels at a scale of 1
_QUALITY = 85


def placeholder(width: int, height: int, text: str, last_good: datetime | None) -> bytes:
    """Return a JPEG that shows the text and the time of the last good frame, in its own zone.

    The size is brought within bounds, so that every camera's is allowed.
    """
    size = [
        min(max(side, least), most)
        for side, least, most in zip((width, height), _SMALLEST, _LARGEST, strict=True)
    ]
    pixels: Pixels = np.full((size[1], size[0], 3), _DARK, np.uint8)
    _write(pixels, [*_lines(text), "", _last_seen(last_good)])
    _, jpeg = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return jpeg.tobytes()


def _lines(text: str) -> list[str]:
    readable = text.encode("ascii", "replace").decode()  # the font has no other letters
    lines = textwrap.wrap(readable, _LETTERS_ACROSS, max_lines=_MOST_LINES, placeholder=" ...")
    return lines or ["no picture"]


def _last_seen(last_good: datetime | None) -> str:
    if last_good is None:
        return "no picture yet"
    return f"last picture {last_good:%Y-%m-%d %H:%M:%S %Z}".rstrip()


def _write(pixels: Pixels, lines: list[str]) -> None:
    height, width = pixels.shape[:2]
    scale = _scale(lines, width, height)
    step, top = _LINE * scale, (height - _LINE * scale * len(lines)) / 2
    for number, line in enumerate(lines):
        where = (round(0.05 * width), round(top + step * (number + 0.75)))
        colour = _AMBER if number == 0 else _BRIGHT
        cv2.putText(pixels, line, where, _FONT, scale, colour, _thickness(scale), cv2.LINE_AA)


def _scale(lines: list[str], width: int, height: int) -> float:
    """Return the largest scale at which all lines fit; their widths do not grow evenly with it."""
    scale = min(0.8 * height / (len(lines) * _LINE), height / 400)
    while max(_width(line, scale) for line in lines) > 0.9 * width:
        scale *= 0.9
    return scale


def _width(line: str, scale: float) -> int:
    return cv2.getTextSize(line, _FONT, scale, _thickness(scale))[0][0]


def _thickness(scale: float) -> int:
    return max(1, round(1.5 * scale))
