"""What Linux alone does with a terminal: any baud rate, stick parity, low latency."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import struct
import termios
from pathlib import Path

from usbshare.line.posix.termios_settings import Termios

# struct termios2 of asm-generic/termbits.h: 4 flags, line discipline, 19 characters, 2 speeds.
_TERMIOS2 = struct.Struct("=4IB19s2I")
_TCGETS2 = 0x802C542A
_TCSETS2 = 0x402C542B
_SPEED_BITS = 0o010017
_SPEED_IS_A_NUMBER = 0o010000  # BOTHER
_INPUT_SPEED_BITS = _SPEED_BITS << 16
_ASYNC_LOW_LATENCY = 0x2000
_TTYS = Path("/sys/class/tty")
_DEVICES = Path("/sys/dev/char")
_OWN_RATE_DRIVER = "cdc_acm"
_SHORTEST_TIMER_MS = 1
_PTY_SLAVE_MAJORS = range(136, 144)


class LinuxTty:
    """TtyControl for Linux."""

    stick_parity = 0o10000000000  # CMSPAR
    external_processing = 0o200000  # EXTPROC
    start_break = 0x5427  # TIOCSBRK
    end_break = 0x5428  # TIOCCBRK

    def read(self, descriptor: int) -> Termios:
        """Read all settings at once; of a pty's master, those of its slave."""
        iflag, oflag, cflag, lflag, _, cc, _, baud = _read_raw(descriptor)
        return Termios(iflag, oflag, cflag & ~_SPEED_BITS, lflag, baud, cc)

    def write(self, descriptor: int, wanted: Termios) -> None:
        """Change all settings at once, without waiting; the driver keeps those it can."""
        cflag = wanted.cflag & ~(_SPEED_BITS | _INPUT_SPEED_BITS) | _speed_code(wanted.baud)
        discipline = _read_raw(descriptor)[4]
        flags = (wanted.iflag, wanted.oflag, cflag, wanted.lflag)
        packed = _TERMIOS2.pack(*flags, discipline, wanted.cc, wanted.baud, wanted.baud)
        fcntl.ioctl(descriptor, _TCSETS2, packed)

    def set_low_latency(self, descriptor: int) -> bool | None:
        """Ask the adapter to hand bytes over at once (FTDI waits 16 ms); return whether it does.

        None if it has no such timer, or does not report one.
        """
        with contextlib.suppress(OSError):
            serial_struct = array.array("i", [0] * 32)
            fcntl.ioctl(descriptor, termios.TIOCGSERIAL, serial_struct)
            serial_struct[4] |= _ASYNC_LOW_LATENCY
            fcntl.ioctl(descriptor, termios.TIOCSSERIAL, serial_struct)
        return timer_is_short(Path(os.ttyname(descriptor)).name)

    def has_line_rate(self, descriptor: int) -> bool:
        """Return False where a USB device takes bytes at its own rate (CDC-ACM)."""
        return not takes_at_own_rate(os.fstat(descriptor).st_rdev)

    def is_pty(self, descriptor: int) -> bool:
        """Return whether the descriptor is a pty's slave, which has no line behind it."""
        return os.major(os.fstat(descriptor).st_rdev) in _PTY_SLAVE_MAJORS


def timer_is_short(name: str, ttys: Path = _TTYS) -> bool | None:
    """Return whether the latency timer of the adapter (`ttyUSB0`) is at its 1 ms; None without one.

    The flag itself means nothing: most drivers accept it and have no timer, others never show it.
    """
    try:
        return int((ttys / name / "device" / "latency_timer").read_text()) <= _SHORTEST_TIMER_MS
    except (OSError, ValueError):
        return None


def takes_at_own_rate(device_number: int, devices: Path = _DEVICES) -> bool:
    """Return whether the driver is that of USB devices that make the host wait (cdc_acm)."""
    number = f"{os.major(device_number)}:{os.minor(device_number)}"
    try:
        driver = (devices / number / "device" / "driver").readlink().name
    except OSError:
        return False
    return driver == _OWN_RATE_DRIVER


def _read_raw(descriptor: int) -> tuple[int, int, int, int, int, bytes, int, int]:
    packed = fcntl.ioctl(descriptor, _TCGETS2, bytes(_TERMIOS2.size))
    iflag, oflag, cflag, lflag, discipline, cc, ispeed, ospeed = _TERMIOS2.unpack(packed)
    return iflag, oflag, cflag, lflag, discipline, cc, ispeed, ospeed


def _speed_code(baud: int) -> int:
    # Programs that read a pty's settings know the constants better than BOTHER.
    code = getattr(termios, f"B{baud}", _SPEED_IS_A_NUMBER)
    return code if isinstance(code, int) else _SPEED_IS_A_NUMBER
