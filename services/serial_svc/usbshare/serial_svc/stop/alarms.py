"""Finds alarms, and the greeting after a reset, in what GRBL and its relatives say. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from usbshare.line.flow.replies import GRBL_DIALECT, Kind

LONGEST_WORDS_BYTES = 80
_BEGINNINGS = (b"ALARM:", b"Grbl")


class Alarms:
    """Takes a machine's bytes, split arbitrarily."""

    def __init__(self) -> None:
        self._line = b""

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the words of each alarm, such as `ALARM:1`; empty for a greeting."""
        *whole, begun = data.split(b"\n")
        for part in whole:
            line = (self._line + part).strip(b"\r\t ")
            self._line = b""
            if line.startswith(_BEGINNINGS):
                kind = GRBL_DIALECT.kind_of(line)
                if kind is Kind.ALARM:
                    yield line[:LONGEST_WORDS_BYTES].decode("ascii", errors="replace")
                elif kind is Kind.WELCOME:
                    yield ""
        self._line = (self._line + begun)[:LONGEST_WORDS_BYTES]
