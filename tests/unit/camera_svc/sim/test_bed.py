"""The simulated bed moves, and its frame number and clock are read back from its picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.cameras import decoded, encoded
from usbshare.camera_svc.picture.jpeg import BadPictureError
from usbshare.camera_svc.sim.bed import BedLight, SimBed, read_stamp

NOON_MS = 1_763_726_400_123
BED = SimBed(1280, 720)


@pytest.mark.parametrize("quality", [30, 80])
@pytest.mark.parametrize("size", [(160, 120), (640, 480), (1280, 720), (1366, 768), (1920, 1080)])
def test_the_stamp_survives_encoding(size: tuple[int, int], quality: int) -> None:
    picture = SimBed(*size).draw(77, NOON_MS)
    assert read_stamp(decoded(encoded(picture, quality))) == (77, NOON_MS)


@pytest.mark.parametrize("width", [960, 640, 426, 320, 200])
def test_the_stamp_survives_scaling(width: int) -> None:
    size = (width, width * 9 // 16)
    small = cv2.resize(BED.draw(77, NOON_MS), size, interpolation=cv2.INTER_AREA)
    assert read_stamp(decoded(encoded(small, 30))) == (77, NOON_MS)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**43))
def test_every_number_and_time_is_read_back(frame: int, unix_ms: int) -> None:
    small = SimBed(160, 120)
    assert read_stamp(small.draw(frame, unix_ms)) == (frame, unix_ms)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((720, 1280, 3), np.uint8),
        np.full((720, 1280, 3), 255, np.uint8),
        np.random.default_rng(5).integers(0, 255, (720, 1280, 3), dtype=np.uint8),
        np.zeros((2, 2, 3), np.uint8),
        BED.draw(1, NOON_MS)[:, 300:],
    ],
    ids=["black", "white", "noise", "tiny", "cut"],
)
def test_a_picture_without_a_stamp_has_none(pixels: np.ndarray) -> None:
    with pytest.raises(BadPictureError):
        read_stamp(pixels)


def test_the_head_moves() -> None:
    before, after = BED.draw(1, NOON_MS), BED.draw(1, NOON_MS + 500)
    assert (before[150:] != after[150:]).any()


def test_pictures_do_not_share_their_pixels() -> None:
    first = BED.draw(1, NOON_MS)
    copy = first.copy()
    BED.draw(2, NOON_MS + 40)
    assert np.array_equal(first, copy)


def test_the_stamp_is_read_in_any_light() -> None:
    bed = SimBed(640, 360)
    bright = bed.draw(1, NOON_MS)[200:].mean()
    bed.light(BedLight(brightness=0.2, warmth=0.7, blur=6))
    dark = bed.draw(2, NOON_MS)
    assert dark[200:].mean() < bright
    assert read_stamp(dark) == (2, NOON_MS)
