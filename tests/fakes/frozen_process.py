"""A program of ours whose disk is frozen and whose stderr takes nothing, when the test says so."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import termios
import threading
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from fakes import frozen_disk
from fakes.processes import environment

DEADLINE_S = 60.0
LAST_WORDS_S = 1.0


class FrozenProcess:
    """A program on `frozen_disk`; on a `terminal` its stderr is stopped as by Ctrl-S.

    `faults` are the calls that blocked the event loop while the disk was frozen.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        home: Path,
        *,
        terminal: bool,
        frozen_folder: Path | None = None,
    ) -> None:
        self.said = ""
        self._terminal = terminal
        self._reading, self._writing = os.openpty() if terminal else os.pipe()
        if terminal:
            tty.setraw(self._writing)
        control, self._control = os.pipe()
        self._report, report = os.pipe()
        passed = {
            frozen_disk.CONTROL_VARIABLE: str(control),
            frozen_disk.REPORT_VARIABLE: str(report),
            frozen_disk.FOLDER_VARIABLE: str(frozen_folder or ""),
        }
        self.process = subprocess.Popen(
            [sys.executable, frozen_disk.__file__, *arguments],
            env={**os.environ, **environment(home), **passed},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._writing,
            pass_fds=(control, report),
        )
        os.close(control)
        os.close(report)
        self._told = bytearray()
        self._news = threading.Condition()
        self._collector = threading.Thread(target=self._collect, daemon=True)
        self._collector.start()

    @property
    def faults(self) -> str:
        """What the program did on its event loop that a frozen disk blocks."""
        text = self._told.decode(errors="replace")
        return text[text.index("BLOCKED") :] if "BLOCKED" in text else ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Read stderr until it matches."""
        while (match := re.search(pattern, self.said)) is None:
            data = os.read(self._reading, 65536)
            if not data:
                raise AssertionError(f"no {pattern!r} in:\n{self.said}")
            self.said += data.decode(errors="replace")
        return match

    def freeze(self) -> None:
        """Let no file call return any more, and stderr take nothing."""
        if self._terminal:
            termios.tcflow(self._writing, termios.TCOOFF)
        else:
            self._fill()
        self._tell(b"f", b"frozen\n")

    def thaw(self) -> None:
        """Let the disk go on, and stderr be read."""
        self._tell(b"t", b"thawed\n")
        if self._terminal:
            termios.tcflow(self._writing, termios.TCOON)

    def threads(self) -> str:
        """Return what each of its threads is doing."""
        had = len(self._told)
        self.process.send_signal(signal.SIGUSR1)
        with self._news:
            self._news.wait_for(lambda: len(self._told) > had, LAST_WORDS_S)
        time.sleep(LAST_WORDS_S)
        return self._told[had:].decode(errors="replace")

    def last_words(self) -> str:
        """Thaw, and return what it has to say."""
        self.thaw()
        os.set_blocking(self._reading, False)
        end = time.monotonic() + LAST_WORDS_S
        while time.monotonic() < end:
            with suppress(BlockingIOError):
                self.said += os.read(self._reading, 65536).decode(errors="replace")
            time.sleep(0.01)
        return self.said

    def end(self) -> None:
        """Ask it to end, and wait for that."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"it does not end: {self.threads()}") from error

    def close(self) -> None:
        """Kill it if it is still there."""
        self.process.kill()
        self.process.wait()
        for descriptor in (self._reading, self._writing, self._control):
            with suppress(OSError):
                os.close(descriptor)
        self._collector.join(DEADLINE_S)
        os.close(self._report)

    def _fill(self) -> None:
        os.set_blocking(self._writing, False)
        with suppress(BlockingIOError):
            while True:
                os.write(self._writing, b"x" * 4096)
        with suppress(BlockingIOError):
            while True:
                os.write(self._writing, b"x")
        os.set_blocking(self._writing, True)

    def _tell(self, command: bytes, answer: bytes) -> None:
        os.write(self._control, command)
        with self._news:
            assert self._news.wait_for(lambda: answer in self._told, DEADLINE_S)

    def _collect(self) -> None:
        while data := os.read(self._report, 65536):
            with self._news:
                self._told += data
                self._news.notify_all()


@contextmanager
def frozen_later(
    arguments: Sequence[str],
    home: Path,
    *,
    terminal: bool = False,
    frozen_folder: Path | None = None,
) -> Iterator[FrozenProcess]:
    """Run a program that the test can freeze."""
    process = FrozenProcess(arguments, home, terminal=terminal, frozen_folder=frozen_folder)
    try:
        yield process
    except BaseException:
        print(process.threads(), process.last_words())
        raise
    finally:
        process.close()
