"""Lengths of time in words."""

from __future__ import annotations

import pytest

from usbshare.base.durations import in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0.0 s"),
        (12.34, "12.3 s"),
        (59.4, "59.4 s"),
        (59.6, "1 min 00 s"),
        (245.0, "4 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7640.0, "2 h 07 min"),
    ],
)
def test_a_length_of_time_is_in_the_units_in_which_people_say_it(
    seconds: float, words: str
) -> None:
    assert in_words(seconds) == words
