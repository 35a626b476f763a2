"""`serial-svc` for a device that is a pty, with a driver that tells what has not left.

`TIOCOUTQ` of a pty is always 0, so the count of bytes that its master could read (FIONREAD, at
most 4095) stands in for it. The master's descriptor is inherited and named by MASTER_VARIABLE.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios

from usbshare.line.posix.device import PosixDevice
from usbshare.serial_svc.__main__ import main

MASTER_VARIABLE = "USBSHARE_BENCH_MASTER"


def _serve() -> None:
    master = int(os.environ[MASTER_VARIABLE])

    def unsent_bytes(self: PosixDevice) -> int:
        return int(struct.unpack("i", fcntl.ioctl(master, termios.FIONREAD, bytes(4)))[0])

    PosixDevice.unsent_bytes = unsent_bytes  # type: ignore[method-assign]
    main()


if __name__ == "__main__":
    _serve()
