"""What was typed at the prompt, kept in the state folder; a disk that hangs delays nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from queue import Empty, Full, Queue

from prompt_toolkit.history import History

from usbshare.base.deadline import in_time
from usbshare.base.paths import make_private, state_folder, write_private
from usbshare.base.plain_file import open_plain

FILE_NAME = "console_history"
MOST_LINES = 1000
MOST_BYTES = 512 * 1024
LOAD_S = 1.0
MOST_WAITING = 100
# What is typed behind it is a secret while it is new.
_SECRETS = ("confirm",)


def console_history() -> FileHistory:
    """Return this user's history."""
    return FileHistory(state_folder() / FILE_NAME)


class FileHistory(History):
    """Lines of a file; a thread writes it. What cannot be read or written is history of today."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._lines: list[str] = []
        self._waiting: Queue[str] = Queue(MOST_WAITING)
        self._thread: threading.Thread | None = None

    def load_history_strings(self) -> Iterable[str]:
        """Return the lines, the newest first."""
        try:
            self._lines = in_time(self._path.name, self._read, lambda _: None, LOAD_S)
        except (OSError, ValueError, TimeoutError):
            self._lines = []
        return reversed(self._lines)

    def append_string(self, string: str) -> None:
        """Keep a line, unless it holds a secret."""
        if string.strip().casefold().startswith(_SECRETS):
            return
        super().append_string(string)

    def store_string(self, string: str) -> None:
        """Have a line written; never waits."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="history", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(string)
        except Full:
            return

    def flush(self, timeout_s: float = LOAD_S) -> None:
        """Wait until all is written; blocks, that long at most."""
        if self._thread is not None:
            done = threading.Thread(target=self._waiting.join, daemon=True)
            done.start()
            done.join(timeout_s)

    def _read(self) -> list[str]:
        with open_plain(self._path) as file:
            text = file.read(MOST_BYTES).decode(errors="replace")
        return [line for line in text.splitlines() if line.isprintable()][-MOST_LINES:]

    # The thread.

    def _write(self) -> None:
        while True:
            lines = [self._waiting.get()]
            while True:
                try:
                    lines.append(self._waiting.get_nowait())
                except Empty:
                    break
            self._lines = [*self._lines, *(line.replace("\n", " ") for line in lines)][-MOST_LINES:]
            try:
                make_private(self._path.parent)
                write_private(self._path, ("\n".join(self._lines) + "\n").encode())
            except OSError:
                pass
            for _ in lines:
                self._waiting.task_done()
