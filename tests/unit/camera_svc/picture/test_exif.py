"""A picture that its EXIF turns is the same picture whichever way it takes."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from usbshare.camera_svc.picture.encode import EncodeCounters, Encoder, decode_jpeg
from usbshare.camera_svc.picture.exif import is_turned, orientation_of
from usbshare.camera_svc.picture.frame import Raw, Recipe, Stamp

AS_IT_IS, SMALLER, WORSE = Recipe(0, 0), Recipe(16, 80), Recipe(0, 50)


def jpeg(orientation: int | None, order: str = "<") -> bytes:
    """Return a picture of 64 by 32 whose left half is white, that is to be turned so."""
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:, :32] = 255
    out = io.BytesIO()
    exif = b""
    if orientation is not None:
        mark = b"II*\0" if order == "<" else b"MM\0*"
        entry = struct.pack(f"{order}HHIHH", 0x0112, 3, 1, orientation, 0)
        head = struct.pack(f"{order}IH", 8, 1)
        exif = b"Exif\0\0" + mark + head + entry + bytes(4)
    Image.fromarray(pixels).save(out, "jpeg", **({"exif": exif} if exif else {}))
    return out.getvalue()


def made(data: bytes, recipe: Recipe) -> np.ndarray:
    counters = EncodeCounters()
    picture = Encoder(counters).make(Raw(1, Stamp(0, 0), 64, 32, jpeg=data), recipe)
    pixels = np.array(Image.open(io.BytesIO(picture.data)).convert("L"))
    assert (picture.height, picture.width) == pixels.shape
    assert not is_turned(picture.data)
    return pixels > 127


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_read(orientation: int, order: str) -> None:
    data = jpeg(orientation, order)
    assert orientation_of(data) == orientation
    assert is_turned(data) == (orientation != 1)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_the_same_decoded_and_encoded_again(orientation: int) -> None:
    data = jpeg(orientation)
    shown = decode_jpeg(data)[:, :, 0] > 127
    assert shown.shape == ((64, 32) if orientation > 4 else (32, 64))
    for recipe in (AS_IT_IS, WORSE):
        assert np.array_equal(made(data, recipe), shown)
    small = made(data, SMALLER)
    assert small.shape == ((32, 16) if orientation > 4 else (8, 16))


@pytest.mark.parametrize("data", [jpeg(None), jpeg(1), jpeg(0), jpeg(9)])
def test_a_picture_that_is_not_rotated_passes_unchanged(data: bytes) -> None:
    counters = EncodeCounters()
    picture = Encoder(counters).make(Raw(1, Stamp(0, 0), 64, 32, jpeg=data), AS_IT_IS)
    assert picture.data == data
    assert counters.passed_frames == 1


@settings(deadline=None)
@given(st.integers(0, 120), st.binary(max_size=8))
def test_no_nonsense_in_it_does_harm(at: int, content: bytes) -> None:
    data = jpeg(6)
    assert 0 <= orientation_of(data[:at] + content + data[at + len(content) :]) <= 0xFFFF
    assert orientation_of(data[:at]) in {1, 6}
