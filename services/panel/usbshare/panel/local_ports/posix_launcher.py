"""Processes that outlive the panel on Linux and macOS.

Each inherits the descriptor of a lock: while the process lives the lock is held, and its process id
cannot be another process's.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from usbshare.base.file_lock import is_locked

_MOST_DIGITS = 20


@dataclass(slots=True)
class _Running:
    """A process by its number, known to be the same as long as the lock is held."""

    number: int
    lock: Path
    child: subprocess.Popen[bytes] | None = None

    @property
    def is_alive(self) -> bool:
        if self.child is not None:
            return self.child.poll() is None
        return is_locked(self.lock)

    def end(self) -> None:
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.is_alive:
            with suppress(ProcessLookupError):
                os.kill(self.number, number)


class PosixLauncher:
    """See the top."""

    outlives = True

    def start(self, command: Sequence[str], log: Path, lock: Path) -> _Running:
        """Start a process in a session of its own, which a terminal's Ctrl-C does not reach."""
        held = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with log.open("ab") as written:
                child = subprocess.Popen(  # noqa: S603 - our own program
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=written,
                    start_new_session=True,
                    pass_fds=(held,),
                )
            os.write(held, str(child.pid).encode())
        finally:
            os.close(held)
        return _Running(child.pid, lock, child)

    def find(self, lock: Path) -> _Running | None:
        """Return the process that holds a lock, None if none does."""
        if not is_locked(lock):
            return None
        try:
            number = int(lock.read_bytes()[:_MOST_DIGITS])
        except (OSError, ValueError):
            return None
        return _Running(number, lock) if number > 1 else None
