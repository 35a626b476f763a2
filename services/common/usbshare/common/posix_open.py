"""Open a serial line by its path: locked, raw, with one clear line when it cannot be."""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import stat
import termios
from dataclasses import dataclass

from usbshare.common.errors import DeviceError, InvalidArgumentError, NotSupportedError
from usbshare.common.line import LineSettings
from usbshare.common.posix_modem import set_modem_lines
from usbshare.common.tty_control import Tty, TtyControl

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


def open_line(
    path: str, settings: LineSettings, control: TtyControl, *, dtr: bool | None, rts: bool | None
) -> OpenLine:
    """Open, lock and configure the line; blocks. DTR and RTS stay as they are where None."""
    descriptor = _open(path)
    try:
        return _prepare(Tty(descriptor, control), path, settings, dtr=dtr, rts=rts)
    except BaseException:
        os.close(descriptor)
        raise


def _open(path: str) -> int:
    try:
        if not stat.S_ISCHR(os.stat(path).st_mode):
            raise DeviceError(f"{path} is not a serial device")
        return os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DeviceError(_why(path, error)) from error


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
    except (OSError, termios.error) as error:
        raise DeviceError(_why(path, error)) from error
    except (InvalidArgumentError, NotSupportedError) as error:
        raise DeviceError(f"cannot open {path}: {error}") from error
    return OpenLine(tty, path, found, is_pty, has_line_rate, _set_low_latency(tty))


def _set_low_latency(tty: Tty) -> bool | None:
    try:
        return tty.control.set_low_latency(tty.descriptor)
    except OSError:  # gone meanwhile, which the first read will tell
        return None


def _lock(descriptor: int, *, is_pty: bool) -> None:
    # flock is what pyserial programs ask for, TIOCEXCL what minicom, Qt and modem probes respect.
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if not is_pty:  # a pty would keep TIOCEXCL after we are gone
        fcntl.ioctl(descriptor, termios.TIOCEXCL)


def _set_lines(descriptor: int, *, dtr: bool | None, rts: bool | None) -> None:
    if dtr is not None or rts is not None:
        set_modem_lines(descriptor, dtr=dtr, rts=rts)


def _why(path: str, error: Exception) -> str:
    number = error.args[0] if error.args else None
    if number in _ABSENT:
        return f"{path} is not there: is it plugged in and switched on?"
    if number in _DENIED:
        return f"{path} may not be opened by this user{_permission_remedy(path)}"
    if number in _BUSY:
        return f"{path} is held by another program: close it (`fuser -v {path}` names it)"
    return f"{path} cannot be opened: {error}"


def _permission_remedy(path: str) -> str:
    try:
        group = grp.getgrgid(os.stat(path).st_gid).gr_name
    except (KeyError, OSError):
        return ""
    remedy = f"sudo usermod -aG {group} {_user_name()}"
    return f": it belongs to group '{group}': `{remedy}`, then log in again"


def _user_name() -> str:
    return os.environ.get("USER") or os.environ.get("LOGNAME") or "$USER"
