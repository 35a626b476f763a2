"""Whether bytes are a whole JPEG picture, seen from its markers (ITU T.81) without decoding."""

from __future__ import annotations

import re
from dataclasses import dataclass

from usbshare.base.errors import UsbshareError

# The typical tables of ITU T.81 annex K.3 as one DHT segment: what motion JPEG without any means.
_STANDARD_TABLES = bytes.fromhex(
    "ffc401a20000010501010101010100000000000000000102030405060708090a0b100002010303020403"
    "050504040000017d01020300041105122131410613516107227114328191a1082342b1c11552d1f02433"
    "627282090a161718191a25262728292a3435363738393a434445464748494a535455565758595a636465"
    "666768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4"
    "b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8"
    "f9fa0100030101010101010101010000000000000102030405060708090a0b1100020102040403040705"
    "040400010277000102031104052131061241510761711322328108144291a1b1c109233352f0156272d1"
    "0a162434e125f11718191a262728292a35363738393a434445464748494a535455565758595a63646566"
    "6768696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4"
    "b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
)


def complete(data: bytes, outline: Outline) -> bytes:
    """Return the picture without what pads it, with tables; the same object if nothing changes."""
    if outline.has_tables:
        return data if outline.end == len(data) else data[: outline.end]
    before, after = data[: outline.first_scan], data[outline.first_scan : outline.end]
    return before + _STANDARD_TABLES + after


MOST_PIXELS = 64_000_000
# What a viewer takes in one message is 16 MiB, with what is said beside the picture.
MOST_BYTES = 15 << 20

_START = b"\xff\xd8"
_SOI, _EOI, _SOS, _DHT = 0xD8, 0xD9, 0xDA, 0xC4
# Frame headers are C0 to CF, but for DHT, JPG and DAC among them.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC}
# Coded data go on over stuffed FF00, restart markers and fill bytes.
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)


class BadPictureError(UsbshareError):
    """A frame is no picture; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Outline:
    """What a walk along the markers found; `end` is the offset behind the picture."""

    width: int
    height: int
    end: int
    has_tables: bool
    first_scan: int


def check_jpeg(data: bytes) -> tuple[int, int]:
    """Return width and height of a whole JPEG; raises BadPictureError."""
    outline = outline_of(data)
    return outline.width, outline.height


def outline_of(data: bytes, start: int = 0) -> Outline:
    """Walk the markers of the picture that begins at `start`; raises BadPictureError."""
    if len(data) <= start:
        raise BadPictureError("the picture is empty")
    if data[start : start + 2] != _START:
        found = data[start : start + 2].hex()
        raise BadPictureError(f"the picture begins with {found}, not with a JPEG's ffd8")
    outline = _Walk(data, start).outline()
    check_length(outline.end - start)
    return outline


def check_length(length: int) -> None:
    """Raise BadPictureError unless a picture of so many bytes reaches its viewers."""
    if length > MOST_BYTES:
        raise BadPictureError(f"the picture is longer than {MOST_BYTES >> 20} MiB")


def check_size(width: int, height: int) -> None:
    """Raise BadPictureError unless pictures of that size can be handled."""
    if width < 1 or height < 1:
        raise BadPictureError(f"the picture's size is {width}x{height}")
    if width * height > MOST_PIXELS:
        most = MOST_PIXELS // 1_000_000
        raise BadPictureError(f"the picture is {width}x{height}, more than {most} megapixels")


class _Walk:
    """One pass along the markers."""

    def __init__(self, data: bytes, start: int) -> None:
        self._data = data
        self._at = start + 2
        self._size: tuple[int, int] | None = None
        self._has_tables = False
        self._first_scan = 0

    def outline(self) -> Outline:
        """Go from segment to segment, over coded data, to the end marker."""
        while (marker := self._next_marker()) != _EOI:
            if marker == _SOI:
                raise BadPictureError("the picture is cut off: another begins inside it")
            begin, end = self._segment()
            if marker in _FRAME_HEADERS:
                self._size = self._size_in(begin, end)
            elif marker == _DHT:
                self._has_tables = True
            elif marker == _SOS:
                self._skip_scan(begin, end)
        return self._found()

    def _found(self) -> Outline:
        if self._size is None or not self._first_scan:
            raise BadPictureError("the picture ends before its image data")
        return Outline(*self._size, self._at, self._has_tables, self._first_scan)

    def _next_marker(self) -> int:
        data = self._data
        while data[self._at : self._at + 2] == b"\xff\xff":  # fill bytes
            self._at += 1
        pair = data[self._at : self._at + 2]
        if len(pair) < 2:
            raise BadPictureError(f"the picture is cut off after {len(data)} bytes: no end marker")
        if pair[0] != 0xFF or pair[1] < 0xC0:
            raise BadPictureError(f"the picture has {pair.hex()} where a marker must be")
        self._at += 2
        return pair[1]

    def _segment(self) -> tuple[int, int]:
        length = int.from_bytes(self._data[self._at : self._at + 2])
        begin, end = self._at + 2, self._at + length
        if end > len(self._data) or begin > len(self._data):
            raise BadPictureError(f"the picture is cut off after {len(self._data)} bytes")
        if length < 2:
            raise BadPictureError(f"the picture has a segment of length {length}")
        self._at = end
        return begin, end

    def _size_in(self, begin: int, end: int) -> tuple[int, int]:
        if end - begin < 6:
            raise BadPictureError("the picture's frame header is too short")
        height = int.from_bytes(self._data[begin + 1 : begin + 3])
        width = int.from_bytes(self._data[begin + 3 : begin + 5])
        check_size(width, height)
        return width, height

    def _skip_scan(self, begin: int, end: int) -> None:
        if self._size is None:
            raise BadPictureError("the picture's image data comes before its size")
        self._first_scan = self._first_scan or begin - 4
        marker = _MARKER_IN_SCAN.search(self._data, end)
        if marker is None:
            raise BadPictureError(
                f"the picture is cut off after {len(self._data)} bytes: no end marker"
            )
        self._at = marker.start()
