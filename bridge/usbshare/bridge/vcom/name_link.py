"""The stable name of a pty: a symbolic link, with a lock that tells whose it is."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path

from usbshare.common.errors import ConfigError
from usbshare.common.paths import runtime_folder

_NOT_LOCKED = -1


class NameLink:
    """A link to a pty under a name; the lock lives in the runtime folder as long as its holder."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = _NOT_LOCKED
        self._target = ""

    @property
    def path(self) -> Path:
        """Where the link is: a plain name in the runtime folder, a path as it is."""
        if not self._name:
            raise ConfigError("the virtual port's name is empty")
        if os.sep in self._name:
            return Path(os.path.abspath(self._name))
        return runtime_folder() / self._name

    def claim(self) -> None:
        """Take the name; raises ConfigError when it is another bridge's or no link of ours."""
        lock = os.open(self._lock_path(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._take_lock(lock)
            self._require_free(lock)
        except BaseException:
            os.close(lock)
            raise
        self._lock = lock

    def show(self, target: str) -> None:
        """Make the link in one step, over a stale one; raises ConfigError."""
        _note(self._lock, target)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            temporary.replace(self.path)
        except OSError as error:
            raise ConfigError(self._why_not(error)) from error
        self._target = target

    def remove(self) -> None:
        """Take the link away if it still leads to our pty, and give the name up."""
        with contextlib.suppress(OSError):
            if self._target and os.readlink(self.path) == self._target:
                self.path.unlink()
        if self._lock != _NOT_LOCKED:
            os.close(self._lock)
        self._lock, self._target = _NOT_LOCKED, ""

    def _lock_path(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        return runtime_folder() / f"{self.path.name[:100]}.{digest}.lock"

    def _take_lock(self, lock: int) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, 100, 0).decode(errors="replace").partition(" ")[0]
            raise ConfigError(
                f"another bridge (process {holder or 'unknown'}) offers {self.path}: "
                "end it or choose another name"
            ) from error

    def _require_free(self, lock: int) -> None:
        if not os.path.lexists(self.path) or self._is_left_by_a_killed_bridge(lock):
            return
        raise ConfigError(
            f"{self.path} exists and is not a link that a bridge made: "
            "remove it or choose another name"
        )

    def _is_left_by_a_killed_bridge(self, lock: int) -> bool:
        """Tell whether it is a link to a pty that is gone, or to the one noted in our lock."""
        if not self.path.is_symlink():
            return False
        target = os.readlink(self.path)
        noted = os.pread(lock, 4096, 0).decode(errors="replace").partition(" ")[2]
        return target == noted or (_is_pty_name(target) and not os.path.exists(target))

    def _why_not(self, error: OSError) -> str:
        remedy = "make the folder" if isinstance(error, FileNotFoundError) else "choose another"
        return f"cannot make the link {self.path}: {error.strerror}: {remedy}, or use a plain name"


def _note(lock: int, target: str) -> None:
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()} {target}".encode(), 0)


def _is_pty_name(target: str) -> bool:
    return target.startswith(("/dev/pts/", "/dev/ttys"))
