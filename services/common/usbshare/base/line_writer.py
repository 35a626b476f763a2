"""Lines for a stream that may block: a stopped terminal, a full pipe, a disk that hangs.

Callers add a line to a bounded queue; a daemon thread makes its text and writes it. Past
`MOST_WAITING` new lines are dropped and counted, and once the stream goes on, a line says how many.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TextIO

from usbshare.base.backlog import Backlog

MOST_WAITING = 2000
FLUSH_TIMEOUT_S = 1.0
_LOOK_S = 3600.0

Line = Callable[[], str]


class LineWriter:
    """Writes to one stream; the thread begins with the first line.

    `told_lost` returns the text that says how many lines were dropped.
    """

    def __init__(
        self,
        stream: TextIO,
        told_lost: Callable[[int], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stream = stream
        self._backlog: Backlog[Line] = Backlog(
            MOST_WAITING, clock, lambda count: partial(told_lost, count)
        )
        self._beginning = threading.Lock()
        self._thread: threading.Thread | None = None
        self._unwritten = 0

    @property
    def lost(self) -> int:
        """How many lines were dropped so far, since the stream took none."""
        return self._backlog.ever_lost + self._unwritten

    @property
    def is_behind(self) -> bool:
        """Whether something waits to be written."""
        return bool(self._backlog)

    def add(self, line: Line) -> None:
        """Have a text made and written, in the thread; never waits."""
        self._backlog.add(line)
        with self._beginning:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="lines", daemon=True)
                self._thread.start()
                atexit.register(self.flush)

    def write(self, text: str) -> None:
        """Have a text written; never waits."""
        self.add(lambda: text)

    def flush(self, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Wait until all is written; blocks, that long at most."""
        if self._thread is not None:
            self._backlog.wait_empty(timeout_s)

    def close(self) -> None:
        """Write what waits and end; blocks a second at most."""
        self.flush()
        self._backlog.end()
        atexit.unregister(self.flush)

    # The thread.

    def _write(self) -> None:
        while True:
            self._backlog.wait(_LOOK_S)
            lines = self._backlog.items()
            if not lines:
                return
            while lines:
                self._write_line(lines.pop(0))
                self._backlog.taken(1)

    def _write_line(self, line: Line) -> None:
        try:
            write_whole(self.stream, line())
        except (OSError, ValueError):  # it has no reader any longer, or it is closed
            self._unwritten += 1


def write_whole(stream: TextIO, text: str) -> None:
    """Write to the stream's descriptor; blocks while it takes nothing; raises OSError.

    A blocked writer inside of Python's own stream would hold its lock, for which everybody else
    and the interpreter's end would wait.
    """
    try:
        descriptor = stream.fileno()
    except (io.UnsupportedOperation, AttributeError):  # no file: a test's, an embedder's
        stream.write(text)
        return
    data = text.encode(errors="backslashreplace")
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:  # another program has made our terminal non-blocking
            select.select([], [descriptor], [])
