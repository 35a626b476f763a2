"""One slot, any number of readers."""

from __future__ import annotations

import asyncio

from usbshare.client.camera.messages import Frame
from usbshare.client.camera.view import Newest


def frame(sequence: int, *, is_placeholder: bool = False) -> Frame:
    return Frame(sequence, 0.0, 0, 16, 16, b"", is_placeholder=is_placeholder)


async def test_a_slow_reader_gets_the_newest_only() -> None:
    newest = Newest()
    first = newest.put(frame(1), 0.0)
    for sequence in range(2, 10):
        newest.put(frame(sequence), 0.0)
    assert (await newest.after(first.number)).frame.sequence == 9


async def test_every_waiting_reader_is_woken() -> None:
    newest = Newest()
    readers = [asyncio.create_task(newest.after(0)) for _ in range(50)]
    await asyncio.sleep(0)
    newest.put(frame(7), 0.0)
    assert {(await each).frame.sequence for each in readers} == {7}


async def test_a_cancelled_reader_disturbs_no_other() -> None:
    newest = Newest()
    gone, waiting = (asyncio.create_task(newest.after(0)) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    newest.put(frame(7), 0.0)
    assert (await waiting).frame.sequence == 7


def test_a_placeholder_is_not_a_valid_picture() -> None:
    newest = Newest()
    good = newest.put(frame(1), 0.0)
    newest.put(frame(2, is_placeholder=True), 1.0)
    assert newest.last_good is good
    assert newest.picture is not good


def test_a_picture_grows_older() -> None:
    assert Newest().put(frame(1), now=10.0, age_s=0.25).age_s(11.0) == 1.25
