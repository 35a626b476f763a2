"""Draws a laser bed: rulers, a head that moves, frame number and clock, as text and as a code."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import cv2
import numpy as np

from usbshare.camera_svc.picture.frame import Pixels
from usbshare.camera_svc.sim.bar_code import (
    COLUMNS,
    LEFT,
    SQUARES_ACROSS,
    TOP,
    paint_stamp,
    read_stamp,
)

__all__ = ["BedLight", "SimBed", "read_stamp"]

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK = (235, 235, 235)
_PANEL = (16, 16, 16)
_CHARACTERS = "0123456789:. #"
_BED_MM = 600
_LAP_X_S, _LAP_Y_S = 7.0, 4.1


@dataclass(frozen=True, slots=True)
class BedLight:
    """How the camera is set: factors of 1 are neutral, blur in 720th parts of the height."""

    brightness: float = 1.0
    warmth: float = 1.0
    blur: float = 0.0


class SimBed:
    """Draws pictures of one size; everything static is drawn once.

    `light` may be called from any thread, `draw` from one.
    """

    def __init__(self, width: int, height: int) -> None:
        self._width = width
        self._height = height
        self._square = width / SQUARES_ACROSS
        self._letters = _letters(max(6, round(1.2 * self._square)))
        self._unlit = _bed(width, height)
        self._background = self._lit(BedLight())

    def light(self, light: BedLight) -> None:
        """Show the bed in another light from the next picture on; takes some ms."""
        self._background = self._lit(light)

    def draw(self, frame: int, unix_ms: int) -> Pixels:
        """Return a new picture with the head where it is at that time."""
        pixels = self._background.copy()
        self._draw_head(pixels, unix_ms / 1000)
        paint_stamp(pixels, frame, unix_ms)
        clock = time.strftime("%H:%M:%S", time.gmtime(unix_ms // 1000))
        self._write(pixels, f"{clock}.{unix_ms % 1000:03d} #{frame}")
        return pixels

    def _lit(self, light: BedLight) -> Pixels:
        sigma = light.blur * self._height / 720
        blurred = cv2.GaussianBlur(self._unlit, (0, 0), sigma) if sigma > 0 else self._unlit
        factors = np.array([1 / light.warmth, 1.0, light.warmth]) * light.brightness
        lit = np.clip(blurred * factors.astype(np.float32), 0, 255).astype(np.uint8)
        lit[: round((TOP + 4) * self._square)] = _PANEL
        where = (round((LEFT + COLUMNS + 1) * self._square), round(1.4 * self._square))
        cv2.putText(lit, "simulated bed", where, _FONT, self._square / 40, _INK, 1, cv2.LINE_AA)
        return lit

    def _draw_head(self, pixels: Pixels, at_s: float) -> None:
        top, side = round((TOP + 4) * self._square), self._square
        x = round(self._width * (0.5 + 0.4 * math.sin(2 * math.pi * at_s / _LAP_X_S)))
        middle, reach = (top + self._height) / 2, (self._height - top) / 2 - 3 * side
        y = round(middle + reach * math.sin(2 * math.pi * at_s / _LAP_Y_S))
        beam, head = max(1, round(side / 2)), max(2, round(1.5 * side))
        pixels[top:, x - beam : x + beam] = (150, 150, 140)
        pixels[y - head : y + head, x - head : x + head] = (60, 60, 70)
        cv2.circle(pixels, (x, y), max(1, round(side / 3)), (40, 40, 255), cv2.FILLED)

    def _write(self, pixels: Pixels, text: str) -> None:
        left, top = round((LEFT + COLUMNS + 1) * self._square), round(1.7 * self._square)
        for character in text:
            letter = self._letters[character]
            height, width = letter.shape[:2]
            if left + width > self._width:
                return
            pixels[top : top + height, left : left + width] = letter
            left += width


def _letters(height: int) -> dict[str, Pixels]:
    """Draw each character once: drawing text each time would cost more than the rest."""
    scale = cv2.getFontScaleFromHeight(_FONT, height)
    widest = max(cv2.getTextSize(letter, _FONT, scale, 1)[0][0] for letter in _CHARACTERS)
    return {letter: _letter(letter, widest, height, scale) for letter in _CHARACTERS}


def _letter(letter: str, width: int, height: int, scale: float) -> Pixels:
    box: Pixels = np.full((round(1.5 * height), width, 3), _PANEL, np.uint8)
    cv2.putText(box, letter, (0, round(1.2 * height)), _FONT, scale, _INK, 1, cv2.LINE_AA)
    return box


def _bed(width: int, height: int) -> Pixels:
    """Draw a slatted bed with a workpiece and a ruler along two sides."""
    noise = np.random.default_rng(seed=1).normal(0, 3, (height, width, 1))
    bed = np.clip(np.full((height, width, 3), (86, 90, 92)) + noise, 0, 255).astype(np.uint8)
    mm = width / _BED_MM
    for x in range(0, width, max(4, round(12 * mm))):
        cv2.line(bed, (x, 0), (x, height), (62, 64, 66), max(1, round(2 * mm)))
    _draw_workpiece(bed, width, height)
    _draw_rulers(bed, width, height, mm)
    return bed


def _draw_workpiece(bed: Pixels, width: int, height: int) -> None:
    corner, other = (width // 5, height // 3), (width * 3 // 5, height * 4 // 5)
    cv2.rectangle(bed, corner, other, (120, 165, 200), cv2.FILLED)
    cv2.rectangle(bed, corner, other, (60, 90, 120), max(1, width // 640))
    middle = ((corner[0] + other[0]) // 2, (corner[1] + other[1]) // 2)
    for part in range(2, 9):
        cv2.circle(bed, middle, height * part // 50, (50, 75, 110), max(1, width // 960))


def _draw_rulers(bed: Pixels, width: int, height: int, mm: float) -> None:
    bottom, scale = height - 1, max(0.3, width / 2560)
    for mark in range(0, _BED_MM, 10):
        at, is_long = round(mark * mm), mark % 50 == 0
        length = round((16 if is_long else 8) * mm)
        cv2.line(bed, (at, bottom), (at, bottom - length), _INK, 1)
        cv2.line(bed, (0, bottom - at), (length, bottom - at), _INK, 1)
        if is_long and mark:
            cv2.putText(bed, str(mark), (at + 2, bottom - length), _FONT, scale, _INK, 1)
            cv2.putText(bed, str(mark), (length, bottom - at - 2), _FONT, scale, _INK, 1)
