"""H.264 by PyAV where it is installed: every picture leaves the encoder at once, as Annex B."""

from __future__ import annotations

import importlib
import importlib.util
from fractions import Fraction
from typing import Any

from usbshare.base.errors import UsbshareError
from usbshare.camera_svc.picture.frame import Pixels

MISSING = (
    "this service has no H264 encoder: its host lacks usbshare's extra [h264]; "
    "docs/installation.md says how to add it"
)
_LIBRARY = "av"
_CODEC = "libx264"
_FPS = 30
_MOST_BITS_PER_PIXEL = 0.15
_BURST_S = 0.5
_ENDLESS = 1 << 30


class VideoEncoderError(UsbshareError):
    """H.264 cannot be made of this camera's pictures; JPEG can."""


def why_missing() -> str:
    """Return why there is no encoder, nothing if there is one; does not load it."""
    return "" if importlib.util.find_spec(_LIBRARY) else MISSING


class H264Encoder:
    """One stream of pictures of one size; one call at a time, from any thread.

    The first picture is a key frame, later ones only when forced: nothing gets lost on the way,
    and who missed one is given a key frame.
    """

    def __init__(self, stream: int, size: tuple[int, int], quality: int) -> None:
        self.stream = stream
        self.size = size
        self.encoded = 0
        self._quality = quality
        self._codec: Any = None

    def encode(self, planes: Pixels, *, force_key: bool) -> tuple[bytes, bool]:
        """Return the access unit of I420 planes, and whether it is a key frame.

        Raises VideoEncoderError.
        """
        av = _library()
        try:
            if self._codec is None:
                self._codec = self._opened(av)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = self.encoded
            if force_key:
                frame.pict_type = av.video.frame.PictureType.I
            (packet,) = self._codec.encode(frame)
        except (av.FFmpegError, ValueError, MemoryError) as error:
            raise VideoEncoderError(f"the H264 encoder failed: {error}") from error
        self.encoded += 1
        return bytes(packet), bool(packet.is_keyframe)

    def _opened(self, av: Any) -> Any:
        codec = av.CodecContext.create(_CODEC, "w")
        codec.width, codec.height = self.size
        codec.pix_fmt = "yuv420p"
        codec.framerate, codec.time_base = Fraction(_FPS), Fraction(1, _FPS)
        codec.thread_count = 1
        codec.gop_size = _ENDLESS
        codec.options = options(self.size, self._quality)
        codec.open()
        return codec


def options(size: tuple[int, int], quality: int) -> dict[str, str]:
    """Return the parameters of libx264 that look as good as this quality on JPEG's scale."""
    most = round(size[0] * size[1] * _FPS * _MOST_BITS_PER_PIXEL * quality / 100)
    return {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "crf": f"{42 - quality / 5:.1f}",
        "maxrate": str(most),
        "bufsize": str(round(most * _BURST_S)),
        "forced-idr": "1",
    }


def _library() -> Any:
    try:
        return importlib.import_module(_LIBRARY)
    except ImportError as error:
        raise VideoEncoderError(f"{MISSING} ({error})") from error
