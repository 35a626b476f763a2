"""Which physical device each id has, kept across restarts: an id never changes hands."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from usbshare.base.background import Background
from usbshare.common.addresses import split_host_port
from usbshare.common.paths import make_private, state_folder
from usbshare.line.physical_device import PhysicalDevice, physical_device_from

log = logging.getLogger(__name__)

_FOLDER_PREFIX = "devices-"
_FILE_PREFIX = "port-"  # Windows takes a file `com3` for the device, in any folder
MOST_KNOWN = 1000
_LOOK = "forgotten devices"


def devices_folder(service: str, listen: str) -> Path:
    """Return the folder of one service: another one of the host listens at another port."""
    _, port = split_host_port(listen, 0)
    return state_folder() / service / f"{_FOLDER_PREFIX}{port}"


def devices_folders(service: str) -> list[Path]:
    """Return those folders of all that ever ran here."""
    return sorted((state_folder() / service).glob(f"{_FOLDER_PREFIX}*"))


class KnownDevices:
    """The device of each id, as first opened or offered; used from any thread.

    Kept in a folder with one file an id, whose removal lets the id take another device. Without a
    folder, and where it cannot be written, it is kept as long as the process lives.
    """

    def __init__(self, folder: Path | None = None, background: Background | None = None) -> None:
        self._folder = folder
        self._background = background
        self._known: dict[str, PhysicalDevice | None] = {}
        self._on_disk: set[str] = set()
        self._all_unreadable = False
        self._lock = threading.Lock()

    @property
    def folders(self) -> tuple[Path, ...]:
        """The folder whose time changes when a person lets an id take another device."""
        return () if self._folder is None else (self._folder,)

    def load(self) -> None:
        """Read what is known; blocks. An id whose file cannot be understood gets no device."""
        try:
            paths = _files_in(self._folder)
        except OSError as error:
            log.error("cannot read %s, so no port gets its device: %s", self._folder, error)
            self._all_unreadable = True
            return
        for path in paths:
            name = path.name.removeprefix(_FILE_PREFIX)
            with self._lock:
                self._known[name] = _read(path)
                self._on_disk.add(name)

    def expected(self, name: str) -> PhysicalDevice | None:
        """Return the device of an id, None if it has none yet or nobody can tell."""
        with self._lock:
            return self._known.get(name)

    def name_of(self, device: PhysicalDevice) -> str:
        """Return the id that has the device, the first of several; empty if none has."""
        with self._lock:
            return min((name for name, each in self._known.items() if each == device), default="")

    def is_unreadable(self, name: str) -> bool:
        """Return whether an id has a device, and nobody can tell which."""
        with self._lock:
            return self._all_unreadable or (name in self._known and self._known[name] is None)

    def record(self, name: str, device: PhysicalDevice) -> bool:
        """Take a device for that of an id, for good; False if there are too many."""
        with self._lock:
            if name not in self._known and len(self._known) >= MOST_KNOWN:
                return False
            self._known[name] = device
        if self._folder is not None and self._background is not None:
            write = partial(self._write, self._folder, name, device)
            self._background.put(f"device {name}", write)
        return True

    def look_for_forgotten(self) -> None:
        """Notice soon, in the background, which ids may take another device; never waits."""
        if self._background is not None:
            self._background.put(_LOOK, self.drop_forgotten)

    # What blocks.

    def _write(self, folder: Path, name: str, device: PhysicalDevice) -> None:
        make_private(folder)
        path = folder / f"{_FILE_PREFIX}{name}"
        temporary = path.with_name(f".{path.name}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
            json.dump(device.as_table(), file)
        temporary.replace(path)
        with self._lock:
            self._on_disk.add(name)

    def drop_forgotten(self) -> None:
        """Let those take another device whose file a person has removed; blocks."""
        there = {path.name.removeprefix(_FILE_PREFIX) for path in _files_in(self._folder)}
        with self._lock:
            gone = self._on_disk - there
            self._on_disk -= gone
            for name in gone:
                self._known.pop(name, None)
        for name in sorted(gone):
            log.warning("the device of '%s' is forgotten: it takes the next that is there", name)


def forget(folders: Iterable[Path], name: str) -> list[PhysicalDevice | None]:
    """Let an id take another device; returns those it had. Blocks."""
    had = []
    for folder in folders:
        path = folder / f"{_FILE_PREFIX}{name}"
        if path.is_file():
            had.append(_read(path))
            path.unlink(missing_ok=True)
    return had


def known_names(folders: Iterable[Path]) -> list[str]:
    """Return the ids that have a device."""
    found = {path.name.removeprefix(_FILE_PREFIX) for each in folders for path in _files_in(each)}
    return sorted(found)


def _files_in(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    try:
        return sorted(path for path in folder.iterdir() if path.name.startswith(_FILE_PREFIX))
    except FileNotFoundError:
        return []


def _read(path: Path) -> PhysicalDevice | None:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return physical_device_from(table if isinstance(table, dict) else {})
    except (OSError, ValueError) as error:
        log.error("cannot understand %s, so its port is refused: %s", path, error)
        return None
