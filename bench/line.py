"""The two ends of a serial line, for the benchmarks: line.c in Python, where no compiler is.

`python -m bench.line echo LINK | ask PATH | flow PATH | flow -LINK`, as in line.c.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from dataclasses import dataclass
from zlib import crc32

LINE = b"G1 X10.000 Y20.0000\n"
READ_BYTES = 4096
ANSWER_TIMEOUT_S = 5.0
QUIET_S = 2.0
_PATTERN = bytes(index * 167 >> 3 & 0xFF for index in range(2048)) * 3


def echo(link: str) -> None:
    """Answer every line with `ok`."""
    descriptor = _make_pty(link)
    _say("ready")
    while True:
        os.write(descriptor, b"ok\n" * os.read(descriptor, READ_BYTES).count(b"\n"))


def ask(path: str) -> None:
    """Measure round trips, in ns, as often and as far apart (us) as each line of stdin says."""
    descriptor = _open_line(path)
    _say("ready")
    for count, gap_us in _orders():
        _say(*(_round_trip(descriptor, gap_us / 1e6) for _ in range(int(count))))


def flow(place: str) -> None:
    """Send and receive at once: for each `SIZE BYTES_PER_S SECONDS` of stdin."""
    descriptor = _make_pty(place[1:]) if place.startswith("-") else _open_line(place)
    os.set_blocking(descriptor, False)
    _say("ready")
    for size, bytes_per_s, seconds in _orders():
        start = time.monotonic()
        run = Flow(descriptor, int(size), bytes_per_s, int(bytes_per_s * seconds))
        run.run()
        sums = f"{run.sent_sum:x}", f"{run.received_sum:x}"
        _say(run.sent, sums[0], run.received, sums[1], f"{time.monotonic() - start:.3f}")


@dataclass(slots=True)
class Flow:
    """One run of `flow`; the sums are of the bytes, not of the pieces they came in."""

    descriptor: int
    size: int
    bytes_per_s: float
    total: int
    sent: int = 0
    received: int = 0
    sent_sum: int = 0
    received_sum: int = 0
    quiet_since: float = 0.0

    def run(self) -> None:
        """Send at the line's rate until all is sent and received, or nothing comes any more."""
        start = self.quiet_since = time.monotonic()
        while self.sent < self.total or self.received < self.total:
            now = time.monotonic()
            if self.sent == self.total and now - self.quiet_since > QUIET_S:
                return
            wait_s = start + self.sent / self.bytes_per_s - now if self.sent < self.total else 0.1
            self._step(max(0.0, wait_s), may_send=self.sent < self.total and wait_s <= 0)

    def _step(self, wait_s: float, *, may_send: bool) -> None:
        writers = [self.descriptor] if may_send else []
        readable, writable, _ = select.select(
            [self.descriptor], writers, [], 0.1 if may_send else wait_s
        )
        if readable:
            self._receive()
        if writable:
            self._send()

    def _send(self) -> None:
        most = min(self.size - self.sent % self.size, self.total - self.sent)
        start = self.sent % 2048
        taken = os.write(self.descriptor, _PATTERN[start : start + most])
        self.sent_sum = crc32(_PATTERN[start : start + taken], self.sent_sum)
        self.sent += taken
        self.quiet_since = time.monotonic()

    def _receive(self) -> None:
        data = os.read(self.descriptor, READ_BYTES)
        self.received_sum = crc32(data, self.received_sum)
        self.received += len(data)
        self.quiet_since = time.monotonic()


def _round_trip(descriptor: int, gap_s: float) -> int:
    if gap_s:
        time.sleep(gap_s)
    start = time.monotonic_ns()
    os.write(descriptor, LINE)
    while True:
        if not select.select([descriptor], [], [], ANSWER_TIMEOUT_S)[0]:
            sys.exit("no answer")
        if os.read(descriptor, READ_BYTES).endswith(b"\n"):
            return time.monotonic_ns() - start


def _orders() -> Iterator[list[float]]:
    for line in sys.stdin:
        yield [float(word) for word in line.split()]


def _make_pty(link: str) -> int:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.symlink(os.ttyname(slave), link)
    return master


def _open_line(path: str) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(descriptor)
    termios.tcflush(descriptor, termios.TCIOFLUSH)
    return descriptor


def _say(*words: object) -> None:
    print(*words, flush=True)


if __name__ == "__main__":
    {"echo": echo, "ask": ask, "flow": flow}[sys.argv[1]](sys.argv[2])
