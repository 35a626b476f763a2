"""Lines that people type: none of them holds what firmware would obey ahead of the line."""

from __future__ import annotations

from usbshare.base.errors import InvalidArgumentError
from usbshare.line.profiles import Profile

# Real-time characters that can be typed.
ALONE = frozenset("?!~")


def require_no_realtime(profile: Profile, line: str) -> None:
    """Raise InvalidArgumentError where this firmware takes a letter of a line for a command.

    All beyond ASCII counts: the second byte of `Ä` is GRBL's safety door.
    """
    if profile.realtime and (found := next(filter(_is_no_text, line), "")):
        raise InvalidArgumentError(
            f"{found!r} is a real-time command to this firmware, even within a line: leave it out"
            + (", or send it alone" if found in ALONE else "")
        )


def _is_no_text(letter: str) -> bool:
    return letter in ALONE or not letter.isascii()
