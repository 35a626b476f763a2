"""The stable name of a pty: a symbolic link that leads nowhere once its process is dead.

A link to /dev/pts/7 outlives a process that is killed, and the kernel gives the number 7 to the
next pty, which may be another machine's. So where there is a /proc, the link leads to a descriptor
of the process that made it: /proc/PID/fd/N. The descriptor is opened with O_PATH, which keeps the
pty's name known without having the pty open, and the system ends it with the process, however that
ends. N is high and drawn by lot, lest a later process with the same number has that descriptor.

Elsewhere (macOS) the link leads to the pty, and a small process of the system's shell waits for the
end of ours, then removes the link.

Whose a link is says a lock in the runtime folder, which is held as long as its process lives. It
notes the link and where it leads, so that any later program can remove what a killed one left.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import resource
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from usbshare.base.errors import ConfigError
from usbshare.base.paths import existing_runtime_folders, runtime_folder

log = logging.getLogger(__name__)

_NONE = -1
_O_PATH = getattr(os, "O_PATH", 0)
_MOST_NOTED = 8192
_DESCRIPTOR = re.compile(r"/proc/\d+/fd/\d+")
_PTYS = ("/dev/pts/", "/dev/ttys")
_LOWEST, _SPREAD = 512, 400
_GUARD_ENDS_S = 0.5
_RETRY_S = 0.01
# Reads until the process is gone; the lock, which it inherits, keeps others off until it is done.
_GUARD = """trap '' HUP INT QUIT TERM
while read -r _; do :; done
target=$(sed -n 2p "$2")
[ "$(readlink "$1")" = "$target" ] && rm -f "$1"
"""


class NameLink:
    """A link to a pty under a name; used by one process, which holds the name's lock."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = _NONE
        self._descriptor = _NONE
        self._target = ""
        self._guard: subprocess.Popen[bytes] | None = None
        self._claimed: Path | None = None
        self._trouble = ""
        self._mending = threading.Lock()  # what is made again must not outlive its removal

    @property
    def path(self) -> Path:
        """Where the link is: a plain name in the runtime folder, a path as it is."""
        return self._claimed or self._wanted_path()

    def _wanted_path(self) -> Path:
        if not self._name:
            raise ConfigError("the virtual port's name is empty")
        if os.sep in self._name:
            return Path(os.path.abspath(self._name))
        return runtime_folder() / self._name

    def claim(self) -> None:
        """Take the name; raises ConfigError when it is another process's or no link of ours."""
        path = self._wanted_path()
        self._lock = self._locked(path)
        self._claimed = path

    def _locked(self, path: Path) -> int:
        lock = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take_lock(lock, path)
            _require_free(lock, path)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def show(self, slave_path: str) -> None:
        """Make the link to a pty in one step; raises ConfigError. From then on it leads to others.

        Where the link leads to our own descriptor, that is all that changes: no disk is asked.
        """
        if self._descriptor != _NONE:
            _point(self._descriptor, slave_path)
            return
        self._descriptor, target = _way_to(slave_path)
        if self._descriptor == _NONE and self._guard is None:
            self._guard = self._start_guard()
        _make_link(self.path, target, self._lock)
        self._target = target

    def look_after(self) -> str:
        """Make a link again that is gone, as the folder that a logout removes; say so, else "".

        `path` may then be another. What cannot be made again is said once. Blocks as disks do.
        """
        with self._mending:
            if not self._target or self._claimed is None:
                return ""
            before = self._claimed
            try:
                wanted = self._wanted_path()
                if wanted == before and self._is_there():
                    return ""
                self._make_again(wanted)
            except (ConfigError, OSError) as error:
                return self._told(f"{before} is gone and cannot be created again: {error}")
            self._trouble = ""
            return (
                f"{before} was removed; created it again"
                if wanted == before
                else f"{before} is now {wanted}, because its folder disappeared or appeared"
            )

    def _is_there(self) -> bool:
        try:
            return os.readlink(self.path) == self._target and os.fstat(self._lock).st_nlink > 0
        except OSError:
            return False

    def _make_again(self, path: Path) -> None:
        if os.path.lexists(path) and not _leads_to(path, self._target):
            raise ConfigError(f"{path} exists and is not a link that usbshare made")
        lock = self._lock if _is_same_file(_lock_path(path), self._lock) else self._locked(path)
        try:
            _make_link(path, self._target, lock)
        except BaseException:
            if lock != self._lock:
                os.close(lock)
            raise
        before, self._claimed = self._claimed, path
        if lock != self._lock:
            _close(self._lock)
            self._lock = lock
        if before is not None and before != path and _leads_to(before, self._target):
            before.unlink()

    def _told(self, trouble: str) -> str:
        known, self._trouble = self._trouble, trouble
        return "" if known == trouble else trouble

    def remove(self) -> None:
        """Take the link away if it still leads to our pty, and give the name up."""
        with self._mending:
            with contextlib.suppress(OSError):
                if self._target and os.readlink(self.path) == self._target:
                    self.path.unlink()
            _close(self._descriptor)
            self._end_guard()
            _close(self._lock)
            self._lock = self._descriptor = _NONE
            self._target, self._claimed = "", None

    def _start_guard(self) -> subprocess.Popen[bytes]:
        arguments = ["/bin/sh", "-c", _GUARD, "usbshare-link", str(self.path)]
        return subprocess.Popen(  # noqa: S603 - the system's shell, with a script of our own
            [*arguments, str(_lock_path(self.path))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._lock,),
            start_new_session=True,
        )

    def _end_guard(self) -> None:
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.kill()
            guard.communicate()


