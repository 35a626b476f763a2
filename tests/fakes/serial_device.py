"""A serial device on a pty, in the test's own process, that can be unplugged and misbehave.

A thread takes the place of the device's firmware, so that tests may block.
"""

from __future__ import annotations

import os
import select
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

Answer = Callable[[bytes], bytes]
DEADLINE_S = 60.0
_READ_BYTES = 4096


def silent(_received: bytes) -> bytes:
    """Answer nothing."""
    return b""


def echo(received: bytes) -> bytes:
    """Send back what was received."""
    return received


class Acknowledging:
    """Answers each line with `ok`, and `?` with a status, as GRBL does."""

    def __call__(self, received: bytes) -> bytes:
        status = b"<Idle|MPos:0.000,0.000,0.000|FS:0,0>\r\n" * received.count(b"?")
        return status + b"ok\r\n" * received.count(b"\n")


class SerialDevice:
    """A device behind a link; `received` is all that it has ever read, over all replugs."""

    def __init__(self, link: Path, answer: Answer = silent) -> None:
        self.link = link
        self.answer = answer
        self.received = bytearray()
        self._master = -1
        self._is_reading = threading.Event()
        self._wake_read, self._wake_write = -1, -1
        self._thread: threading.Thread | None = None
        self._news = threading.Condition()

    def __enter__(self) -> Self:
        self.plug_in()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    @property
    def is_plugged_in(self) -> bool:
        """Whether there is a device now."""
        return self._thread is not None

    def plug_in(self, link: Path | None = None) -> None:
        """Appear at a new pty behind the same link, or another one from now on."""
        self.link = link or self.link
        self._master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        self._wake_read, self._wake_write = os.pipe()
        self._is_reading.set()
        self._thread = threading.Thread(target=self._live, args=(slave,), name="device")
        self._thread.daemon = True
        self._thread.start()
        _point(self.link, os.ttyname(slave))

    def unplug(self) -> None:
        """Vanish as a pulled cable: those who have it open are hung up."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self.link.unlink(missing_ok=True)
        os.write(self._wake_write, b"x")
        thread.join(DEADLINE_S)
        for descriptor in (self._master, self._wake_read, self._wake_write):
            os.close(descriptor)

    def stop_reading(self) -> None:
        """Take no more bytes; once the pty is full, writers block."""
        self._is_reading.clear()
        self._wake()

    def read_again(self) -> None:
        """Take bytes again."""
        self._is_reading.set()
        self._wake()

    def say(self, data: bytes) -> None:
        """Send bytes; those that are not taken within the deadline are lost."""
        end = time.monotonic() + DEADLINE_S
        while data and time.monotonic() < end:
            select.select([], [self._master], [], 0.1)
            with suppress(BlockingIOError):
                data = data[os.write(self._master, data) :]

    def wait_for(self, data: bytes, deadline_s: float = DEADLINE_S, *, times: int = 1) -> None:
        """Return once the bytes are among those received so often; fails with these otherwise."""
        with self._news:
            if not self._news.wait_for(lambda: self.received.count(data) >= times, deadline_s):
                raise AssertionError(f"no {data!r} in {bytes(self.received[-400:])!r}")

    def baud(self) -> int:
        """Return the rate that was set, as termios names it."""
        return int(termios.tcgetattr(self._master)[4])

    def _wake(self) -> None:
        if self.is_plugged_in:
            os.write(self._wake_write, b"w")

    def _live(self, slave: int) -> None:
        # The slave stays open while it is plugged in, else each close by the service is a hang-up.
        try:
            while self._take():
                pass
        finally:
            os.close(slave)

    def _take(self) -> bool:
        """Wait for bytes and answer them; False when it is unplugged."""
        wanted = [self._wake_read]
        if self._is_reading.is_set():
            wanted.append(self._master)
        ready, _, _ = select.select(wanted, [], [])
        if self._wake_read in ready and b"x" in os.read(self._wake_read, _READ_BYTES):
            return False
        if self._master in ready:
            with suppress(BlockingIOError):
                self._receive(os.read(self._master, _READ_BYTES))
        return True

    def _receive(self, data: bytes) -> None:
        with self._news:
            self.received += data
            self._news.notify_all()
        answer = self.answer(data)
        with suppress(BlockingIOError):
            while answer:
                answer = answer[os.write(self._master, answer) :]


@contextmanager
def plugged_in(link: Path, answer: Answer = silent) -> Iterator[SerialDevice]:
    """Have a device behind the link, gone at the end."""
    with SerialDevice(link, answer) as device:
        yield device


def _point(link: Path, path: str) -> None:
    """Make the link or move it, never a moment without."""
    new = link.with_name(f"{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(path)
    new.replace(link)
