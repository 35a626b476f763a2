"""Waits between attempts to connect."""

from __future__ import annotations

import random

from usbshare.base.backoff import FIRST_S, LONGEST_S, Backoff


def test_waits_double_up_to_the_longest_and_start_again_after_a_success() -> None:
    backoff = Backoff(lambda: 1.0)
    waits = [backoff.next_s() for _ in range(8)]
    assert waits[:3] == [FIRST_S, FIRST_S * 2, FIRST_S * 4]
    assert waits[-1] == LONGEST_S
    backoff.reset()
    assert backoff.next_s() == FIRST_S


def test_jitter_takes_away_half_a_wait_at_most() -> None:
    backoff = Backoff(random.Random(1).random)
    for attempt in range(20):
        longest = min(LONGEST_S, FIRST_S * 2**attempt)
        assert longest / 2 <= backoff.next_s() <= longest
