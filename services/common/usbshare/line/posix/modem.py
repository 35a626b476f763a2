"""The modem lines of a POSIX descriptor."""

from __future__ import annotations

import errno
import fcntl
import select
import struct
import sys
import termios

from usbshare.base.errors import NotSupportedError
from usbshare.line.settings import LineCounts, ModemLines

WITHOUT_LINES = {errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP, errno.EPIPE}
_GONE = {errno.ENODEV, errno.ENXIO, errno.EBADF}
_BITS = struct.Struct("i")
# Linux's count of what befell a line (struct serial_icounter_struct, linux/serial.h).
_TIOCGICOUNT = 0x545D if sys.platform == "linux" else None
_ICOUNT = struct.Struct("11i36x")


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
        counts=_counts(descriptor),
    )


def _counts(descriptor: int) -> LineCounts | None:
    if _TIOCGICOUNT is None:
        return None
    try:
        raw = fcntl.ioctl(descriptor, _TIOCGICOUNT, bytes(_ICOUNT.size))
    except OSError:  # not every driver counts, and that the line is gone its lines say
        return None
    *_, framing, overrun, parity, breaks, buffer_overrun = _ICOUNT.unpack(raw)
    return LineCounts(breaks, framing, parity, overrun + buffer_overrun)


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
