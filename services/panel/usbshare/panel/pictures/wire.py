"""What goes over the video socket, which `assets/modules/picture.js` reads and writes.

To the page a binary message is one frame: 40 bytes, then the picture as the host sent it. Numbers
are big-endian.

    0   u8   version, 1
    1   u8   flags: 1 key frame, 2 placeholder, 4 H.264 (an Annex B access unit), otherwise JPEG
    2   u16  width, pixels
    4   u16  height, pixels
    6   u16  number of the stream, modulo 65536: in another one sequence numbers begin anew
    8   f64  sequence number
    16  f64  capture time, Unix milliseconds by the host's clock: to be shown, never to reckon with
    24  f64  age when this message was handed to the connection, milliseconds
    32  f64  then, by the gateway's monotonic clock, milliseconds

A text message is a JSON object with one key.
- to the page: `view` (how the view is, see `ViewNews`), `pong` (`{"id": …, "at_ms": …}`, the
  gateway's monotonic clock);
- to the gateway: `acknowledge` (the sequence number of a frame that was decoded or dropped),
  `key_frame` (true: what follows cannot be decoded), `ping` (a number, answered at once).
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from typing import Any

from usbshare.base.errors import InvalidArgumentError
from usbshare.client.camera.messages import Format, Frame

VERSION = 1
KEY, PLACEHOLDER, H264 = 1, 2, 4
_HEADER = struct.Struct(">BBHHHdddd")
HEADER_BYTES = _HEADER.size
_MOST_SIDE = 0xFFFF


@dataclass(frozen=True, slots=True)
class ViewNews:
    """How a view is. `state`: connecting, live, no_picture, lost or refused, which is final."""

    state: str
    reason: str = ""
    camera: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The page is done with a frame, and with those before it."""

    sequence: int


@dataclass(frozen=True, slots=True)
class KeyFrameWanted:
    """The page cannot decode what follows."""


@dataclass(frozen=True, slots=True)
class Pinged:
    """The page measures the round trip."""

    id: int


FromPage = Acknowledged | KeyFrameWanted | Pinged


def frame_message(frame: Frame, stream: int, age_s: float, now_s: float) -> bytes:
    """Return a frame that is handed to the connection now, `age_s` after its capture."""
    flags = KEY * frame.is_key | PLACEHOLDER * frame.is_placeholder
    flags |= H264 * (frame.format is Format.H264)
    width, height = min(frame.width, _MOST_SIDE), min(frame.height, _MOST_SIDE)
    numbers = (float(frame.sequence), frame.captured_s * 1e3, age_s * 1e3, now_s * 1e3)
    return _HEADER.pack(VERSION, flags, width, height, stream % 65536, *numbers) + frame.data


def view_message(news: ViewNews) -> str:
    """Return how the view is."""
    return json.dumps({"view": asdict(news)})


def pong_message(ping: int, now_s: float) -> str:
    """Return the answer to a ping."""
    return json.dumps({"pong": {"id": ping, "at_ms": now_s * 1e3}})


def from_page(text: str) -> FromPage:
    """Return what the page says; raises InvalidArgumentError."""
    try:
        message = json.loads(text)
    except ValueError as error:
        raise InvalidArgumentError("a message of the video socket must be JSON") from error
    match message:
        case {"acknowledge": sequence} if _is_count(sequence):
            return Acknowledged(sequence)
        case {"ping": ping} if _is_count(ping):
            return Pinged(ping)
        case {"key_frame": True}:
            return KeyFrameWanted()
    raise InvalidArgumentError(
        "a message of the video socket must be acknowledge, key_frame or ping"
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 53
