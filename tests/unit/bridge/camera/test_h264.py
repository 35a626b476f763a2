"""H.264 becomes JPEG here, picture by picture, or one clear error."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import pytest
from PIL import Image

from usbshare.base.errors import NotSupportedError
from usbshare.bridge.camera import h264
from usbshare.bridge.camera.h264 import CannotDecodeError, H264Decoder, require_decoder
from usbshare.client.camera.messages import Format, Frame

SIZE = (320, 240)


@pytest.fixture
def units() -> list[bytes]:
    """Return ten access units of pictures that get brighter."""
    av: Any = pytest.importorskip(
        "av", reason="PyAV is not installed: pip install 'usbshare[h264]'"
    )
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height = SIZE
    codec.pix_fmt, codec.time_base, codec.framerate = "yuv420p", Fraction(1, 30), Fraction(30)
    codec.options = {"preset": "ultrafast", "tune": "zerolatency"}
    made = []
    for number in range(10):
        picture = av.VideoFrame.from_image(Image.new("L", SIZE, shade(number)).convert("RGB"))
        picture.pts = number
        made += [bytes(packet) for packet in codec.encode(picture)]
    return made


def shade(number: int) -> int:
    return 20 * number + 20


def frame(number: int, data: bytes) -> Frame:
    return Frame(number, 1.5, 7, *SIZE, data, Format.H264)


def test_each_picture_is_shown_at_once_and_keeps_its_details(units: list[bytes]) -> None:
    decoder = H264Decoder()
    for number, unit in enumerate(units):
        shown = decoder.decode(frame(number, unit))
        image = Image.open(io.BytesIO(shown.data))
        assert image.size == SIZE == (shown.width, shown.height)
        assert image.convert("L").getpixel((160, 120)) == pytest.approx(shade(number), abs=6)
        assert (shown.sequence, shown.captured_s, shown.captured_monotonic_ns) == (number, 1.5, 7)
        assert shown.format is Format.JPEG


def test_a_decoded_frame_keeps_the_size_and_format_of_the_link(units: list[bytes]) -> None:
    shown = H264Decoder().decode(frame(1, units[0]))
    assert (shown.link_bytes, shown.link_format) == (len(units[0]), Format.H264)
    plain = Frame(1, 0.0, 0, *SIZE, b"12345")
    assert (plain.link_bytes, plain.link_format) == (5, Format.JPEG)


def test_garbage_is_reported(units: list[bytes]) -> None:
    with pytest.raises(CannotDecodeError, match="picture 7 "):
        H264Decoder().decode(frame(7, b"\xff" * 100))


def test_a_stream_without_its_key_frame_is_reported(units: list[bytes]) -> None:
    with pytest.raises(CannotDecodeError, match="picture 3 "):
        H264Decoder().decode(frame(3, units[3]))


def test_without_the_library_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(h264, "_LIBRARY", "no_such_library")
    with pytest.raises(NotSupportedError, match=r"pip install .*\[h264\]"):
        require_decoder()
    with pytest.raises(CannotDecodeError, match="PyAV"):
        H264Decoder().decode(frame(1, b""))
