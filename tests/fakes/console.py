"""The console as a process: fed by a pipe, or at a terminal that is read as a person reads it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fakes.processes import DEADLINE_S, SCRIPTS, environment

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>()][A-Z0-9]?)")


def piped(arguments: Sequence[str], home: Path, typed: str) -> subprocess.CompletedProcess[str]:
    """Run a script of ours with that input to its end."""
    return subprocess.run(
        [str(SCRIPTS / arguments[0]), *arguments[1:]],
        input=typed,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, **environment(home)},
    )


class Terminal:
    """A script at a terminal of 100 columns: what it shows without what only moves the cursor."""

    def __init__(self, arguments: Sequence[str], home: Path) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self.process = subprocess.Popen(
            [str(SCRIPTS / arguments[0]), *arguments[1:]],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, **environment(home), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        )
        os.close(slave)
        self._shown = ""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.master, keys.encode())

    def wait_for(self, pattern: str, deadline_s: float = DEADLINE_S) -> str:
        """Return what was shown up to the first match; the next wait looks behind it."""
        end = time.monotonic() + deadline_s
        while (match := re.search(pattern, self._shown)) is None:
            left_s = end - time.monotonic()
            ready = select.select([self.master], [], [], max(0.0, left_s))[0]
            assert ready, f"no {pattern!r} in:\n{self._shown}"
            try:
                data = os.read(self.master, 65536)
            except OSError as error:  # EIO: the process has ended
                raise AssertionError(f"ended without {pattern!r}:\n{self._shown}") from error
            plain = _ESCAPES.sub("", self._shown + data.decode(errors="replace"))
            self._shown = re.sub(r"\s+", " ", plain)  # lines are cut between words
        shown, self._shown = self._shown[: match.end()], self._shown[match.end() :]
        return shown

    def wait_for_all(self, *patterns: str) -> None:
        """Return once all of them were shown, in whatever order; the next wait looks behind."""
        self.wait_for("^" + "".join(f"(?=.*{pattern})" for pattern in patterns) + ".*")

    def ask(self, line: str, pattern: str) -> str:
        """Type a line and return what was shown up to the match."""
        self.type(f"{line}\r")
        return self.wait_for(pattern)

    def close(self) -> int:
        """End it, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(DEADLINE_S)
        os.close(self.master)
        return code


@contextmanager
def terminal(arguments: Sequence[str], home: Path) -> Iterator[Terminal]:
    """Run a script at a terminal."""
    shown = Terminal(arguments, home)
    try:
        yield shown
    finally:
        shown.close()


def until(holds: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Wait until something holds that nothing tells of."""
    end = time.monotonic() + deadline_s
    while not holds():
        assert time.monotonic() < end, f"never: {what}"
        select.select([], [], [], 0.02)
