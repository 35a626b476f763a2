"""A host that does not answer is told of once it has been silent for as long as a link may be."""

from __future__ import annotations

import asyncio

import pytest

from fakes.virtual_time import run_in_virtual_time
from usbshare.client.silence import LEAST_ANSWER_S, SILENT_S, Silence


async def asked(heard_before_s: float, answers_after_s: float) -> list[float]:
    """Return how long a host had been silent when that was told."""
    clock = asyncio.get_running_loop().time
    silence, told = Silence(clock), list[float]()
    silence.heard()
    heard_at = clock()
    await asyncio.sleep(heard_before_s)

    async def answer() -> str:
        await asyncio.sleep(answers_after_s)
        return "answer"

    found = await silence.told(answer(), lambda: told.append(round(clock() - heard_at, 2)))
    assert found == "answer"
    return told


@pytest.mark.parametrize(
    ("heard_before_s", "answers_after_s", "told"),
    [
        (0.0, SILENT_S - 0.1, []),
        (0.0, SILENT_S + 9.0, [SILENT_S]),
        (0.5, SILENT_S, [SILENT_S]),
        (60.0, LEAST_ANSWER_S - 0.1, []),  # it was not asked meanwhile
        (60.0, LEAST_ANSWER_S + 9.0, [60.0 + LEAST_ANSWER_S]),
    ],
)
def test_silence_is_told_once_and_the_answer_is_waited_for(
    heard_before_s: float, answers_after_s: float, told: list[float]
) -> None:
    assert run_in_virtual_time(asked(heard_before_s, answers_after_s)) == told


async def heard_meanwhile() -> None:
    silence, told = Silence(asyncio.get_running_loop().time), list[None]()

    async def look() -> None:
        for _ in range(5):
            silence.heard()
            await asyncio.sleep(SILENT_S - 0.1)

    await silence.told(look(), lambda: told.append(None))
    assert not told


def test_a_host_that_is_heard_while_it_is_asked_is_not_silent() -> None:
    run_in_virtual_time(heard_meanwhile())
