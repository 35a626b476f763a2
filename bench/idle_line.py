"""`serial-svc` for a device that is a pty and answers for its modem lines, as an adapter does."""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import Any

from usbshare.line.posix.linux_tty import LinuxTty
from usbshare.serial_svc.cli import main

_ioctl = fcntl.ioctl


def _answer(descriptor: int, request: int, *arguments: Any) -> Any:
    if request == termios.TIOCMGET:
        return struct.pack("i", termios.TIOCM_CTS)
    return _ioctl(descriptor, request, *arguments)


if __name__ == "__main__":
    fcntl.ioctl = _answer  # type: ignore[assignment]
    LinuxTty.is_pty = lambda *_: False  # type: ignore[method-assign]
    main()
