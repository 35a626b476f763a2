"""One thread owns a source; whatever it does, the newest good frame comes, or the reason."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator
from functools import partial

import numpy as np
import pytest

from fakes.cameras import (
    GARBAGE,
    FakeCamera,
    jpeg_of,
    noisy_jpeg,
    says_size,
    truncated,
    without_tables,
)
from fakes.waiting import until
from usbshare.base.errors import DeviceError
from usbshare.camera_svc.capture.capture import Abandoned, CaptureCounters, CaptureThread
from usbshare.camera_svc.capture.frame_source import Captured, Opened, Source
from usbshare.camera_svc.picture.frame import Raw
from usbshare.camera_svc.picture.jpeg import check_jpeg

JPEG = noisy_jpeg()


class Listener:
    """Remembers what it hears, and on which thread."""

    def __init__(self) -> None:
        self.openings: list[Opened] = []
        self.frames: list[Raw] = []
        self.bad: list[str] = []
        self.ends: list[str] = []
        self.threads: set[threading.Thread] = set()

    def opened(self, opened: Opened, source: Source) -> None:
        self.openings.append(opened)

    def captured(self, raw: Raw) -> None:
        self.threads.add(threading.current_thread())
        self.frames.append(raw)

    def bad_picture(self, reason: str) -> None:
        self.bad.append(reason)

    def ended(self, reason: str) -> None:
        self.ends.append(reason)


class Rig:
    """A camera, and captures of it one after the other."""

    def __init__(self) -> None:
        self.camera = FakeCamera()
        self.listener = Listener()
        self.counters = CaptureCounters()
        self.abandoned = Abandoned()
        self._sequence = itertools.count(1)
        self._captures: list[CaptureThread] = []

    def start(self) -> CaptureThread:
        capture = CaptureThread(
            "bed",
            self.camera.make,
            self.listener,
            self._sequence.__next__,
            self.counters,
            self.abandoned,
        )
        self._captures.append(capture)
        capture.start()
        return capture

    def has_captured(self, count: int) -> bool:
        return len(self.listener.frames) >= count

    async def close(self) -> None:
        self.camera.unplug()
        self.camera.go_on()
        for capture in self._captures:
            await capture.stop(timeout_s=30)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    yield made
    await made.close()


async def test_a_good_frame_comes_as_it_is_with_number_size_and_time(rig: Rig) -> None:
    before = time.time()
    rig.start()
    rig.camera.give(JPEG)
    await until(lambda: rig.listener.frames)
    (raw,) = rig.listener.frames
    assert raw.jpeg == JPEG
    assert (raw.sequence, raw.width, raw.height) == (1, 320, 240)
    assert before <= raw.captured.wall_s <= time.time()
    assert rig.listener.openings[0].modes == (rig.camera.mode,)
    assert rig.listener.threads == {threading.main_thread()}


async def test_pixels_come_as_they_are(rig: Rig) -> None:
    pixels = np.zeros((48, 64, 3), np.uint8)
    rig.start()
    rig.camera.do(Captured(pixels=pixels))
    await until(lambda: rig.listener.frames)
    (raw,) = rig.listener.frames
    assert raw.pixels is pixels
    assert (raw.width, raw.height, raw.jpeg) == (64, 48, None)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (Captured(jpeg=truncated(JPEG)), "cut off"),
        (Captured(jpeg=b""), "empty"),
        (Captured(), "empty"),
        (Captured(jpeg=GARBAGE), "not with a JPEG"),
        (Captured(jpeg=says_size(JPEG, 0, 0)), "0x0"),
        (Captured(pixels=np.zeros((0, 0, 3), np.uint8)), "0x0"),
        (Captured(pixels=np.zeros((48, 64), np.uint8)), "not BGR"),
        (Captured(pixels=np.zeros((48, 64, 3), np.float32)), "not BGR"),
    ],
)
async def test_a_bad_picture_is_reported_and_the_next_good_one_comes(
    rig: Rig, bad: Captured, says: str
) -> None:
    rig.start()
    rig.camera.do(bad)
    rig.camera.give(JPEG)
    await until(lambda: rig.listener.frames)
    assert says in rig.listener.bad[0]
    assert rig.counters.bad == 1
    assert rig.listener.frames[0].sequence == 1
    assert rig.listener.ends == []


async def test_endless_garbage_neither_ends_the_capture_nor_floods_the_loop(rig: Rig) -> None:
    rig.camera.still = GARBAGE
    rig.start()
    await until(lambda: rig.counters.bad >= 5)
    assert len(rig.listener.bad) <= rig.counters.bad
    rig.camera.still = JPEG
    await until(lambda: rig.listener.frames)


async def test_the_size_may_change_in_mid_stream(rig: Rig) -> None:
    rig.start()
    for number, width in enumerate((320, 640, 7680), start=1):
        rig.camera.give(jpeg_of(width, width * 9 // 16))
        await until(partial(rig.has_captured, number))
    assert [raw.width for raw in rig.listener.frames] == [320, 640, 7680]
    assert rig.listener.frames[-1].height == 4320


async def test_huffman_tables_that_a_camera_leaves_out_are_put_in(rig: Rig) -> None:
    rig.start()
    rig.camera.give(without_tables(JPEG))
    await until(lambda: rig.listener.frames)
    jpeg = rig.listener.frames[0].jpeg
    assert jpeg is not None
    assert b"\xff\xc4" in jpeg
    assert check_jpeg(jpeg) == (320, 240)


async def test_a_busy_loop_gets_the_newest_frame_only(rig: Rig) -> None:
    rig.start()
    await until(lambda: rig.listener.openings)
    rig.camera.give(*(jpeg_of(32 * width, 32) for width in range(1, 11)))
    while rig.counters.captured < 10:  # the loop does nothing else meanwhile
        time.sleep(0.001)  # noqa: ASYNC251
    await until(lambda: rig.listener.frames)
    assert rig.listener.frames[-1].sequence == 10
    assert rig.counters.replaced == 10 - len(rig.listener.frames)
    assert rig.counters.replaced >= 8


async def test_a_camera_that_cannot_be_opened_says_why(rig: Rig) -> None:
    rig.camera.be_held_by("obs (process 17)")
    rig.start()
    await until(lambda: rig.listener.ends)
    assert rig.listener.ends == ["obs (process 17) has it open"]
    assert rig.camera.sources[0].closed == 1
    assert rig.listener.openings == []


async def test_an_unplugged_camera_ends_the_capture_and_another_one_begins(rig: Rig) -> None:
    rig.camera.still = JPEG
    rig.start()
    await until(lambda: rig.listener.frames)
    rig.camera.unplug()
    await until(lambda: rig.listener.ends)
    assert rig.listener.ends == ["the camera was unplugged"]
    last = rig.listener.frames[-1].sequence
    rig.camera.plug_in()
    rig.start()
    await until(lambda: rig.listener.frames[-1].sequence > last)
    assert rig.camera.sources[0].closed == 1


async def test_an_unforeseen_error_ends_the_capture_and_nothing_else(rig: Rig) -> None:
    rig.start()
    rig.camera.do(ZeroDivisionError("in the codec"))
    await until(lambda: rig.listener.ends)
    assert rig.listener.ends == ["capture failed: ZeroDivisionError: in the codec"]
    assert rig.camera.sources[0].closed == 1


async def test_nothing_is_heard_after_a_stop(rig: Rig) -> None:
    rig.camera.still = JPEG
    capture = rig.start()
    await until(lambda: rig.listener.frames)
    await capture.stop()
    heard = len(rig.listener.frames)
    assert rig.camera.sources[0].closed == 1
    assert rig.listener.ends == []
    await asyncio.sleep(0)
    assert len(rig.listener.frames) == heard
    assert rig.counters.abandoned == 0


@pytest.mark.parametrize("hangs_at", ["open", "read"])
async def test_a_thread_whose_driver_hangs_is_left_behind_and_cleans_up_later(
    rig: Rig, hangs_at: str
) -> None:
    rig.camera.still = JPEG
    if hangs_at == "open":
        rig.camera.hang()
    capture = rig.start()
    if hangs_at == "read":
        await until(lambda: rig.listener.frames)
        rig.camera.hang()
    await until(lambda: rig.camera.blocked)
    await capture.stop(timeout_s=0.05)
    assert rig.counters.abandoned == 1
    assert rig.abandoned.alive() == 1
    assert rig.camera.sources[0].closed == 0
    captured = rig.counters.captured
    rig.camera.go_on()
    await until(lambda: rig.abandoned.alive() == 0)
    assert rig.camera.sources[0].closed == 1
    assert rig.counters.captured == captured


async def test_threads_that_hang_do_not_pile_up(rig: Rig) -> None:
    rig.camera.hang()
    for _ in range(2):
        await rig.start().stop(timeout_s=0.05)
    with pytest.raises(DeviceError, match="the driver hangs: 2 attempts"):
        rig.start()
    rig.camera.go_on()
    await until(lambda: rig.abandoned.alive() == 0)
    rig.camera.still = JPEG
    rig.start()
    await until(lambda: rig.listener.frames)


async def test_a_stop_that_is_cancelled_counts_the_thread_all_the_same(rig: Rig) -> None:
    rig.camera.hang()
    stopping = asyncio.create_task(rig.start().stop(timeout_s=60))
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait([stopping])
    assert rig.abandoned.alive() == 1


@pytest.mark.parametrize(
    ("age_ns", "is_believed"),
    [(20_000_000, True), (0, True), (-1_000_000_000, False), (10**11, False)],
)
async def test_the_drivers_time_is_taken_if_it_can_be_true(
    rig: Rig, age_ns: int, is_believed: bool
) -> None:
    driver_ns = time.monotonic_ns() - age_ns
    rig.start()
    rig.camera.do(Captured(jpeg=JPEG, monotonic_ns=driver_ns))
    await until(lambda: rig.listener.frames)
    stamp = rig.listener.frames[0].captured
    assert (stamp.monotonic_ns == driver_ns) is is_believed
    offset_s = (time.time_ns() - time.monotonic_ns()) / 1e9
    assert stamp.wall_s == pytest.approx(stamp.monotonic_ns / 1e9 + offset_s, abs=0.1)
