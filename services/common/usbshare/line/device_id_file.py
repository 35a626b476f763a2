"""Which physical device each id has, kept across restarts: an id never changes hands."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from usbshare.base.addresses import split_host_port
from usbshare.base.background_writer import Background
from usbshare.base.paths import make_private, state_folder
from usbshare.base.state_files import read_note
from usbshare.line.physical_device import PhysicalDevice, physical_device_from

log = logging.getLogger(__name__)

_FOLDER_PREFIX = "devices-"
_FILE_PREFIX = "port-"  # Windows takes a file `com3` for the device, in any folder
MOST_KNOWN = 1000
_MOST_BYTES = 65536
_LOOK = "forgotten devices"
_LOOK_TIMEOUT_S = 0.5


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
            self.nobody_knows(error.strerror or str(error))
            return
        read = {path.name.removeprefix(_FILE_PREFIX): _read(path) for path in paths}
        with self._lock:
            if not self._all_unreadable:  # else it is too late
                self._known.update(read)
                self._on_disk |= read.keys()

    def nobody_knows(self, why: str) -> None:
        """Refuse every id its device, unless it is made of it: what it had cannot be read."""
        log.error(
            "cannot read which device belongs to each id: %s: %s. No configured device is "
            "opened until a start can read it",
            *(self._folder, why),
        )
        with self._lock:
            self._all_unreadable = True

    def expected(self, name: str) -> PhysicalDevice | None:
        """Return the device of an id, None if it has none yet or it is unknown."""
        with self._lock:
            return self._known.get(name)

    def name_of(self, device: PhysicalDevice) -> str:
        """Return the id that has the device, the first of several; empty if none has."""
        with self._lock:
            return min((name for name, each in self._known.items() if each == device), default="")

    def is_unreadable(self, name: str) -> bool:
        """Return whether an id has a device, but it is unknown which."""
        with self._lock:
            return self._all_unreadable or (name in self._known and self._known[name] is None)

    def record(self, name: str, device: PhysicalDevice) -> bool:
        """Record a device as that of an id, permanently; False if there are too many."""
        return self._record(name, device) is not None

    def record_in_time(self, name: str, device: PhysicalDevice, timeout_s: float) -> bool:
        """Record likewise, and block until that is on the disk; False if it is not in time."""
        writing = self._record(name, device)
        return writing is not None and writing.is_done_in(timeout_s)

    def _record(self, name: str, device: PhysicalDevice) -> _Work | None:
        with self._lock:
            if name not in self._known and len(self._known) >= MOST_KNOWN:
                return None
            self._known[name] = device
        if self._folder is None or self._background is None:
            return _Work(lambda: None, is_done=True)
        writing = _Work(partial(self._write, self._folder, name, device))
        self._background.put(f"device {name}", writing)
        return writing

    def look_for_forgotten(self) -> None:
        """Notice soon, in the background, which ids may take another device; never waits."""
        if self._background is not None:
            self._background.put(_LOOK, self.drop_forgotten)

    def drop_forgotten_in_time(self) -> None:
        """Notice it now, or later where the disk takes longer than an opening should wait."""
        if self._background is None:
            self.drop_forgotten()
            return
        looking = _Work(self.drop_forgotten)
        self._background.put(_LOOK, looking)
        looking.is_done_in(_LOOK_TIMEOUT_S)

    # What blocks.

    def _write(self, folder: Path, name: str, device: PhysicalDevice) -> None:
        make_private(folder)
        path = folder / f"{_FILE_PREFIX}{name}"
        temporary = path.with_name(f".{path.name}")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
            json.dump(device.as_table(), file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        with self._lock:
            self._on_disk.add(name)

    def drop_forgotten(self) -> None:
        """Let those take another device whose file a person has removed; blocks.

        Where the folder itself is gone or cannot be read, as of a disk that is away, nothing is
        forgotten.
        """
        try:
            paths = [] if self._folder is None else _files_of(self._folder)
        except OSError:
            return
        there = {path.name.removeprefix(_FILE_PREFIX) for path in paths}
        with self._lock:
            gone = self._on_disk - there
            self._on_disk -= gone
            for name in gone:
                self._known.pop(name, None)
        for name in sorted(gone):
            log.warning("forgot the device of '%s': it takes the next device found there", name)


class _Work:
    """Work for the background that another thread can wait for; True once it was done."""

    def __init__(self, work: Callable[[], None], *, is_done: bool = False) -> None:
        self._work = work
        self._is_done = is_done
        self._tried = threading.Event()
        if is_done:
            self._tried.set()

    def __call__(self) -> None:
        try:
            self._work()
            self._is_done = True
        finally:
            self._tried.set()

    def is_done_in(self, timeout_s: float) -> bool:
        return self._tried.wait(timeout_s) and self._is_done


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
        return _files_of(folder)
    except FileNotFoundError:
        return []


def _files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.startswith(_FILE_PREFIX))


def _read(path: Path) -> PhysicalDevice | None:
    try:
        table = json.loads(read_note(path, _MOST_BYTES))
        return physical_device_from(table if isinstance(table, dict) else {})
    except (OSError, ValueError, RecursionError) as error:
        log.error("cannot interpret %s, so its port is refused: %s", path, error)
        return None
