"""When the last open invitation of a site ends: so long the services listen for enrolment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from usbshare.base.errors import ConfigError
from usbshare.trust.invitations import read_invitations


class InvitationDeadline:
    """Follows the file of invitations; `now` returns an aware time."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self.path = path
        self._now = now
        self._stamp: tuple[int, int] | None = None
        self._ends: list[datetime] = []
        self.trouble = ""

    @property
    def until(self) -> datetime | None:
        """When the last open invitation ends, an aware time; None if none is open."""
        now = self._now()
        return max((end for end in self._ends if now < end), default=None)

    def read(self) -> bool:
        """Look at the file; returns whether it is another than last time. Blocks."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._ends = None, []
            return False
        if (stamp := (status.st_mtime_ns, status.st_ino)) == self._stamp:
            return False
        try:
            found = read_invitations(self.path)
            self.trouble = ""
        except ConfigError as error:
            self.trouble = str(error)
            found = []
        self._stamp = stamp
        self._ends = [each.expires for each in found if each.is_open(self._now())]
        return True
