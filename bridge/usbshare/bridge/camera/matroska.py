"""Writes JPEG pictures as a Matroska video, each at its own time; one cut short can be played.

RFC 9559. Every picture has a cluster of its own, so that nothing must be written afterwards but the
duration.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

from usbshare.base.version import usbshare_version

_UNKNOWN_SIZE = b"\x01" + b"\xff" * 7
_MILLISECOND_NS = 1_000_000
_EBML, _SEGMENT, _INFO, _TRACKS, _CLUSTER = (
    b"\x1a\x45\xdf\xa3",
    b"\x18\x53\x80\x67",
    b"\x15\x49\xa9\x66",
    b"\x16\x54\xae\x6b",
    b"\x1f\x43\xb6\x75",
)
_DURATION = b"\x44\x89"
_TRACK, _KEY_FRAME, _VIDEO = 1, 0x80, 1


class MatroskaWriter:
    """Writes to a file that can seek; times are milliseconds from the start and never go back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._duration_at = 0
        self._last_ms = 0

    def begin(self, width: int, height: int) -> None:
        """Write what comes before the first picture; later ones may have another size."""
        head = _head() + _SEGMENT + _UNKNOWN_SIZE
        info = _info()
        self._duration_at = len(head) + info.index(_DURATION) + len(_DURATION) + 1
        self._file.write(head + info + _tracks(width, height))

    def write(self, jpeg: bytes, at_ms: int) -> None:
        """Write a picture."""
        self._last_ms = at_ms = max(at_ms, self._last_ms)
        block = struct.pack(">BhB", 0x80 | _TRACK, 0, _KEY_FRAME) + jpeg
        cluster = _element(b"\xe7", _number(at_ms)) + _element(b"\xa3", block)
        self._file.write(_element(_CLUSTER, cluster))

    def end(self) -> None:
        """Write how long it is."""
        self._file.seek(self._duration_at)
        self._file.write(struct.pack(">d", float(self._last_ms)))


def _head() -> bytes:
    return _element(
        _EBML,
        _element(b"\x42\x86", _number(1)),  # EBMLVersion
        _element(b"\x42\xf7", _number(1)),  # EBMLReadVersion
        _element(b"\x42\xf2", _number(4)),  # EBMLMaxIDLength
        _element(b"\x42\xf3", _number(8)),  # EBMLMaxSizeLength
        _element(b"\x42\x82", b"matroska"),
        _element(b"\x42\x87", _number(4)),  # DocTypeVersion
        _element(b"\x42\x85", _number(2)),  # DocTypeReadVersion
    )


def _info() -> bytes:
    program = f"usbshare {usbshare_version()}".strip().encode()
    return _element(
        _INFO,
        _element(b"\x2a\xd7\xb1", _number(_MILLISECOND_NS)),  # TimestampScale
        _element(_DURATION, struct.pack(">d", 0.0)),
        _element(b"\x4d\x80", program),  # MuxingApp
        _element(b"\x57\x41", program),  # WritingApp
    )


def _tracks(width: int, height: int) -> bytes:
    size = _element(b"\xb0", _number(width)) + _element(b"\xba", _number(height))
    entry = (
        _element(b"\xd7", _number(_TRACK)),
        _element(b"\x73\xc5", _number(_TRACK)),  # TrackUID
        _element(b"\x83", _number(_VIDEO)),
        _element(b"\x9c", _number(0)),  # FlagLacing
        _element(b"\x86", b"V_MJPEG"),
        _element(b"\xe0", size),
    )
    return _element(_TRACKS, _element(b"\xae", *entry))


def _element(name: bytes, *content: bytes) -> bytes:
    joined = b"".join(content)
    return name + _size(len(joined)) + joined


def _size(count: int) -> bytes:
    """Write a length with a mark of how many bytes it takes itself."""
    length = 1
    while count >= (1 << 7 * length) - 1:  # all ones would be an unknown size
        length += 1
    return (count | 1 << 7 * length).to_bytes(length)


def _number(value: int) -> bytes:
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8))
