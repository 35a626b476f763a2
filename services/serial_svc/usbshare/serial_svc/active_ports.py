"""Which ports have a machine at work, noted in files that survive the death of the service.

Written without fsync: it is the process that may die; without power the machine is off as well.
"""

from __future__ import annotations

import logging
from pathlib import Path

from usbshare.common.paths import make_private
from usbshare.common.profiles import BY_NAME, Profile

log = logging.getLogger(__name__)


class ActivePorts:
    """A folder with one file a port; its content is the name of the profile.

    Two services of one host need two folders. A folder that cannot be used costs only the memory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_made = False

    def note(self, port_id: str, profile: Profile, *, active: bool) -> None:
        """Note whether a port's machine is at work."""
        try:
            if active:
                self._make_folder()
                (self._folder / port_id).write_text(profile.name, encoding="ascii")
            else:
                (self._folder / port_id).unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot note in %s what port '%s' does: %s", self._folder, port_id, error)

    def profile_of(self, port_id: str) -> Profile | None:
        """Return what was behind a port that was at work when the service died, else None."""
        try:
            name = (self._folder / port_id).read_text(encoding="ascii", errors="replace")
        except OSError:
            return None
        return BY_NAME.get(name.strip())

    def _make_folder(self) -> None:
        if not self._is_made:
            make_private(self._folder)
            self._is_made = True
