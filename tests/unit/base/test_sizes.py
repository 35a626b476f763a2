"""Sizes of data for people."""

from __future__ import annotations

import pytest

from usbshare.base.sizes import part_text, size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (95_800, "95.8 kB"),
        (2_000_000_000, "2.0 GB"),
    ],
)
def test_a_size_has_the_unit_in_which_it_is_short(size: int, text: str) -> None:
    assert size_text(size) == text


def test_a_part_is_told_in_the_unit_of_the_whole() -> None:
    assert part_text(31, 31) == "31 of 31 bytes"
    assert part_text(0, 1_500_000) == "0.0 of 1.5 MB"
    assert part_text(512, 2048) == "0.5 of 2.0 kB"
