"""Shows the pictures as a camera of this computer: by v4l2loopback, OBS or another driver."""

from __future__ import annotations

import asyncio
import importlib
import io
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from PIL import Image

from usbshare.base.extras import what_installs
from usbshare.base.threads import OwnThread
from usbshare.bridge.camera.output import OutputError
from usbshare.client.camera.messages import Frame
from usbshare.client.camera.view import Newest

log = logging.getLogger(__name__)

DEFAULT_FPS = 30.0


class Sink(Protocol):
    """What of `pyvirtualcam.Camera` is used."""

    device: str

    def send(self, pixels: Any, /) -> None:
        """Show RGB pixels, an array (height, width, 3)."""

    def close(self) -> None:
        """Let go of the device."""


CLOSE_TIMEOUT_S = 5.0
OpenSink = Callable[[int, int, float], Sink]


def opener(device: str) -> OpenSink:
    """Return what opens a device, the platform's own if empty; raises OutputError without it."""
    try:
        library: Any = importlib.import_module("pyvirtualcam")
    except ImportError as error:
        raise OutputError(_missing()) from error

    def open_sink(width: int, height: int, fps: float) -> Sink:
        sink: Sink = library.Camera(width=width, height=height, fps=fps, device=device or None)
        return sink

    return open_sink


class VirtualCamera:
    """Has the size of the first picture; later ones of another size are scaled into it."""

    def __init__(self, open_sink: OpenSink, fps: float, opened: Callable[[str], None]) -> None:
        self.name = "the virtual camera"
        self._open_sink = open_sink
        self._fps = fps or DEFAULT_FPS
        self._opened = opened
        self._thread = OwnThread("virtual camera")
        self._sink: Sink | None = None
        self._size = (0, 0)

    async def run(self, newest: Newest) -> None:
        """Show pictures, including placeholders."""
        seen = 0
        try:
            while True:
                picture = await newest.after(seen)
                seen = picture.number
                await self._done(self._thread.submit(self._show, picture.frame))
        finally:
            ending = self._thread.finish(self._close)
            await self._done(asyncio.wait_for(asyncio.shield(ending), CLOSE_TIMEOUT_S))

    def _show(self, frame: Frame) -> None:
        image = _decoded(frame)
        if image is None:
            return
        if self._sink is None:
            self._size = image.size
            self._sink = self._open_sink(*image.size, self._fps)
            self._opened(self._sink.device)
        if image.size != self._size:
            image = image.resize(self._size)
        numpy: Any = importlib.import_module("numpy")  # pyvirtualcam brings it
        self._sink.send(numpy.asarray(image))

    def _close(self) -> None:
        if self._sink is not None:
            self._sink.close()

    async def _done(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (OSError, RuntimeError, ValueError) as error:
            raise OutputError(f"the virtual camera failed: {error}") from error


def _decoded(frame: Frame) -> Image.Image | None:
    try:
        return Image.open(io.BytesIO(frame.data)).convert("RGB")
    except OSError as error:
        log.debug("picture %d cannot be decoded: %s", frame.sequence, error)
        return None


def _missing() -> str:
    return (
        f"a virtual camera needs pyvirtualcam: {what_installs('virtual-camera')}, and a driver: "
        "v4l2loopback on Linux, OBS Studio on Windows and macOS"
    )
