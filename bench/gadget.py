"""The device's end of a CDC-ACM port: reads at a rate, and says at which it really did.

`python -m bench.gadget PATH BYTES_PER_S TOTAL_BYTES`, 0 for as fast as can be.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty

_LEAD_BYTES = 64
_PAUSE_S = 0.002


def device(path: str, rate: float, total: int) -> None:
    """Read so many bytes at a rate; prints the bytes a second from the first one to the last."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(descriptor)
    termios.tcflush(descriptor, termios.TCIOFLUSH)
    print("ready", flush=True)
    select.select([descriptor], [], [])
    start = time.monotonic()
    received = 0
    while received < total:
        select.select([descriptor], [], [])
        due = int((time.monotonic() - start) * rate) - received + _LEAD_BYTES if rate else total
        if due > 0:
            received += len(_read(descriptor, due))
        else:
            time.sleep(_PAUSE_S)
    print("rate", received / max(time.monotonic() - start, 1e-3), flush=True)


def _read(descriptor: int, size: int) -> bytes:
    try:
        return os.read(descriptor, size)
    except BlockingIOError:
        return b""


if __name__ == "__main__":
    device(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
