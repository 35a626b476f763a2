"""A program that streams G-code to a port it has opened, by character counting."""

from __future__ import annotations

import math
import os
import select
import tty
from collections import deque

DEADLINE_S = 60.0
WINDOW_BYTES = 127


def opened(path: str) -> int:
    """Open a virtual port as programs do."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(descriptor)
    return descriptor


class Program:
    """A program that has the port open."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._received = b""
        self.oks = 0

    def wait_for_banner(self) -> None:
        while b"Grbl" not in self._received:
            self._receive()

    def send(self, lines: list[bytes]) -> None:
        sent: deque[int] = deque()
        self._received = b""
        for line in lines:
            while sum(sent) + len(line) > WINDOW_BYTES:
                self._take_answers(sent)
            os.write(self._descriptor, line)
            sent.append(len(line))
        while sent:
            self._take_answers(sent)

    def _take_answers(self, sent: deque[int]) -> None:
        self._receive()
        *answers, self._received = self._received.split(b"\n")
        for answer in answers:
            assert not answer.startswith(b"error"), answer
            if answer.strip() == b"ok":
                self.oks += 1
                sent.popleft()

    def _receive(self) -> None:
        assert select.select([self._descriptor], [], [], DEADLINE_S)[0], self._received
        data = os.read(self._descriptor, 4096)
        assert data, "hung up"
        self._received += data


def rosette(feed: int = 3000) -> bytes:
    """Return a program that burns a figure of 1200 segments, weaker and stronger."""
    lines = ["G21", "G90", "G0 X200 Y120", "M4 S300", f"F{feed}"]
    for step in range(1, 1201):
        angle = step * math.tau / 1200
        radius = 50 + 30 * math.cos(angle * 12)
        x, y = 120 + radius * math.cos(angle), 120 + radius * math.sin(angle)
        lines.append(f"G1 X{x:.3f} Y{y:.3f} S{300 + step % 300}")
    return "\n".join([*lines, "M5", "M2", ""]).encode()
