"""Open a serial line by its path: locked, raw, with one clear line when it cannot be."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import grp
import os
import stat
import sys
import termios
import time
from dataclasses import dataclass

from usbshare.base.errors import (
    DeviceAbsentError,
    DeviceError,
    InvalidArgumentError,
    NotSupportedError,
)
from usbshare.line.open_guard import NoGuard, OpenGuard
from usbshare.line.posix.modem import read_modem_lines, set_modem_lines
from usbshare.line.posix.tty_control import Tty, TtyControl
from usbshare.line.settings import LineSettings, ModemLines

LEAVE_S = 0.25
_LEAVE_POLL_S = 0.005
_ABSENT = {errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.EIO}
_DENIED = {errno.EACCES, errno.EPERM}
_BUSY = {errno.EBUSY, errno.EAGAIN}


@dataclass(frozen=True, slots=True)
class OpenLine:
    """A serial line that is open; `settings` are those in force."""

    tty: Tty
    path: str
    settings: LineSettings
    is_pty: bool
    has_line_rate: bool
    low_latency: bool | None
    lines: ModemLines


def open_line(
    path: str,
    settings: LineSettings,
    control: TtyControl,
    *,
    dtr: bool | None,
    rts: bool | None,
    guard: OpenGuard | None = None,
) -> OpenLine:
    """Open, lock and configure the line; blocks. DTR and RTS stay as they are where None."""
    guard = guard or NoGuard()
    guard.before_open(path)
    descriptor = _open(path)
    try:
        guard.after_open(path, descriptor)
        return _prepare(Tty(descriptor, control), path, settings, dtr=dtr, rts=rts)
    except BaseException:
        os.close(descriptor)
        raise


def close_line(descriptor: int, *, is_pty: bool) -> None:
    """Close a line that may be gone or stuck; blocks, and 30 s if the driver insists.

    tty_port_close_start waits for output up to `closing_wait` (30 s, drivers/tty/tty_port.c), which
    a device that takes nothing never ends. What the driver holds gets a moment to leave, then it is
    discarded; drivers that cannot do that (usb-serial) wait all the same. The lock goes first, so
    that no program, least of all ourselves, is told that the device is in use.
    """
    with contextlib.suppress(OSError, termios.error):
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        if not is_pty:  # which never waits, and whose bytes would be taken from the other side
            fcntl.ioctl(descriptor, termios.TIOCNXCL)
            _let_leave(descriptor)
            termios.tcflush(descriptor, termios.TCOFLUSH)
    os.close(descriptor)


def _let_leave(descriptor: int) -> None:
    end = time.monotonic() + LEAVE_S
    while time.monotonic() < end:
        waiting = fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4))
        if not int.from_bytes(waiting, sys.byteorder):
            return
        time.sleep(_LEAVE_POLL_S)


def _open(path: str) -> int:
    try:
        if not stat.S_ISCHR(os.stat(path).st_mode):
            raise DeviceError(f"{path} is not a serial device")
        return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _error(path, error) from error


def _prepare(
    tty: Tty, path: str, settings: LineSettings, *, dtr: bool | None, rts: bool | None
) -> OpenLine:
    if not os.isatty(tty.descriptor):
        raise DeviceError(f"{path} is not a serial device")
    try:
        is_pty = tty.control.is_pty(tty.descriptor)
        has_line_rate = tty.control.has_line_rate(tty.descriptor)
        _lock(tty.descriptor, is_pty=is_pty)
        found = tty.configure(settings)
        _set_lines(tty.descriptor, dtr=dtr, rts=rts)
        termios.tcflush(tty.descriptor, termios.TCIFLUSH)
        lines = read_modem_lines(tty.descriptor)
    except (OSError, termios.error) as error:
        raise _error(path, error, tty.descriptor) from error
    except (InvalidArgumentError, NotSupportedError) as error:
        raise DeviceError(f"cannot open {path}: {error}") from error
    low_latency = _set_low_latency(tty)
    return OpenLine(tty, path, found, is_pty, has_line_rate, low_latency, lines)


def _set_low_latency(tty: Tty) -> bool | None:
    try:
        return tty.control.set_low_latency(tty.descriptor)
    except OSError:  # gone meanwhile, which the first read will show
        return None


def _lock(descriptor: int, *, is_pty: bool) -> None:
    # flock is what pyserial programs ask for, TIOCEXCL what minicom, Qt and modem probes respect.
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if not is_pty:  # a pty would keep TIOCEXCL after we are gone
        fcntl.ioctl(descriptor, termios.TIOCEXCL)


def _set_lines(descriptor: int, *, dtr: bool | None, rts: bool | None) -> None:
    if dtr is not None or rts is not None:
        set_modem_lines(descriptor, dtr=dtr, rts=rts)


def _error(path: str, error: Exception, own: int = -1) -> DeviceError:
    if error.args and error.args[0] in _ABSENT:
        return DeviceAbsentError(f"{path} is not there: is it plugged in and switched on?")
    return DeviceError(_why(path, error, own))


def _why(path: str, error: Exception, own: int) -> str:
    number = error.args[0] if error.args else None
    if number in _DENIED:
        return f"this user cannot open {path}{_permission_remedy(path)}"
    if number in _BUSY and _is_open_here(path, besides=own):
        return f"this service already has {path} open: two ports have the same device"
    if number in _BUSY:
        return f"{path} is held by another program: close it (`fuser -v {path}` names it)"
    return f"{path} cannot be opened: {error}"


def _is_open_here(path: str, *, besides: int) -> bool:
    """Return whether this process has the device open itself, under whatever name."""
    try:
        device = os.stat(path).st_rdev
        own = {int(name) for name in os.listdir("/dev/fd")} - {besides}
    except (OSError, ValueError):
        return False
    return any(_leads_to(descriptor, device) for descriptor in own)


def _leads_to(descriptor: int, device: int) -> bool:
    try:
        found = os.fstat(descriptor)
    except OSError:  # closed meanwhile
        return False
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == device


def _permission_remedy(path: str) -> str:
    try:
        group = grp.getgrgid(os.stat(path).st_gid).gr_name
    except (KeyError, OSError):
        return ""
    remedy = f"sudo usermod -aG {group} {_user_name()}"
    return f": it belongs to group '{group}': `{remedy}`, then log in again"


def _user_name() -> str:
    return os.environ.get("USER") or os.environ.get("LOGNAME") or "$USER"
