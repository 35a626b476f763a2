"""What of a program's moves does not follow the one work zero with which it begins. Pure."""

from __future__ import annotations

import re

# Coordinate systems and their offsets, machine coordinates, reference points, probes, tool lengths.
_ZERO_WORD = re.compile(
    r"G0*(?:10|28(?:\.1)?|30(?:\.1)?|38\.\d|43\.1|49|5[3-9](?:\.\d)?|92(?:\.\d)?)(?![\d.])|\$[HJ]"
)
_AXES = "XYZ"


class ZeroWords:
    """Collects the words that change or leave the work zero, and the axes that move by G91."""

    def __init__(self) -> None:
        self._words: set[str] = set()
        self._relative: set[str] = set()

    def take(self, text: str, *, incremental: bool) -> None:
        """Take a clean line, and whether G91 is in force with it."""
        if "G" in text or text[0] == "$":
            self._words.update(found[0].replace("G0", "G") for found in _ZERO_WORD.finditer(text))
        if incremental:
            self._relative.update(axis for axis in _AXES if axis in text)

    @property
    def words(self) -> tuple[str, ...]:
        """The words, such as G54 and G92."""
        return tuple(sorted(self._words))

    @property
    def relative_axes(self) -> str:
        """The axes of which only the machine's place at the start says where they go."""
        return "".join(sorted(self._relative))
