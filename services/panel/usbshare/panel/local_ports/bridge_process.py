"""One bridge process: started or found running, its events read, ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from usbshare.base.paths import make_private
from usbshare.panel.local_ports.wish import BridgeNews

# A log of this size is truncated: its contents are known.
MOST_LOG_BYTES = 256 * 1024


class Running(Protocol):
    """A process that runs, or has ended."""

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        ...

    def end(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it at once."""


class Launcher(Protocol):
    """Starts processes that outlive us where the system lets them."""

    @property
    def outlives(self) -> bool:
        """Whether processes that it starts outlive us."""
        ...

    def start(self, command: Sequence[str], log: Path, lock: Path) -> Running:
        """Start one that writes to a log; raises OSError."""
        ...

    def find(self, lock: Path) -> Running | None:
        """Return the one that was started with that lock and still runs, None if none does."""
        ...


class BridgeProcess:
    """A bridge, and its files in a folder."""

    def __init__(self, folder: Path, port_id: str, launcher: Launcher) -> None:
        self.news = BridgeNews()
        self._log = folder / f"{port_id}.log"
        self._lock = folder / f"{port_id}.lock"
        self._launcher = launcher
        self._running: Running | None = None
        self._offset = 0
        self._rest = b""
        self._looking = threading.Lock()

    def start(self, command: Sequence[str]) -> None:
        """Start it; raises OSError."""
        make_private(self._log.parent)
        self._log.write_bytes(b"")
        self._running = self._launcher.start(command, self._log, self._lock)

    def find(self) -> bool:
        """Take over a bridge that still runs, with its output so far.

        Returns whether there is one.
        """
        self._running = self._launcher.find(self._lock)
        return self._running is not None

    def look(self) -> bool:
        """Read its new output; returns whether it runs. Blocks for the disk."""
        with self._looking:
            is_alive = self._running is not None and self._running.is_alive
            self._read()
            if not is_alive:
                self.news.ended()
            return is_alive

    def end(self) -> None:
        """Ask it to end."""
        if self._running is not None:
            self._running.end()

    def kill(self) -> None:
        """End it at once."""
        if self._running is not None:
            self._running.kill()

    def forget(self) -> None:
        """Remove its files."""
        for path in (self._log, self._lock):
            path.unlink(missing_ok=True)

    def _read(self) -> None:
        try:
            with self._log.open("rb") as file:
                file.seek(self._offset)
                data = file.read(MOST_LOG_BYTES)
        except OSError:
            return
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self.news.heard(line)
        if self._offset >= MOST_LOG_BYTES:
            os.truncate(self._log, 0)  # it appends
            self._offset = 0
