"""A frame number and a clock as black and white squares, to be read back from the picture."""

from __future__ import annotations

import binascii

import cv2
import numpy as np

from usbshare.camera_svc.picture.frame import Pixels
from usbshare.camera_svc.picture.jpeg import BadPictureError

# All lengths are in squares, whose side is a 64th of the width: the code shrinks with the picture.
SQUARES_ACROSS = 64
COLUMNS, ROWS = 32, 3
LEFT = TOP = 1

_BLACK, _WHITE = 16, 235
_MAGIC, _MAGIC_BITS = 0b1010, 4
_FRAME_BITS, _TIME_BITS, _CHECK_BITS = 32, 44, 16
_BITS = _MAGIC_BITS + _FRAME_BITS + _TIME_BITS + _CHECK_BITS


def paint_stamp(pixels: Pixels, frame: int, unix_ms: int) -> None:
    """Draw frame number (modulo 2**32) and Unix time into the picture's upper left corner."""
    payload = (frame % (1 << _FRAME_BITS)) << _TIME_BITS | unix_ms % (1 << _TIME_BITS)
    code = (_MAGIC << _FRAME_BITS + _TIME_BITS | payload) << _CHECK_BITS | _check(payload)
    bits = np.array([int(bit) for bit in f"{code:0{_BITS}b}"], np.uint8)
    squares = np.where(bits, _WHITE, _BLACK).astype(np.uint8).reshape(ROWS, COLUMNS)
    left, top, right, bottom = _area(pixels.shape[1])
    size = (right - left, bottom - top)
    grey = cv2.resize(squares, size, interpolation=cv2.INTER_NEAREST)
    pixels[top:bottom, left:right] = cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)


def read_stamp(pixels: Pixels) -> tuple[int, int]:
    """Return frame number and Unix time in ms from a picture of any size.

    Raises BadPictureError where the picture has no such code or it is blurred beyond reading.
    """
    left, top, right, bottom = _area(pixels.shape[1])
    grey = pixels[top:bottom, left:right].mean(axis=2) if pixels.ndim == 3 else pixels
    if grey.size == 0 or grey.shape != (bottom - top, right - left):
        raise BadPictureError(f"a picture of {pixels.shape} is too small to hold a stamp")
    squares = cv2.resize(grey.astype(np.float32), (COLUMNS, ROWS), interpolation=cv2.INTER_AREA)
    middle = (_BLACK + _WHITE) / 2
    return _decoded(int("".join("1" if value > middle else "0" for value in squares.flat), 2))


def _decoded(code: int) -> tuple[int, int]:
    payload = code >> _CHECK_BITS & (1 << _FRAME_BITS + _TIME_BITS) - 1
    magic, check = code >> _BITS - _MAGIC_BITS, code & (1 << _CHECK_BITS) - 1
    if magic != _MAGIC or check != _check(payload):
        raise BadPictureError("the picture has no readable stamp")
    return payload >> _TIME_BITS, payload & (1 << _TIME_BITS) - 1


def _check(payload: int) -> int:
    return binascii.crc_hqx(payload.to_bytes((_FRAME_BITS + _TIME_BITS + 7) // 8), 0xFFFF)


def _area(width: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom in pixels."""
    ends = (LEFT, TOP, LEFT + COLUMNS, TOP + ROWS)
    left, top, right, bottom = (round(end * width / SQUARES_ACROSS) for end in ends)
    return left, top, right, bottom