def _lock_path(path: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
    return runtime_folder() / f"{path.name[:100]}.{digest}.lock"


def _take_lock(lock: int, path: Path) -> None:
    end = time.monotonic() + _GUARD_ENDS_S
    while not _try_lock(lock):
        holder = _read_note(lock)
        if (holder and _is_alive(holder.pid)) or time.monotonic() > end:
            raise ConfigError(
                f"another usbshare program (process {holder.pid if holder else 'unknown'}) "
                f"offers {path}: end it or choose another name"
            )
        time.sleep(_RETRY_S)  # a killed one's guard is just about to end, or a sweep


def _require_free(lock: int, path: Path) -> None:
    if not os.path.lexists(path) or _is_left_behind(lock, path):
        return
    raise ConfigError(
        f"{path} exists and is not a link that usbshare made: remove it or choose another name"
    )


def _is_left_behind(lock: int, path: Path) -> bool:
    """Return whether it is a link to a pty that is gone, or to the one noted in our lock."""
    if not path.is_symlink():
        return False
    target, noted = os.readlink(path), _read_note(lock)
    if noted is not None and target == noted.target:
        return True
    leads_to_pty = target.startswith(_PTYS) or _DESCRIPTOR.fullmatch(target)
    return bool(leads_to_pty) and not os.path.exists(path)


def _make_link(path: Path, target: str, lock: int) -> None:
    """Make the link in one step, noted in its lock; raises ConfigError."""
    _write_note(lock, _Note(os.getpid(), target, str(path)))
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(path)
    except OSError as error:
        remedy = "create the folder" if isinstance(error, FileNotFoundError) else "choose another"
        raise ConfigError(
            f"cannot create the link {path}: {error.strerror}: {remedy}, or use a plain name"
        ) from error


def _leads_to(path: Path, target: str) -> bool:
    try:
        return os.readlink(path) == target
    except OSError:
        return False


def _is_same_file(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def remove_stale_links() -> list[Path]:
    """Remove the links of processes that were killed, and return them; of this user's only."""
    locks = [lock for folder in existing_runtime_folders() for lock in folder.glob("*.lock")]
    removed = [path for lock in sorted(locks) if (path := _sweep(lock)) is not None]
    for path in removed:
        log.warning("removed the link %s: the process that made it was killed", path)
    return removed


def _sweep(lock_path: Path) -> Path | None:
    """Remove the link that a lock records, if the lock is not held."""
    with contextlib.suppress(OSError), _opened(lock_path) as lock:
        if not _try_lock(lock) or (note := _read_note(lock)) is None or not note.path:
            return None
        path = Path(note.path)
        if path.is_symlink() and os.readlink(path) == note.target:
            path.unlink()
            return path
    return None


@contextlib.contextmanager
def _opened(lock_path: Path) -> Iterator[int]:
    lock = os.open(lock_path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        yield lock
    finally:
        os.close(lock)


@dataclass(frozen=True, slots=True)
class _Note:
    """What a lock says: who made which link, and where that leads."""

    pid: int
    target: str
    path: str


def _write_note(lock: int, note: _Note) -> None:
    text = f"{note.pid}\n{note.target}\n{note.path}"
    os.ftruncate(lock, 0)
    os.pwrite(lock, os.fsencode(text), 0)


def _read_note(lock: int) -> _Note | None:
    parts = os.fsdecode(os.pread(lock, _MOST_NOTED, 0)).split("\n", 2)
    if len(parts) != 3 or not parts[0].isdecimal():
        return None
    return _Note(int(parts[0]), parts[1], parts[2])


def _point(descriptor: int, slave_path: str) -> None:
    """Have the descriptor know another pty."""
    first = os.open(slave_path, _O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.dup2(first, descriptor, inheritable=False)
    finally:
        os.close(first)


def _way_to(slave_path: str) -> tuple[int, str]:
    """Return a descriptor that knows the pty and the path to it; none and the pty's elsewhere."""
    if not _O_PATH:
        return _NONE, slave_path
    first = os.open(slave_path, _O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        descriptor = fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, _drawn_number())
    finally:
        os.close(first)
    target = f"/proc/{os.getpid()}/fd/{descriptor}"
    try:
        is_ours = os.path.samestat(os.stat(target), os.stat(slave_path))
    except OSError:  # no /proc, or that of another namespace
        is_ours = False
    if not is_ours:
        os.close(descriptor)
        return _NONE, slave_path
    return descriptor, target


def _drawn_number() -> int:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= most < _LOWEST + _SPREAD + 64:
        return int(most) // 2
    return _LOWEST + secrets.randbelow(_SPREAD)


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _close(descriptor: int) -> None:
    if descriptor != _NONE:
        os.close(descriptor)
