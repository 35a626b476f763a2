"""A JPEG is told from what is none without decoding it, and the message says what is wrong."""

from __future__ import annotations

from contextlib import suppress

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.cameras import (
    GARBAGE,
    decoded,
    encoded,
    jpeg_of,
    noisy_jpeg,
    says_size,
    truncated,
    without_tables,
)
from usbshare.camera_svc.picture.jpeg import BadPictureError, check_jpeg, complete, outline_of

NOISY = noisy_jpeg()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (320, 240), (1921, 1079)])
def test_the_size_is_read_from_the_picture(width: int, height: int) -> None:
    assert check_jpeg(jpeg_of(width, height)) == (width, height)


@pytest.mark.parametrize(
    "settings_of_encoder",
    [
        [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        [cv2.IMWRITE_JPEG_RST_INTERVAL, 4],
        [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
        [cv2.IMWRITE_JPEG_QUALITY, 100],
    ],
)
def test_every_kind_of_jpeg_is_one(settings_of_encoder: list[int]) -> None:
    pixels = decoded(NOISY)
    _, jpeg = cv2.imencode(".jpg", pixels, settings_of_encoder)
    assert check_jpeg(jpeg.tobytes()) == (320, 240)


def test_an_8k_picture_is_one() -> None:
    assert check_jpeg(jpeg_of(7680, 4320)) == (7680, 4320)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (GARBAGE, "begins with 0001"),
        (b"\xff\xd8\xff\xd9", "before its image data"),
        (truncated(NOISY), "cut off"),
        (NOISY[:-2], "no end marker"),
        (NOISY[:30], "cut off"),
        (truncated(NOISY) + NOISY, "another begins inside it"),
        (says_size(NOISY, 0, 0), "size is 0x0"),
        (says_size(NOISY, 320, 0), "size is 320x0"),
        (says_size(NOISY, 65000, 65000), "65000x65000, more than 64 megapixels"),
        (NOISY[:2] + GARBAGE, "where a marker must be"),
    ],
)
def test_bytes_that_are_not_a_picture_are_refused_with_the_reason(data: bytes, says: str) -> None:
    with pytest.raises(BadPictureError, match=says):
        check_jpeg(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_do_more_than_raise(data: bytes) -> None:
    for start in (b"", NOISY[:2], NOISY[:200], NOISY[:700]):
        with suppress(BadPictureError):  # an end marker makes a picture of the last
            check_jpeg(start + data)


@given(st.integers(min_value=0, max_value=len(NOISY) - 1))
def test_no_beginning_of_a_picture_is_a_picture(size: int) -> None:
    with pytest.raises(BadPictureError):
        check_jpeg(NOISY[:size])


def test_pictures_one_after_the_other_are_found_by_their_ends() -> None:
    first, second = jpeg_of(64, 48), jpeg_of(32, 24)
    outline = outline_of(first + second)
    assert outline.end == len(first)
    assert outline_of(first + second, outline.end).width == 32


def test_a_whole_picture_is_passed_on_as_the_same_object() -> None:
    assert complete(NOISY, outline_of(NOISY)) is NOISY


def test_padding_is_cut() -> None:
    padded = NOISY + bytes(1000)
    assert complete(padded, outline_of(padded)) == NOISY


def test_a_picture_without_huffman_tables_gets_those_that_it_means() -> None:
    pixels = np.random.default_rng(3).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    jpeg = encoded(pixels)
    bare = without_tables(jpeg)
    assert len(bare) < len(jpeg)
    assert b"\xff\xc4" not in bare[:700]
    completed = complete(bare, outline_of(bare))
    assert np.array_equal(decoded(completed), decoded(jpeg))
