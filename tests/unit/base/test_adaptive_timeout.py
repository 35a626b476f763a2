"""A deadline for silence that follows the round trip."""

from __future__ import annotations

import asyncio

import pytest

from usbshare.base.adaptive_timeout import ROUND_TRIPS, Patience


async def test_silence_is_waited_for_no_longer_than_it_was_asked() -> None:
    patience = Patience(0.05)
    assert 0 < patience.left_s <= 0.05
    await asyncio.sleep(0.06)
    assert patience.left_s == 0


async def test_a_host_that_answers_slowly_is_waited_for_longer() -> None:
    patience = Patience(2.0)
    patience.answered(1.2)
    assert patience.left_s == pytest.approx(ROUND_TRIPS * 1.2, abs=0.5)


async def test_a_host_that_answers_at_once_shortens_nothing() -> None:
    patience = Patience(2.0)
    patience.answered(0.0001)
    assert patience.left_s == pytest.approx(2.0, abs=0.5)


async def test_something_near_that_answers_for_a_far_host_ends_no_patience() -> None:
    patience = Patience(2.0, then_s=6.0)
    patience.answered(0.0001)
    assert patience.left_s == pytest.approx(6.0, abs=0.5)
