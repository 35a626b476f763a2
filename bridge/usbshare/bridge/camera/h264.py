"""From H.264 to pictures that every program shows, by PyAV where it is installed."""

from __future__ import annotations

import importlib
import importlib.util
import io
from dataclasses import replace
from typing import Any

from usbshare.base.errors import NotSupportedError, UsbshareError
from usbshare.base.extras import what_installs
from usbshare.client.camera.messages import Format, Frame

_LIBRARY = "av"
_JPEG_QUALITY = 90


class CannotDecodeError(UsbshareError):
    """The stream cannot be shown from here on; another one begins with a key frame."""


def require_decoder() -> None:
    """Raise NotSupportedError, with what to do, where there is none; does not load it."""
    if importlib.util.find_spec(_LIBRARY) is None:
        raise NotSupportedError(_missing())


class H264Decoder:
    """Decodes one stream, a frame at a time, in any thread."""

    def __init__(self) -> None:
        self._codec: Any = None

    def decode(self, frame: Frame) -> Frame:
        """Return the frame as JPEG; needs every frame of a stream, in order.

        CannotDecodeError if damaged.
        """
        av = _library()
        try:
            if self._codec is None:
                self._codec = _opened(av)
            pictures = self._codec.decode(av.Packet(frame.data))
            image = pictures[-1].to_image() if pictures else None
        except (av.FFmpegError, ValueError) as error:
            raise CannotDecodeError(f"picture {frame.sequence} cannot be decoded") from error
        if image is None:
            raise CannotDecodeError(f"picture {frame.sequence} is incomplete")
        jpeg = io.BytesIO()
        image.save(jpeg, "JPEG", quality=_JPEG_QUALITY)
        width, height = image.size
        return replace(
            frame,
            data=jpeg.getvalue(),
            format=Format.JPEG,
            width=width,
            height=height,
            decoded_bytes=len(frame.data),
        )


def _opened(av: Any) -> Any:
    codec = av.CodecContext.create("h264", "r")
    codec.thread_count = 1  # more would hold pictures back
    codec.options = {"flags": "low_delay"}
    return codec


def _library() -> Any:
    try:
        return importlib.import_module(_LIBRARY)
    except ImportError as error:
        raise CannotDecodeError(f"{_missing()} ({error})") from error


def _missing() -> str:
    return f"H.264 needs PyAV here: {what_installs('h264')}, or ask for '--format jpeg'"
