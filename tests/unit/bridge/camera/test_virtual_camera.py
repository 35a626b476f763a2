"""A camera of this computer, by a library that need not be there."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from PIL import Image

from fakes.waiting import until
from usbshare.bridge.camera.output import OutputError
from usbshare.bridge.camera.virtual_camera import VirtualCamera, opener
from usbshare.client.camera.messages import Frame
from usbshare.client.camera.view import Newest

pytest.importorskip("numpy")


@dataclass(slots=True)
class FakeSink:
    """What was shown."""

    device: str = "/dev/video9"
    opened: list[tuple[int, int, float]] = field(default_factory=list)
    shown: list[Any] = field(default_factory=list)
    is_closed: bool = False

    def open(self, width: int, height: int, fps: float) -> FakeSink:
        self.opened.append((width, height, fps))
        return self

    def send(self, pixels: Any, /) -> None:
        self.shown.append(pixels)

    def has_shown(self, count: int) -> bool:
        return len(self.shown) == count

    def close(self) -> None:
        self.is_closed = True


def frame(red: int, size: tuple[int, int]) -> Frame:
    buffer = io.BytesIO()
    Image.new("RGB", size, (red, 0, 0)).save(buffer, "JPEG")
    return Frame(red, 0.0, 0, *size, buffer.getvalue())


async def test_pictures_are_shown_at_the_size_of_the_first() -> None:
    sink, newest, told = FakeSink(), Newest(), list[str]()
    running = asyncio.create_task(VirtualCamera(sink.open, 25.0, told.append).run(newest))
    for number, each in enumerate((frame(200, (64, 48)), frame(100, (32, 24))), 1):
        newest.put(each, 0.0)
        await until(partial(sink.has_shown, number))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sink.opened == [(64, 48, 25.0)]
    assert [each.shape for each in sink.shown] == [(48, 64, 3)] * 2
    assert [int(each[0, 0, 0]) for each in sink.shown] == pytest.approx([200, 100], abs=3)
    assert told == ["/dev/video9"]
    assert sink.is_closed


async def test_a_picture_that_cannot_be_decoded_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    sink, newest = FakeSink(), Newest()
    running = asyncio.create_task(VirtualCamera(sink.open, 0.0, lambda _: None).run(newest))
    newest.put(Frame(1, 0.0, 0, 8, 8, b"\xff\xd8 and no more"), 0.0)
    await until(lambda: "cannot be decoded" in caplog.text)
    newest.put(frame(7, (64, 48)), 0.0)
    await until(lambda: sink.shown)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_device_that_cannot_be_had_is_one_clear_error() -> None:
    def refuse(width: int, height: int, fps: float) -> FakeSink:
        raise RuntimeError("/dev/video9 is no v4l2loopback device")

    newest = Newest()
    newest.put(frame(7, (64, 48)), 0.0)
    with pytest.raises(OutputError, match="no v4l2loopback device"):
        await VirtualCamera(refuse, 0.0, lambda _: None).run(newest)


def test_without_the_library_one_clear_error_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(OutputError, match=r"pip install .*\[virtual-camera\]"):
        opener("/dev/video9")
