"""Makes a picture of a frame as a recipe says; runs in an encoder thread."""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from usbshare.camera_svc.picture.exif import is_turned
from usbshare.camera_svc.picture.frame import Format, Picture, Pixels, Raw, Recipe
from usbshare.camera_svc.picture.h264 import H264Encoder
from usbshare.camera_svc.picture.jpeg import BadPictureError, check_length

DEFAULT_QUALITY = 80


@dataclass(slots=True)
class EncodeCounters:
    """What the encoder threads of one camera did; add under `lock`."""

    decoded_frames: int = 0
    encoded_frames: int = 0
    passed_frames: int = 0
    encode_sum_s: float = 0.0
    encode_longest_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def encoded(self, took_s: float) -> None:
        """Count an encode."""
        with self.lock:
            self.encoded_frames += 1
            self.encode_sum_s += took_s
            self.encode_longest_s = max(self.encode_longest_s, took_s)

    def decoded(self) -> None:
        """Count a decode."""
        with self.lock:
            self.decoded_frames += 1

    def passed(self) -> None:
        """Count a frame that went out as it came."""
        with self.lock:
            self.passed_frames += 1


class Encoder:
    """Encodes the frames of one camera; decodes each at most once."""

    def __init__(self, counters: EncodeCounters) -> None:
        self.counters = counters
        self._decoded: Raw | None = None
        self._streams: dict[Recipe, H264Encoder] = {}
        self._stream_numbers = itertools.count(1)

    def make(self, raw: Raw, recipe: Recipe) -> Picture:
        """Return the picture; BadPictureError if the frame is none. Any thread."""
        began = time.monotonic_ns()
        wait_s = (began - raw.captured.monotonic_ns) / 1e9
        is_as_it_is = recipe.width == 0 and recipe.quality == 0
        if raw.jpeg is not None and is_as_it_is and not is_turned(raw.jpeg):
            self.counters.passed()
            return Picture(
                raw.sequence, raw.captured, raw.width, raw.height, raw.jpeg, wait_s=wait_s
            )
        pixels = _scaled(self._pixels(raw), recipe.width)
        quality = recipe.quality or DEFAULT_QUALITY
        data = encode_jpeg(pixels, quality)
        took_s = (time.monotonic_ns() - began) / 1e9
        self.counters.encoded(took_s)
        height, width = pixels.shape[:2]
        return Picture(
            raw.sequence,
            raw.captured,
            width,
            height,
            data,
            quality=quality,
            wait_s=wait_s,
            encode_s=took_s,
        )

    def make_next(self, raw: Raw, recipe: Recipe, *, force_key: bool) -> Picture:
        """Return the next picture of an H.264 stream; one call for each recipe at a time.

        Pictures of another size begin another stream. VideoEncoderError if there can be none.
        """
        began = time.monotonic_ns()
        pixels = _even(_scaled(self._pixels(raw), recipe.width))
        height, width = pixels.shape[:2]
        planes = cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420).astype(np.uint8, copy=False)
        quality = recipe.quality or DEFAULT_QUALITY
        encoder = self._stream(recipe, (width, height), quality)
        data, is_key = encoder.encode(planes, force_key=force_key)
        took_s = (time.monotonic_ns() - began) / 1e9
        self.counters.encoded(took_s)
        return Picture(
            raw.sequence,
            raw.captured,
            width,
            height,
            data,
            Format.H264,
            quality,
            is_key,
            wait_s=(began - raw.captured.monotonic_ns) / 1e9,
            encode_s=took_s,
            stream=encoder.stream,
            index=encoder.encoded,
        )

    def end(self, recipe: Recipe) -> None:
        """End the stream of a recipe."""
        self._streams.pop(recipe, None)

    def _stream(self, recipe: Recipe, size: tuple[int, int], quality: int) -> H264Encoder:
        encoder = self._streams.get(recipe)
        if encoder is None or encoder.size != size:
            encoder = H264Encoder(next(self._stream_numbers), size, quality)
            self._streams[recipe] = encoder
        return encoder

    def _pixels(self, raw: Raw) -> Pixels:
        if raw.pixels is not None:
            return raw.pixels
        known = self._decoded
        if known is not None and known.sequence == raw.sequence and known.pixels is not None:
            return known.pixels
        pixels = decode_jpeg(raw.jpeg or b"")
        self.counters.decoded()
        self._decoded = replace(raw, pixels=pixels)
        return pixels


def encode_on_one_thread_each() -> None:
    """Keep OpenCV from spreading one picture over every core: those are for other pictures."""
    cv2.setNumThreads(1)


def encode_jpeg(pixels: Pixels, quality: int) -> bytes:
    """Return BGR pixels as a JPEG of quality 1 to 100; BadPictureError if that is impossible."""
    done, data = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise BadPictureError("the picture cannot be encoded as JPEG")
    check_length(data.size)
    return data.tobytes()


def decode_jpeg(data: bytes) -> Pixels:
    """Return the BGR pixels of a JPEG, upright by its EXIF; BadPictureError if it is none."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        raise BadPictureError("the JPEG cannot be decoded")
    return pixels.astype(np.uint8, copy=False)


def _even(pixels: Pixels) -> Pixels:
    """Leave an odd row or column out: colours come for two by two pixels."""
    height, width = pixels.shape[:2]
    return pixels[: height & ~1, : width & ~1]


def _scaled(pixels: Pixels, width: int) -> Pixels:
    height, native = pixels.shape[:2]
    if not width or width >= native:
        return pixels
    size = (width, max(2, round(height * width / native / 2) * 2))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
