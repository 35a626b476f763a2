"""`usbshare-bridge install-usb-helper`: lets a user plug USB ports in without being root."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import click

from usbshare.base.errors import ConfigError, UsbshareError
from usbshare.bridge.commands.notices import warn
from usbshare.usbip.vhci.helper import SOCKET_PATH

NAME = "usbshare-usb-attach"
_SYSTEMCTL_S = 30.0
_USER = re.compile(r"[a-z_][a-z0-9_.-]*\$?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Places:
    """Where root's files are, below a folder that is / but in tests."""

    root: Path

    @property
    def program(self) -> Path:
        return self.root / "usr/local/libexec" / NAME

    @property
    def socket_unit(self) -> Path:
        return self.root / "etc/systemd/system" / f"{NAME}.socket"

    @property
    def service_unit(self) -> Path:
        return self.root / "etc/systemd/system" / f"{NAME}@.service"

    @property
    def modules(self) -> Path:
        return self.root / "etc/modules-load.d" / f"{NAME}.conf"


@click.command(
    "install-usb-helper", short_help="Let one user plug in virtual USB devices without root."
)
@click.option(
    "--for-user",
    metavar="USER",
    envvar="SUDO_USER",
    default="",
    show_default=False,
    help="The user who may plug in devices; by default the user who called sudo.",
)
@click.option("--remove", is_flag=True, help="Remove it again.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("/"),
    hidden=True,
)
def install_usb_helper(for_user: str, remove: bool, root: Path) -> None:
    """Install the service that lets one user plug in virtual USB devices; run it with sudo.

    That user can then plug in any device, a keyboard too, like somebody in front of the computer.
    No other user can.
    """
    if os.geteuid() != 0:
        raise UsbshareError("only root can install it: run it with `sudo`")
    places = _Places(root)
    if remove:
        _remove(places)
        return
    _require_user(for_user)
    _install(places, for_user)


def _require_user(name: str) -> None:
    if not _USER.fullmatch(name):
        raise ConfigError("say who may plug in devices: `--for-user USER`")
    try:
        pwd.getpwnam(name)
    except KeyError as error:
        raise ConfigError(f"this computer has no user '{name}'") from error


def _install(places: _Places, user: str) -> None:
    shipped = files("usbshare.usbip.vhci")
    unit = (shipped / f"{NAME}.socket").read_text(encoding="utf-8")
    for path, text, mode in (
        (places.program, (shipped / "helper.py").read_text(encoding="utf-8"), 0o755),
        (places.socket_unit, unit.replace("SocketUser=root", f"SocketUser={user}"), 0o644),
        (
            places.service_unit,
            (shipped / f"{NAME}@.service").read_text(encoding="utf-8"),
            0o644,
        ),
        (places.modules, "vhci-hcd\n", 0o644),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        warn(f"wrote {path}")
    if places.root == Path("/"):
        _run("modprobe", "vhci-hcd")
        _run("systemctl", "daemon-reload")
        _run("systemctl", "enable", f"{NAME}.socket")
        _run("systemctl", "restart", f"{NAME}.socket")
    warn(f"user '{user}' can now plug in virtual USB devices: {SOCKET_PATH}")


def _remove(places: _Places) -> None:
    if places.root == Path("/") and places.socket_unit.exists():
        _run("systemctl", "disable", "--now", f"{NAME}.socket")
    for path in (places.socket_unit, places.service_unit, places.program, places.modules):
        if path.exists():
            path.unlink()
            warn(f"removed {path}")


def _run(*command: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - words of ours
            command, capture_output=True, text=True, timeout=_SYSTEMCTL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsbshareError(f"`{' '.join(command)}` failed: {error}") from error
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        why = said[-1] if said else f"exit code {done.returncode}"
        raise UsbshareError(f"`{' '.join(command)}` failed: {why}")
