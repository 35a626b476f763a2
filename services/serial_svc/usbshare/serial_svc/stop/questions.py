"""Lines that only ask: GRBL answers them and does nothing else, so no machine works on them.

Each line has one answer, `ok` or `error:` (github.com/gnea/grbl, protocol.c and system.c, 1.1h:
`$`, `$$`, `$#`, `$G`, `$I`, `$N`, and an empty line, which a second line end makes). Firmware that
answers fewer lines counts as at work.
"""

from __future__ import annotations

import re

_ASKING = frozenset({b"", b"$", b"$$", b"$#", b"$G", b"$I", b"$N"})
_END = re.compile(rb"[\r\n]")
_LONGEST_ANSWER_BYTES = 256


class Questions:
    """Follows what a machine at rest was asked; whatever else is written ends that."""

    def __init__(self) -> None:
        self._unanswered = 0
        self._line = b""
        self._is_at_line_start = True

    def wrote(self, data: bytes, *, at_rest: bool) -> None:
        """Take whole lines that were written; a part of a line is no question."""
        *lines, rest = _END.split(data)
        asks = bool(lines) and not rest and all(line.strip().upper() in _ASKING for line in lines)
        asks = asks and self._is_at_line_start  # an empty line would carry out what stands open
        self._is_at_line_start = bool(lines) and not rest
        if asks and (at_rest or self._unanswered):
            self._unanswered = len(lines) + (0 if at_rest else self._unanswered)
            self._line = b"" if at_rest else self._line
        else:
            self._unanswered = 0

    def works(self) -> None:
        """Note that the machine says that it works: answers prove no rest then."""
        self._unanswered = 0

    def heard(self, data: bytes) -> bool:
        """Return whether that brought the last answer."""
        if not self._unanswered:
            return False
        *lines, rest = _END.split(self._line + data)
        self._line = rest[-_LONGEST_ANSWER_BYTES:]
        self._unanswered -= sum(line == b"ok" or line.startswith(b"error:") for line in lines)
        self._unanswered = max(0, self._unanswered)
        return not self._unanswered
