"""The picture that stands in for a camera is a JPEG of a sensible size with text on it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fakes.cameras import decoded
from usbshare.camera_svc.picture.jpeg import check_jpeg
from usbshare.camera_svc.picture.placeholder import placeholder

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ((1280, 720), (1280, 720)),
        ((640, 480), (640, 480)),
        ((0, 0), (160, 120)),
        ((7680, 4320), (1920, 1080)),
    ],
)
def test_a_placeholder_has_the_cameras_size_within_bounds(
    asked: tuple[int, int], given: tuple[int, int]
) -> None:
    assert check_jpeg(placeholder(*asked, "unplugged", NOON)) == given


def test_a_placeholder_shows_the_reason_and_the_time() -> None:
    unplugged = placeholder(640, 480, "unplugged", NOON)
    assert unplugged != placeholder(640, 480, "held by obs", NOON)
    assert unplugged != placeholder(640, 480, "unplugged", NOON.replace(hour=13))
    assert unplugged != placeholder(640, 480, "unplugged", None)


@pytest.mark.parametrize("text", ["", "word " * 300, "x" * 5000, "Gerät ☃ gone", "two\nlines"])
def test_no_text_runs_over_the_edge(text: str) -> None:
    pixels = decoded(placeholder(640, 480, text, NOON))
    assert pixels.max() > 200
    edges = (pixels[:4], pixels[-4:], pixels[:, :4], pixels[:, -4:])
    assert all(edge.max() < 80 for edge in edges)
