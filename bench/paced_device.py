"""A device that takes exactly what a line at this rate would have carried, and times each `!`.

`python -m bench.paced_device MASTER BYTES_PER_S [ok|chatter|report]`: MASTER is an inherited
descriptor of a pty. For each `!` it prints the moment (CLOCK_MONOTONIC, ns) at which it was read,
and how many bytes had come. `ok` answers each line, `chatter` sends status lines at the rate of the
line, `report` answers each line and each `?`, as a machine does that obeys `!` and `~`.
"""

from __future__ import annotations

import os
import select
import sys
import time

TICK_S = 0.0005
STOP_BYTE = ord("!")
STATUS = b"<Run|MPos:12.345,67.890,0.000|FS:1500,250>\r\n" * 100
READY = "ready"
IDLE, RUNNING, HELD = b"Idle", b"Run", b"Hold:0"
REPORT = b"<%b|MPos:0.000,0.000,0.000|FS:0,0>\r\n"


class PacedDevice:
    """Reads and writes a pty's master by line time."""

    def __init__(self, master: int, bytes_per_s: float, voice: str) -> None:
        self._master = master
        self._rate = bytes_per_s
        self._answers = voice in ("ok", "report")
        self._reports = voice == "report"
        self._chatters = voice == "chatter"
        self._state = IDLE
        self._received = 0
        self._clear_at = 0.0
        self._said, self._saying_since = 0, 0.0

    def run(self) -> None:
        """Live until killed."""
        os.set_blocking(self._master, False)
        self._clear_at = self._saying_since = time.monotonic()
        while True:
            time.sleep(TICK_S)
            if self._chatters:
                self._chatter()
            if not self._take_what_is_due() and not self._chatters:
                select.select([self._master], [], [])
                self._clear_at = time.monotonic()

    def _take_what_is_due(self) -> bool:
        """Read as many bytes as have come over the line since; False when the line is idle."""
        now = time.monotonic()
        due = int((now - self._clear_at) * self._rate)
        if not due:
            return True
        try:
            data = os.read(self._master, due)
        except BlockingIOError:
            self._clear_at = now
            return False
        self._clear_at += len(data) / self._rate
        self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        stops = data.count(STOP_BYTE)
        if stops:
            moment = time.monotonic_ns()
        self._received += len(data)
        for _ in range(stops):
            print(moment, self._received, flush=True)
        if self._answers:
            self._say(b"ok\r\n" * data.count(b"\n"))
        if self._reports:
            self._report(data)

    def _report(self, data: bytes) -> None:
        if b"G" in data and self._state is IDLE:
            self._state = RUNNING
        for byte in data:
            if byte in b"!~":
                self._state = HELD if byte == STOP_BYTE else RUNNING
        self._say(REPORT % self._state * data.count(b"?"))

    def _chatter(self) -> None:
        due = int((time.monotonic() - self._saying_since) * self._rate) - self._said
        start = self._said % len(STATUS)
        self._said += self._say((STATUS + STATUS)[start : start + min(due, len(STATUS))])

    def _say(self, data: bytes) -> int:
        try:
            return os.write(self._master, data) if data else 0
        except BlockingIOError:
            return 0


def main(master: str, bytes_per_s: str, voice: str = "") -> None:
    """Run a device."""
    device = PacedDevice(int(master), float(bytes_per_s), voice)
    print(READY, flush=True)
    device.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
