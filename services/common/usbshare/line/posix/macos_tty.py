"""What macOS alone does with a terminal: any baud rate through IOKit; no stick parity."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios

from usbshare.line.posix.termios_settings import Termios

_IOSSIOSPEED = 0x80085402  # _IOW('T', 2, speed_t), and a speed_t has 8 bytes
_SAFE_BAUD = termios.B9600


class MacosTty:
    """TtyControl for macOS."""

    stick_parity = 0
    external_processing = 0x800  # EXTPROC
    start_break = 0x2000747B  # TIOCSBRK
    end_break = 0x2000747A  # TIOCCBRK

    def read(self, descriptor: int) -> Termios:
        """Read all settings at once; of a pty's master, those of its slave."""
        iflag, oflag, cflag, lflag, _, baud, cc = termios.tcgetattr(descriptor)
        return Termios(iflag, oflag, cflag, lflag, baud, b"".join(map(_as_byte, cc)))

    def write(self, descriptor: int, wanted: Termios) -> None:
        """Change all settings without waiting; a baud rate of no standard needs a second step."""
        try:
            _set(descriptor, wanted, wanted.baud)
        except termios.error as error:
            if error.args[0] != errno.EINVAL:
                raise OSError(*error.args) from error
            _set(descriptor, wanted, _SAFE_BAUD)
            fcntl.ioctl(descriptor, _IOSSIOSPEED, struct.pack("@L", wanted.baud))

    def set_low_latency(self, descriptor: int) -> bool | None:
        """Do nothing: drivers here hand bytes over at once, as far as is known."""
        return None

    def has_line_rate(self, descriptor: int) -> bool:
        """Return True: TIOCOUTQ does not see what waits in IOKit, so only line time bounds it."""
        return True

    def is_pty(self, descriptor: int) -> bool:
        """Return whether the descriptor is a pty's slave, which has no line behind it."""
        return os.ttyname(descriptor).startswith("/dev/ttys")


def _set(descriptor: int, wanted: Termios, baud: int) -> None:
    cc = [bytes([value]) for value in wanted.cc]
    attributes: list[int | list[bytes]] = [wanted.iflag, wanted.oflag, wanted.cflag, wanted.lflag]
    termios.tcsetattr(descriptor, termios.TCSANOW, [*attributes, baud, baud, cc])


def _as_byte(value: bytes | int) -> bytes:
    return value if isinstance(value, bytes) else bytes([value])
