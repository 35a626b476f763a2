"""Where in a line a program is, and the rest of a line whose beginning was lost."""

from __future__ import annotations


class LineStart:
    """Follows a program's bytes. `skips`: up to the end of the line they are void."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin at the start of a line: what comes is another program, or its beginning."""
        self.is_here = True
        self.skips = False

    def is_another(self) -> None:
        """Expect the start of a line: what comes is another program; what is void stays so."""
        self.is_here = True

    def passed(self, data: bytes) -> None:
        """Note bytes that go on to the device."""
        self.is_here = data[-1:] == b"\n"

    def lost(self, *, cuts: bool) -> None:
        """Note a loss; where that `cuts` a line that has begun, the rest of it is void."""
        self.skips = cuts and not self.is_here

    def rest(self, data: bytes) -> bytes:
        """Return bytes without what is left of a line that was cut."""
        if not self.skips:
            return data
        _, end, rest = data.partition(b"\n")
        self.skips = not end
        return type(data)(rest)
