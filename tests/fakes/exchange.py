"""Random bytes both ways between two descriptors, checked at the other end."""

from __future__ import annotations

import hashlib
import os
import random
import select
import threading

DEADLINE_S = 60.0
PIECE_BYTES = 5000


class OneWay:
    """Writes random bytes into one descriptor and reads them out of another, in two threads."""

    def __init__(self, source: int, sink: int, size: int, seed: int) -> None:
        self.count = 0
        self._source, self._sink, self._size = source, sink, size
        self._random = random.Random(seed)
        self._sent, self._received = hashlib.sha256(), hashlib.sha256()
        self._threads = [
            threading.Thread(target=self._write, daemon=True),
            threading.Thread(target=self._read, daemon=True),
        ]

    @property
    def is_over(self) -> bool:
        """Whether all has arrived, or nothing came for a minute."""
        return not any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def check(self) -> None:
        """Wait for the end; fails unless every byte arrived, once and in order."""
        for thread in self._threads:
            thread.join(DEADLINE_S * 2)
        assert self.count == self._size
        assert self._sent.digest() == self._received.digest()

    def _write(self) -> None:
        left = self._size
        while left:
            data = self._random.randbytes(min(left, self._random.randint(1, PIECE_BYTES)))
            self._sent.update(data)
            left -= len(data)
            while data:
                if not select.select([], [self._source], [], DEADLINE_S)[1]:
                    return
                data = data[os.write(self._source, data) :]

    def _read(self) -> None:
        while self.count < self._size:
            if not select.select([self._sink], [], [], DEADLINE_S)[0]:
                return
            data = os.read(self._sink, 65536)
            self.count += len(data)
            self._received.update(data)
