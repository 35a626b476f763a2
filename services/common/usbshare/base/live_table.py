"""A table on a terminal that is drawn again in its place."""

from __future__ import annotations

import shutil
from typing import TextIO

from usbshare.base.terminal_text import cut

_UP_AND_WIPE = "\x1b[{lines}A\r\x1b[J"


class LiveTable:
    """Draws text over what it drew before; cut to the terminal, so that no line wraps."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn = ""
        self._lines = 0

    def draw(self, text: str) -> None:
        """Show the text instead of the one before."""
        shown = _fitted(text.splitlines())
        drawn = "\n".join(shown)
        if drawn == self._drawn:
            return
        wipe = _UP_AND_WIPE.format(lines=self._lines) if self._lines else ""
        self._stream.write(f"{wipe}{drawn}\n")
        self._stream.flush()
        self._drawn, self._lines = drawn, len(shown)

    def leave(self) -> None:
        """Draw the next text below: something else was printed meanwhile."""
        self._drawn, self._lines = "", 0


def _fitted(lines: list[str]) -> list[str]:
    columns, rows = shutil.get_terminal_size()
    most = max(2, rows - 1)
    if len(lines) > most:
        lines = [*lines[: most - 1], f"… and {len(lines) - most + 1} more"]
    return [cut(line, columns - 1) for line in lines]
