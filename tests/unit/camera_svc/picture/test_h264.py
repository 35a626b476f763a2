"""The real encoder: a picture in, an access unit out, at once."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from usbshare.camera_svc.picture import h264
from usbshare.camera_svc.picture.encode import EncodeCounters, Encoder
from usbshare.camera_svc.picture.frame import Format, Picture, Raw, Recipe, Stamp
from usbshare.camera_svc.picture.h264 import H264Encoder, VideoEncoderError, options, why_missing
from usbshare.camera_svc.picture.jpeg import BadPictureError
from usbshare.camera_svc.sim.bed import SimBed, read_stamp

VIDEO = Recipe(0, 80, Format.H264)
NO_PYAV = "PyAV is not installed: pip install 'usbshare[h264]'"


@pytest.fixture
def av() -> Any:
    return pytest.importorskip("av", reason=NO_PYAV)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(EncodeCounters())


def raw(number: int, width: int = 640, height: int = 360) -> Raw:
    pixels = SimBed(width, height).draw(number, 1_000 * number)
    return Raw(number, Stamp(0.0, 0), width, height, pixels)


def make(encoder: Encoder, frame: Raw, recipe: Recipe = VIDEO, *, key: bool = False) -> Picture:
    return encoder.make_next(frame, recipe, force_key=key)


class Decoder:
    def __init__(self, av: Any) -> None:
        self._av = av
        self._codec = av.CodecContext.create("h264", "r")
        self._codec.thread_count = 1
        self._codec.options = {"flags": "low_delay"}

    def pixels(self, picture: Picture) -> Any:
        (frame,) = self._codec.decode(self._av.Packet(picture.data))
        return frame.to_ndarray(format="bgr24")


def test_each_picture_comes_out_at_once_and_is_the_one_that_went_in(
    av: Any, encoder: Encoder
) -> None:
    decoder = Decoder(av)
    for number in range(1, 20):
        picture = make(encoder, raw(number))
        assert picture.is_key == (number == 1)
        assert (picture.sequence, picture.index) == (number, number)
        assert read_stamp(decoder.pixels(picture)) == (number, 1_000 * number)


def test_a_forced_key_frame_can_be_decoded_without_earlier_frames(
    av: Any, encoder: Encoder
) -> None:
    for number in range(1, 5):
        make(encoder, raw(number))
    picture = make(encoder, raw(5), key=True)
    assert picture.is_key
    assert read_stamp(Decoder(av).pixels(picture)) == (5, 5_000)
    assert not make(encoder, raw(6)).is_key


def test_another_size_in_mid_stream_begins_another_stream(av: Any, encoder: Encoder) -> None:
    first = [make(encoder, raw(number)) for number in (1, 2)]
    other = make(encoder, raw(3, 320, 180))
    assert other.is_key
    assert (other.width, other.height, other.index) == (320, 180, 1)
    assert other.stream not in {picture.stream for picture in first}
    assert Decoder(av).pixels(other).shape == (180, 320, 3)


@pytest.mark.parametrize("size", [(641, 361), (642, 362), (1277, 719), (66, 50)])
def test_sizes_that_are_not_even_lose_a_line(
    av: Any, encoder: Encoder, size: tuple[int, int]
) -> None:
    width, height = size
    picture = make(
        encoder, Raw(1, Stamp(0, 0), width, height, np.zeros((height, width, 3), np.uint8))
    )
    assert (picture.width, picture.height) == (width & ~1, height & ~1)
    assert Decoder(av).pixels(picture).shape[:2] == (height & ~1, width & ~1)


def test_a_recipe_of_less_width_is_scaled(av: Any, encoder: Encoder) -> None:
    picture = make(encoder, raw(7), Recipe(320, 80, Format.H264))
    assert (picture.width, picture.height, picture.format) == (320, 180, Format.H264)
    assert Decoder(av).pixels(picture).shape == (180, 320, 3)


def test_frames_that_come_as_jpeg_are_decoded_for_it(av: Any, encoder: Encoder) -> None:
    pixels = raw(1).pixels
    assert pixels is not None
    jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
    picture = make(encoder, Raw(1, Stamp(0, 0), 640, 360, jpeg=jpeg))
    assert read_stamp(Decoder(av).pixels(picture)) == (1, 1_000)
    assert encoder.counters.decoded_frames == encoder.counters.encoded_frames == 1


def test_an_invalid_frame_costs_the_stream_nothing(av: Any, encoder: Encoder) -> None:
    make(encoder, raw(1))
    with pytest.raises(BadPictureError):
        make(encoder, Raw(2, Stamp(0, 0), 640, 360, jpeg=b"\xff\xd8 nothing"))
    picture = make(encoder, raw(3))
    assert not picture.is_key
    assert picture.index == 2


def test_a_stream_that_has_ended_starts_again(av: Any, encoder: Encoder) -> None:
    first = make(encoder, raw(1))
    encoder.end(VIDEO)
    second = make(encoder, raw(2))
    assert second.is_key
    assert second.stream != first.stream


def test_a_size_that_cannot_be_encoded_is_reported(av: Any) -> None:
    encoder = H264Encoder(1, (0, 0), 80)
    with pytest.raises(VideoEncoderError, match="the H264 encoder failed"):
        encoder.encode(np.zeros((0, 0), np.uint8), force_key=False)


def test_bits_follow_quality_and_size() -> None:
    good, poor = options((1280, 720), 80), options((1280, 720), 20)
    assert float(good["crf"]) < float(poor["crf"])
    assert int(good["maxrate"]) == 4 * int(poor["maxrate"])
    assert int(good["maxrate"]) == 4 * int(options((640, 360), 80)["maxrate"])


def test_lower_quality_makes_fewer_bytes(av: Any, encoder: Encoder) -> None:
    sizes = [
        len(make(encoder, raw(1), Recipe(0, quality, Format.H264)).data)
        for quality in (100, 80, 50, 20)
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 4 * sizes[-1]


def test_a_missing_library_is_one_clear_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h264, "_LIBRARY", "no_such_library")
    assert "extra [h264]" in why_missing()
    with pytest.raises(VideoEncoderError, match="no H264 encoder"):
        H264Encoder(1, (64, 64), 80).encode(np.zeros((96, 64), np.uint8), force_key=False)
