"""Which ports have a machine at work, noted in files that survive the death of the service.

The note is there before a program's first byte: that byte waits for it, some ms at most. Where the
disk hangs the byte goes out, and the note follows when it can. No stop waits for a note.

Written without fsync: it is the process that may die; without power the machine is off as well.
"""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path

from usbshare.base.background import Background
from usbshare.base.notes import read_note
from usbshare.common.paths import make_private
from usbshare.common.profiles import BY_NAME, RAW, Profile

log = logging.getLogger(__name__)

_MOST_BYTES = 4096
_PREFIX = "port-"  # Windows takes a file `com3` for the device, in any folder


class ActivePorts:
    """A folder with one file a port; its content is the name of the profile.

    Two services of one host need two folders. Of a folder that cannot be
    read, every machine counts as one at work.
    """

    def __init__(self, folder: Path, background: Background) -> None:
        self._folder = folder
        self._background = background
        self._is_made = False
        self._found: dict[str, Profile] = {}
        self._noted: set[str] = set()
        self._nobody_knows = False

    def load(self) -> None:
        """Read what was at work when the service died; blocks.

        A note that cannot be read is one all the same: raw, which leaves it to the configuration.
        """
        try:
            paths = [path for path in self._folder.iterdir() if path.name.startswith(_PREFIX)]
        except FileNotFoundError:
            return
        except OSError as error:
            self.nobody_knows(error.strerror or str(error))
            return
        found = {path.name.removeprefix(_PREFIX): _read(path) for path in paths}
        if not self._nobody_knows:  # else it is too late
            self._found = {name: profile for name, profile in found.items() if profile is not None}

    def nobody_knows(self, why: str) -> None:
        """Take every machine for one that was at work: the notes cannot be read."""
        self._nobody_knows = True
        log.error(
            "cannot read which machines were at work: %s: %s. All count as at work",
            *(self._folder, why),
        )

    def profile_of(self, port_id: str) -> Profile | None:
        """Return what was behind a port that was at work when the service died, else None."""
        is_unknown = self._nobody_knows and port_id not in self._noted
        return RAW if is_unknown else self._found.get(port_id)

    def note(self, port_id: str, profile: Profile, *, active: bool) -> None:
        """Note whether a port's machine is at work; waits some ms for the note that it is."""
        self._found.pop(port_id, None)  # it has been acted on
        self._noted.add(port_id)
        path, key = self._folder / f"{_PREFIX}{port_id}", f"active {port_id}"
        if active:
            self._background.put_first(key, partial(self._write, path, profile.name))
        else:
            self._background.put(key, partial(_remove, path))

    # In the background's thread.

    def _write(self, path: Path, text: str) -> None:
        """Write a file that is there whole or not at all, whenever the process dies."""
        if not self._is_made:
            make_private(self._folder)
            self._is_made = True
        temporary = path.with_name(f".{path.name}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open(temporary, flags, 0o600), "w", encoding="ascii") as file:
            file.write(text)
        temporary.replace(path)


def _remove(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)


def _read(path: Path) -> Profile | None:
    try:
        name = read_note(path, _MOST_BYTES).decode("ascii", errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        return None
    except OSError as error:
        log.warning("cannot read what a machine did, taking it for one at work: %s", error)
        return RAW
    return BY_NAME.get(name.strip(), RAW)
