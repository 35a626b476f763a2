"""What a kernel says while tests run, read as it comes: its buffer holds a few hundred faults."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# What it says when something of its own is wrong.
TROUBLE = re.compile(r"WARNING:|BUG:|Oops|Call Trace|blocked for more than|list_del|use-after")
_LONGEST_RECORD_BYTES = 8192


class KernelLog:
    """The records since it was opened; to be read before newer ones displace them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._troubles: list[str] = []

    def troubles(self) -> list[str]:
        """Return the warnings since it was opened; raises OSError where records were displaced."""
        with suppress(BlockingIOError):  # nothing new
            while record := os.read(self._descriptor, _LONGEST_RECORD_BYTES):
                line = record.decode(errors="replace")
                if TROUBLE.search(line):
                    self._troubles.append(line)
        return list(self._troubles)


@contextmanager
def kernel_log() -> Iterator[KernelLog]:
    """Give the kernel's log from here on."""
    descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    try:
        os.lseek(descriptor, 0, os.SEEK_END)
        yield KernelLog(descriptor)
    finally:
        os.close(descriptor)
