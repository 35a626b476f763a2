"""Installs a systemd unit and starts it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from usbshare.base.errors import ConfigError, UsbshareError

SYSTEM_FOLDER = Path("/etc/systemd/system")
# Where ProtectHome= lets a unit see nothing.
_HOMES = ("/home/", "/root/", "/run/user/")
_TIMEOUT_S = 200.0  # longer than a unit of ours may take to start


@dataclass(frozen=True, slots=True)
class Manager:
    """The system's manager or the user's own: where its units are, how it is called."""

    is_user: bool

    @property
    def folder(self) -> Path:
        """Where units of this manager belong."""
        if not self.is_user:
            return SYSTEM_FOLDER
        config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
        return Path(config) / "systemd" / "user"

    def command(self, *words: str) -> list[str]:
        """Return the systemctl command line for these arguments."""
        return ["systemctl", *(["--user"] if self.is_user else []), *words]


def install(
    manager: Manager, name: str, text: str, *, starts: bool, tell: Callable[[str], None]
) -> None:
    """Write the unit, start it, and enable it at boot; raises UsbshareError."""
    path = manager.folder / f"{name}.service"
    _write(path, text)
    tell(f"written: {path}")
    commands = [manager.command("daemon-reload"), manager.command("enable", "--now", name)]
    if not starts or not _runs(manager):
        tell("to start it, now and with the computer:")
        for each in commands:
            tell("  " + " ".join(each))
        return
    for each in commands:
        _run(each)
    tell(f"{name} runs, and starts with the {'login' if manager.is_user else 'computer'}")
    if manager.is_user:
        tell("with the computer, before anyone logs in: `loginctl enable-linger`")


def require_seen(program: str) -> None:
    """Raise ConfigError where a unit of the system, which sees no homes, cannot run a program."""
    real = os.path.realpath(program)
    if any(each.startswith(_HOMES) for each in (program, real)):
        raise ConfigError(
            f"{program} is in a user's home, which a system service cannot see: install "
            "usbshare into /opt/usbshare, or give --user"
        )


def require_user(name: str) -> None:
    """Raise ConfigError where this computer has no such user."""
    try:
        import pwd  # noqa: PLC0415 - Windows has none

        pwd.getpwnam(name)
    except ImportError:
        return
    except KeyError:
        make = f"`useradd --system --no-create-home --shell /usr/sbin/nologin {name}`"
        raise ConfigError(f"there is no user {name!r}: create it with {make}") from None


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except PermissionError as error:
        raise UsbshareError(
            f"{path} cannot be written: run this with sudo, or give --user"
        ) from error
    except OSError as error:
        raise UsbshareError(f"{path} cannot be written: {error.strerror}") from error


def _runs(manager: Manager) -> bool:
    """Return whether systemd is running."""
    if shutil.which("systemctl") is None:
        return False
    asked = manager.command("show", "--property=Version")
    return _done(asked).returncode == 0


def _run(command: list[str]) -> None:
    done = _done(command)
    if done.returncode:
        why = (done.stderr or done.stdout).strip().splitlines()
        raise UsbshareError(
            f"`{' '.join(command)}` failed: {why[-1] if why else 'no reason given'}"
        )


def _done(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - `systemctl` with words of ours
        command, check=False, capture_output=True, text=True, timeout=_TIMEOUT_S
    )
