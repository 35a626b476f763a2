"""The modem lines of a descriptor, and what its driver counted, as Linux packs them."""

from __future__ import annotations

import errno
import fcntl
import struct
import sys
import termios
from collections.abc import Callable

import pytest

from usbshare.line.posix.modem import read_modem_lines
from usbshare.line.settings import LineCounts

TIOCGICOUNT = 0x545D
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux counts")


def answers(counts: Callable[[], bytes]) -> Callable[..., bytes]:
    """Return a driver's ioctl; struct serial_icounter_struct of linux/serial.h has 80 bytes."""

    def ioctl(_: int, request: int, argument: bytes) -> bytes:
        if request == TIOCGICOUNT:
            assert len(argument) == 80
            return counts()
        assert request == termios.TIOCMGET
        return struct.pack("i", termios.TIOCM_CTS | termios.TIOCM_DTR)

    return ioctl


def test_line_errors_are_those_that_the_driver_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # cts, dsr, rng, dcd, rx, tx, frame, overrun, parity, brk, buf_overrun, reserved[9]
    packed = struct.pack("20i", 1, 2, 3, 4, 1000, 2000, 5, 6, 7, 8, 9, *[0] * 9)
    monkeypatch.setattr(fcntl, "ioctl", answers(lambda: packed))
    lines = read_modem_lines(0)
    assert (lines.cts, lines.dsr, lines.dtr) == (True, False, True)
    assert lines.counts == LineCounts(breaks=8, framing_errors=5, parity_errors=7, overruns=15)


def test_a_driver_that_does_not_count_has_lines_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused() -> bytes:
        raise OSError(errno.ENOTTY, "no")

    monkeypatch.setattr(fcntl, "ioctl", answers(refused))
    assert read_modem_lines(0).counts is None
