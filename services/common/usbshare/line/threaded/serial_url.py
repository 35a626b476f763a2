"""pyserial's ports by name or URL: opening, settings in one step, and what a kind of port lacks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import serial

from usbshare.base.errors import (
    DeviceAbsentError,
    DeviceError,
    InvalidArgumentError,
    NotSupportedError,
)
from usbshare.line.open_guard import NoGuard, OpenGuard
from usbshare.line.settings import FlowControl, LineSettings, ModemLines

# A reader wakes this often to see whether it should end, where pyserial cannot cancel a read.
READ_TIMEOUT_S = 0.2
_WITHOUT_LINES = ("socket://",)
LEAVE_S = 0.25
_LEAVE_POLL_S = 0.005
_LACKING = (AttributeError, NotImplementedError, OSError)


def open_port(
    url: str,
    settings: LineSettings,
    *,
    dtr: bool | None,
    rts: bool | None,
    guard: OpenGuard | None = None,
) -> serial.Serial:
    """Open the port; blocks. pyserial raises DTR and RTS as it opens unless they are given."""
    guard = guard or NoGuard()
    guard.before_open(url)
    try:
        port = serial.serial_for_url(url, do_not_open=True, exclusive=True, timeout=READ_TIMEOUT_S)
        _store(port, settings)
        port.dtr = True if dtr is None else dtr
        port.rts = True if rts is None else rts
        port.open()
    except Exception as error:  # termios.error is no OSError, and Windows has no name for it
        raise _error(url, error) from error
    try:
        guard.after_open(port.name or url, _descriptor_of(port))
    except BaseException:
        port.close()
        raise
    return port


def configure_port(port: serial.Serial, old: LineSettings, new: LineSettings) -> None:
    """Change all settings in one step or none; blocks; raises InvalidArgumentError."""
    _validate(new)
    _store(port, new)
    try:
        _apply(port)
    except Exception as error:  # termios.error is no OSError, and Windows has no name for it
        _store(port, old)
        _apply(port)
        raise InvalidArgumentError(f"the device refuses {_changes(old, new)}: {error}") from error


def read_port_lines(url: str, port: serial.Serial) -> ModemLines:
    """Read the modem lines; blocks on a network port; all None where there are none."""
    if url.startswith(_WITHOUT_LINES):
        return ModemLines()
    try:
        inputs = ModemLines(cts=port.cts, dsr=port.dsr, ri=port.ri, cd=port.cd)
    except _LACKING:
        return ModemLines()
    return ModemLines(inputs.cts, inputs.dsr, inputs.ri, inputs.cd, dtr=port.dtr, rts=port.rts)


def set_port_lines(url: str, port: serial.Serial, dtr: bool | None, rts: bool | None) -> None:
    """Set output lines; blocks on a network port; NotSupportedError where there are none."""
    with _asked_for(url, "DTR and RTS"):
        if dtr is not None:
            port.dtr = dtr
        if rts is not None:
            port.rts = rts


def set_port_break(url: str, port: serial.Serial, on: bool) -> None:
    """Start or end a break; blocks on a network port; NotSupportedError where there is none."""
    with _asked_for(url, "a break"):
        port.break_condition = on


def waiting_output(port: serial.Serial) -> int | None:
    """Return how many bytes the driver holds, None where it cannot say."""
    try:
        return int(port.out_waiting)
    except _LACKING:
        return None


def cancel_blocking(port: serial.Serial) -> None:
    """End a read and a write that block in other threads, where this kind of port can."""
    for cancel in ("cancel_read", "cancel_write"):
        try:
            getattr(port, cancel)()
        except _LACKING:
            continue


def close_port(port: serial.Serial) -> None:
    """Close the port; blocks as long as the driver does.

    What a local driver holds gets a moment to leave and is discarded, since its close may wait
    30 s for it. The other side of a network port is left alone.
    """
    if "://" not in str(port.port) and port.is_open:
        end = time.monotonic() + LEAVE_S
        while waiting_output(port) and time.monotonic() < end:
            time.sleep(_LEAVE_POLL_S)
        with contextlib.suppress(Exception):  # termios.error is no OSError; see open_port
            port.reset_output_buffer()
    with contextlib.suppress(OSError):
        port.close()


def _descriptor_of(port: serial.Serial) -> int | None:
    try:
        return int(port.fileno())
    except (*_LACKING, ValueError):  # io.UnsupportedOperation is both of the last
        return None


@contextlib.contextmanager
def _asked_for(url: str, what: str) -> Iterator[None]:
    if url.startswith(_WITHOUT_LINES):  # pyserial would do nothing, and not say so
        raise NotSupportedError(f"{url} does not carry {what}")
    try:
        yield
    except ValueError as error:  # rfc2217: the other side gave another answer
        raise NotSupportedError(f"{url} refuses {what}: {error}") from error
    except Exception as error:  # termios.error is no OSError, and Windows has no name for it
        raise DeviceError(f"{url} did not accept {what}: {error}") from error


def _store(port: serial.Serial, settings: LineSettings) -> None:
    # The public setters reconfigure the device one by one: five steps, four of them wrong.
    values = {
        "_baudrate": settings.baud,
        "_bytesize": settings.data_bits,
        "_parity": settings.parity.value,
        "_stopbits": settings.stop_bits,
        "_xonxoff": settings.flow_control is FlowControl.XON_XOFF,
        "_rtscts": settings.flow_control is FlowControl.RTS_CTS,
    }
    for name, value in values.items():
        setattr(port, name, value)


def _apply(port: serial.Serial) -> None:
    port._reconfigure_port()  # type: ignore[attr-defined]  # private, and all that is atomic


def _validate(settings: LineSettings) -> None:
    if settings.baud <= 0:
        raise InvalidArgumentError(f"baud {settings.baud} is not a valid line rate")
    if settings.data_bits not in serial.SerialBase.BYTESIZES:
        raise InvalidArgumentError(f"data_bits {settings.data_bits} is not 5, 6, 7 or 8")
    if settings.stop_bits not in serial.SerialBase.STOPBITS:
        raise InvalidArgumentError(f"stop_bits {settings.stop_bits:g} is not 1, 1.5 or 2")


def _changes(old: LineSettings, new: LineSettings) -> str:
    pairs = {
        "baud": (old.baud, new.baud),
        "data_bits": (old.data_bits, new.data_bits),
        "parity": (old.parity.name, new.parity.name),
        "stop_bits": (old.stop_bits, new.stop_bits),
        "flow_control": (old.flow_control.name, new.flow_control.name),
    }
    changed = [f"{name} {after}" for name, (before, after) in pairs.items() if before != after]
    return ", ".join(changed) or "its settings"


def _error(url: str, error: Exception) -> DeviceError:
    text = str(error)
    if "FileNotFoundError" in text or "No such file" in text:
        return DeviceAbsentError(f"{url} is not there: is it plugged in and switched on?")
    return DeviceError(_why(url, text))


def _why(url: str, text: str) -> str:
    if "PermissionError" in text or "exclusively lock" in text:
        return f"{url} is held by another program, or this user cannot open it"
    return f"{url} cannot be opened: {text}"
