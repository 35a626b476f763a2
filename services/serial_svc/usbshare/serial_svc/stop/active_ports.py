"""Which machines are running a job, noted in files that survive a crash of the service.

The note is there before a program's first byte: that byte waits for it, some ms at most. Where the
disk hangs the byte goes out, and the note follows when it can. No stop waits for a note.

Written without fsync: it is the process that may die; without power the machine is off as well.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from usbshare.base.background_writer import Background
from usbshare.base.paths import make_private
from usbshare.base.state_files import read_note
from usbshare.line.physical_device import PhysicalDevice, physical_device_from
from usbshare.line.profiles import BY_NAME, RAW, Profile
from usbshare.line.usb.serial_devices import list_serial_devices

log = logging.getLogger(__name__)

FOLDER_PREFIX = "active-"
_MOST_BYTES = 4096
_PORT = "port-"  # Windows takes a file `com3` for the device, in any folder
_DEVICE = "device-"


@dataclass(frozen=True, slots=True)
class _Note:
    """What a file says: the firmware, and the physical device unless it is one of a port's id."""

    path: Path
    profile: Profile
    device: PhysicalDevice | None = None


class ActivePorts:
    """A folder with one file per machine that is running a job, by physical device or port id.

    Two services of one host need two folders, `active-` and what distinguishes them. Devices are
    looked for in all of them, since the next service may have another. Of a folder that cannot be
    read, every machine counts as running a job.
    """

    def __init__(self, folder: Path, background: Background) -> None:
        self._folder = folder
        self._background = background
        self._is_made = False
        self._of_ids: dict[str, _Note] = {}
        self._of_devices: list[_Note] = []
        self._plugged_in: set[PhysicalDevice] = set()
        self._noted: set[str] = set()
        self._acted_on: set[Path] = set()
        self._nobody_knows = False

    def load(self) -> None:
        """Read which machines were running a job at the crash; blocks.

        A note of an id that cannot be read is one all the same: raw, which leaves it to the
        configuration. One of a device could be about any.
        """
        try:
            of_ids = _read_all(self._folder, _PORT)
            of_devices = [n for each in self._folders() for n in _read_all(each, _DEVICE)]
        except (OSError, ValueError) as error:
            self.nobody_knows(getattr(error, "strerror", None) or str(error))
            return
        if of_devices:
            self._plugged_in = {each.identity for each in list_serial_devices()}
        if not self._nobody_knows:  # else it is too late
            self._of_ids = {note.path.name.removeprefix(_PORT): note for note in of_ids}
            self._of_devices = of_devices

    def nobody_knows(self, why: str) -> None:
        """Treat every machine as one that was running a job: the notes cannot be read."""
        self._nobody_knows = True
        log.error(
            "cannot read which machines were running a job: %s: %s. Treating all as running one",
            *(self._folder, why),
        )

    @property
    def knows_devices(self) -> bool:
        """Whether a physical device was running a job that no port has been found to have yet."""
        return bool(self._of_devices)

    def profile_of(self, port_id: str, device: PhysicalDevice | None = None) -> Profile | None:
        """Return what was running a job behind a port at the crash, None if nothing was.

        `device` is the one that the port has, as far as that is known.
        """
        if self._nobody_knows and port_id not in self._noted:
            return RAW
        profiles = [note.profile for note in self._matching(port_id, device)]
        return max(profiles, key=lambda each: each is not RAW, default=None)

    def note(
        self,
        port_id: str,
        profile: Profile,
        *,
        active: bool,
        device: PhysicalDevice | None = None,
    ) -> None:
        """Note whether a port's machine is running a job; waits some ms for the note that it is."""
        self._noted.add(port_id)
        path, text = self._folder / _name_of(port_id, device), _text_of(profile, device)
        self._act_on(self._matching(port_id, device))
        self._acted_on.discard(path)
        others, key = tuple(self._acted_on), f"active {path.name}"
        if active:
            self._background.put_first(key, partial(self._write, path, text, others))
        else:
            self._background.put(key, partial(_remove, (path, *others)))

    def _matching(self, port_id: str, device: PhysicalDevice | None) -> list[_Note]:
        found = [note for note in self._of_devices if self._is_of(note, device)]
        of_id = self._of_ids.get(port_id)
        return found if of_id is None else [of_id, *found]

    def _is_of(self, note: _Note, device: PhysicalDevice | None) -> bool:
        """Return whether a note is about a device, which may be in another socket by now."""
        if device is None or note.device is None:
            return False
        has_moved = bool(device.serial) and note.device not in self._plugged_in
        makes = note.device.without_socket == device.without_socket
        return note.device == device or (has_moved and makes)

    def _act_on(self, notes: list[_Note]) -> None:
        """Forget notes that have been acted on; their files go with the next that is written."""
        self._acted_on.update(note.path for note in notes)
        self._of_devices = [note for note in self._of_devices if note not in notes]
        self._of_ids = {name: note for name, note in self._of_ids.items() if note not in notes}

    def _folders(self) -> list[Path]:
        """Return the folders of this and other services; blocks."""
        others = self._folder.parent.glob(f"{FOLDER_PREFIX}*")
        return sorted({self._folder, *(each for each in others if each.is_dir())})

    # In the background's thread.

    def _write(self, path: Path, text: str, others: Iterable[Path]) -> None:
        """Write a file that is there whole or not at all, whenever the process dies."""
        if not self._is_made:
            make_private(self._folder)
            self._is_made = True
        temporary = path.with_name(f".{path.name}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
        _remove(others)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if not path.is_dir():
            path.unlink(missing_ok=True)


def _name_of(port_id: str, device: PhysicalDevice | None) -> str:
    if device is None:
        return f"{_PORT}{port_id}"
    said = json.dumps(device.as_table(), sort_keys=True).encode()
    return f"{_DEVICE}{device.vid:04x}-{device.pid:04x}-{hashlib.sha256(said).hexdigest()[:16]}"


def _text_of(profile: Profile, device: PhysicalDevice | None) -> str:
    return profile.name if device is None else f"{profile.name}\n{json.dumps(device.as_table())}\n"


def _read_all(folder: Path, prefix: str) -> list[_Note]:
    """Return what is in a folder; raises OSError or ValueError if that is unknown."""
    try:
        paths = sorted(path for path in folder.iterdir() if path.name.startswith(prefix))
    except FileNotFoundError:
        return []
    read = _read_of_id if prefix == _PORT else _read_of_device
    notes = []
    for path in paths:
        with suppress(FileNotFoundError, IsADirectoryError):
            notes.append(read(path))
    return notes


def _read_of_id(path: Path) -> _Note:
    try:
        name = read_note(path, _MOST_BYTES).decode("ascii", errors="replace")
    except (FileNotFoundError, IsADirectoryError):
        raise
    except OSError as error:
        log.warning("cannot read what a machine did, treating it as running a job: %s", error)
        return _Note(path, RAW)
    return _Note(path, BY_NAME.get(name.strip(), RAW))


def _read_of_device(path: Path) -> _Note:
    name, _, device = read_note(path, _MOST_BYTES).decode(errors="replace").partition("\n")
    try:
        return _Note(path, BY_NAME.get(name, RAW), physical_device_from(json.loads(device)))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path.name} is damaged") from error
