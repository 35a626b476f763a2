"""Whether a JPEG's EXIF says that it is to be turned before it is shown (JEITA CP-3451, 4.6.4)."""

from __future__ import annotations

import struct

_APP1, _SOS = 0xE1, 0xDA
_FRAME_HEADERS = range(0xC0, 0xC4)
_BEGINNING = b"Exif\0\0"
_ORDERS = {b"II": "<", b"MM": ">"}
_ORIENTATION, _SHORT = 0x0112, 3
_UPRIGHT = 1
_TURNED = range(2, 9)


def is_turned(jpeg: bytes) -> bool:
    """Return whether a whole JPEG is shown mirrored or rotated by programs that know EXIF.

    Others show it as it lies, so that two viewers see two pictures.
    """
    return orientation_of(jpeg) in _TURNED


def orientation_of(jpeg: bytes) -> int:
    """Return the orientation, 1 to 8 as a rule; 1 where nothing, or nonsense, says it."""
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == _SOS or marker in _FRAME_HEADERS:
            break
        length = int.from_bytes(jpeg[at + 2 : at + 4])
        content = jpeg[at + 4 : at + 2 + length]
        if marker == _APP1 and content.startswith(_BEGINNING):
            return _in_tiff(content[len(_BEGINNING) :])
        at += 2 + length
    return _UPRIGHT


def _in_tiff(tiff: bytes) -> int:
    order = _ORDERS.get(tiff[:2])
    if order is None:
        return _UPRIGHT
    try:
        (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, directory)
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(
                f"{order}HHIH", tiff, directory + 2 + 12 * entry
            )
            if (tag, kind) == (_ORIENTATION, _SHORT):
                return int(value)
    except struct.error:  # it ends before it says so
        pass
    return _UPRIGHT
