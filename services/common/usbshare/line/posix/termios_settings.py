"""The terminal settings of a POSIX descriptor, and how a line's settings are written in them."""

from __future__ import annotations

import termios
from dataclasses import dataclass, replace

from usbshare.base.errors import InvalidArgumentError
from usbshare.line.settings import FlowControl, LineSettings, Parity

_DATA_BITS = {5: termios.CS5, 6: termios.CS6, 7: termios.CS7, 8: termios.CS8}
_SOFTWARE_FLOW = termios.IXON | termios.IXOFF
_COOKED_INPUT = (
    termios.IGNBRK
    | termios.BRKINT
    | termios.PARMRK
    | termios.INPCK
    | termios.ISTRIP
    | termios.INLCR
    | termios.IGNCR
    | termios.ICRNL
)
_COOKED_LOCAL = termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
_MAX_BAUD = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Termios:
    """All of a terminal's settings; `baud` is a number of symbols per second, never a constant."""

    iflag: int
    oflag: int
    cflag: int
    lflag: int
    baud: int
    cc: bytes


def raw(old: Termios) -> Termios:
    """Return the settings for unprocessed bytes, on a line that a close leaves alone."""
    cc = bytearray(old.cc)
    # VMIN 0 would make "nothing there" look like the end of file that a hang-up gives.
    cc[termios.VMIN], cc[termios.VTIME] = 1, 0
    return replace(
        old,
        iflag=old.iflag & ~(_COOKED_INPUT | _SOFTWARE_FLOW | termios.IXANY),
        oflag=old.oflag & ~termios.OPOST,
        cflag=(old.cflag | termios.CLOCAL | termios.CREAD) & ~termios.HUPCL,
        lflag=old.lflag & ~_COOKED_LOCAL,
        cc=bytes(cc),
    )


def with_settings(old: Termios, settings: LineSettings, stick_parity: int) -> Termios:
    """Write all line settings; `stick_parity` is the system's CMSPAR, 0 where it has none."""
    _validate(settings, stick_parity)
    cflag = old.cflag & ~(termios.CSIZE | termios.CSTOPB | termios.CRTSCTS)
    cflag |= _DATA_BITS[settings.data_bits]
    cflag |= termios.CSTOPB if settings.stop_bits > 1 else 0
    cflag |= termios.CRTSCTS if settings.flow_control is FlowControl.RTS_CTS else 0
    software = _SOFTWARE_FLOW if settings.flow_control is FlowControl.XON_XOFF else 0
    return replace(
        old,
        iflag=(old.iflag & ~(_SOFTWARE_FLOW | termios.IXANY)) | software,
        cflag=_with_parity(cflag, settings.parity, stick_parity),
        baud=settings.baud,
    )


def settings_of(found: Termios, stick_parity: int) -> LineSettings:
    """Read the line settings; two stop bits of a 5-bit line are 1.5, as UARTs make them."""
    data_bits = next(n for n, bits in _DATA_BITS.items() if found.cflag & termios.CSIZE == bits)
    long_stop = 1.5 if data_bits == 5 else 2
    return LineSettings(
        baud=found.baud,
        data_bits=data_bits,
        parity=_parity_of(found.cflag, stick_parity),
        stop_bits=long_stop if found.cflag & termios.CSTOPB else 1,
        flow_control=_flow_control_of(found),
    )


def refused_settings(wanted: LineSettings, found: LineSettings) -> list[str]:
    """Name each setting that did not take effect; a baud rate within 3 % did, as UARTs round it."""
    names = []
    if abs(found.baud - wanted.baud) > 0.03 * wanted.baud:
        names.append(f"baud {wanted.baud}")
    if found.data_bits != wanted.data_bits:
        names.append(f"data_bits {wanted.data_bits}")
    if found.parity is not wanted.parity:
        names.append(f"parity {wanted.parity.name}")
    if (found.stop_bits > 1) != (wanted.stop_bits > 1):
        names.append(f"stop_bits {wanted.stop_bits:g}")
    if found.flow_control is not wanted.flow_control:
        names.append(f"flow_control {wanted.flow_control.name}")
    return names


def _validate(settings: LineSettings, stick_parity: int) -> None:
    if not 0 < settings.baud <= _MAX_BAUD:
        raise InvalidArgumentError(f"baud {settings.baud} is not a valid line rate")
    if settings.data_bits not in _DATA_BITS:
        raise InvalidArgumentError(f"data_bits {settings.data_bits} is not 5, 6, 7 or 8")
    if settings.stop_bits not in {1, 1.5, 2}:
        raise InvalidArgumentError(f"stop_bits {settings.stop_bits:g} is not 1, 1.5 or 2")
    if settings.parity in {Parity.MARK, Parity.SPACE} and not stick_parity:
        raise InvalidArgumentError(f"this system does not support parity {settings.parity.name}")


def _with_parity(cflag: int, parity: Parity, stick_parity: int) -> int:
    bits = {
        Parity.NONE: 0,
        Parity.EVEN: termios.PARENB,
        Parity.ODD: termios.PARENB | termios.PARODD,
        Parity.MARK: termios.PARENB | termios.PARODD | stick_parity,
        Parity.SPACE: termios.PARENB | stick_parity,
    }
    return (cflag & ~(termios.PARENB | termios.PARODD | stick_parity)) | bits[parity]


def _parity_of(cflag: int, stick_parity: int) -> Parity:
    if not cflag & termios.PARENB:
        return Parity.NONE
    odd = bool(cflag & termios.PARODD)
    if cflag & stick_parity:
        return Parity.MARK if odd else Parity.SPACE
    return Parity.ODD if odd else Parity.EVEN


def _flow_control_of(found: Termios) -> FlowControl:
    if found.cflag & termios.CRTSCTS:
        return FlowControl.RTS_CTS
    return FlowControl.XON_XOFF if found.iflag & termios.IXON else FlowControl.NONE
