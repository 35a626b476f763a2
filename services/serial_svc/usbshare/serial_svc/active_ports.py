"""Which ports have a machine at work, noted in files that survive the death of the service.

Written without fsync: it is the process that may die; without power the machine is off as well.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from usbshare.common.paths import make_private
from usbshare.common.profiles import BY_NAME, RAW, Profile

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
                self._replace(self._path(port_id), profile.name)
            else:
                self._path(port_id).unlink(missing_ok=True)
        except OSError as error:
            log.warning("cannot note in %s what port '%s' does: %s", self._folder, port_id, error)

    def profile_of(self, port_id: str) -> Profile | None:
        """Return what was behind a port that was at work when the service died, else None.

        A note that cannot be read is one all the same: raw, which leaves it to the configuration.
        """
        try:
            name = self._path(port_id).read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("cannot read in %s what port '%s' did: %s", self._folder, port_id, error)
            return None
        return BY_NAME.get(name.strip(), RAW)

    def _path(self, port_id: str) -> Path:
        # Windows takes a file `com3` for the device, in any folder.
        return self._folder / f"port-{port_id}"

    def _replace(self, path: Path, text: str) -> None:
        """Write a file that is there whole or not at all, whenever the process dies."""
        temporary = path.with_name(f".{path.name}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open(temporary, flags, 0o600), "w", encoding="ascii") as file:
            file.write(text)
        temporary.replace(path)

    def _make_folder(self) -> None:
        if not self._is_made:
            make_private(self._folder)
            self._is_made = True
