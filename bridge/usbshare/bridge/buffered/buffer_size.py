"""How far ahead of the firmware motion lines may be answered."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from usbshare.base.errors import InvalidArgumentError

AUTO = "auto"
AUTO_S = 2.0
LEAST_BYTES, MOST_BYTES = 128, 64 * 1024
_SIZE = re.compile(r"(\d{1,8})(k?)")


@dataclass(frozen=True, slots=True)
class BufferSize:
    """How much may be answered ahead of the firmware; None: as much as the line carries in 2 s."""

    size_bytes: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the size that a text such as `auto`, `16384` or `16k` means.

        Raises InvalidArgumentError, which says what may be given.
        """
        if text == AUTO:
            return cls()
        found = _SIZE.fullmatch(text)
        size = int(found[1]) * (1024 if found[2] else 1) if found else 0
        if not LEAST_BYTES <= size <= MOST_BYTES:
            raise InvalidArgumentError(
                f"'{text}' is not a buffer size: give {AUTO}, or {LEAST_BYTES} to {MOST_BYTES} "
                "bytes, such as 16k"
            )
        return cls(size)

    def on(self, bytes_per_s: float) -> int:
        """Return the size in bytes on a line of that rate."""
        if self.size_bytes is not None:
            return self.size_bytes
        return min(MOST_BYTES, max(LEAST_BYTES, int(AUTO_S * bytes_per_s)))
