"""The modem lines of a POSIX descriptor."""

from __future__ import annotations

import errno
import fcntl
import select
import struct
import termios

from usbshare.base.errors import NotSupportedError
from usbshare.line.settings import ModemLines

WITHOUT_LINES = {errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP, errno.EPIPE}
_GONE = {errno.ENODEV, errno.ENXIO, errno.EBADF}
_BITS = struct.Struct("i")


def read_modem_lines(descriptor: int) -> ModemLines:
    """Read all lines; all None where the device has none; raises OSError when it is gone."""
    try:
        bits = _read(descriptor)
    except OSError as error:
        if error.errno in WITHOUT_LINES:
            return ModemLines()
        raise
    return ModemLines(
        cts=bool(bits & termios.TIOCM_CTS),
        dsr=bool(bits & termios.TIOCM_DSR),
        ri=bool(bits & termios.TIOCM_RNG),
        cd=bool(bits & termios.TIOCM_CAR),
        dtr=bool(bits & termios.TIOCM_DTR),
        rts=bool(bits & termios.TIOCM_RTS),
    )


def set_modem_lines(descriptor: int, *, dtr: bool | None, rts: bool | None) -> None:
    """Set both in one step, None leaves one alone; NotSupportedError where there are none."""
    try:
        bits = _with(_read(descriptor), termios.TIOCM_DTR, dtr)
        bits = _with(bits, termios.TIOCM_RTS, rts)
        fcntl.ioctl(descriptor, termios.TIOCMSET, _BITS.pack(bits))
    except OSError as error:
        if error.errno in WITHOUT_LINES:
            raise NotSupportedError("the device has no DTR and RTS lines") from error
        raise


def is_gone(descriptor: int, error: OSError) -> bool:
    """Return whether an error of a request means that the line itself has ended.

    EIO alone does not: USB drivers give it also for a request that the device did not take.
    """
    if error.errno in _GONE:
        return True
    poll = select.poll()
    poll.register(descriptor, 0)
    return any(event & (select.POLLHUP | select.POLLNVAL) for _, event in poll.poll(0))


def _read(descriptor: int) -> int:
    bits: int = _BITS.unpack(fcntl.ioctl(descriptor, termios.TIOCMGET, bytes(_BITS.size)))[0]
    return bits


def _with(bits: int, line: int, on: bool | None) -> int:
    if on is None:
        return bits
    return bits | line if on else bits & ~line
