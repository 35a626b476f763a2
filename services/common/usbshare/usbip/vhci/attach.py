"""Plugs a device into this computer, as root or through the helper of root's."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from usbshare.usbip.errors import UsbipError
from usbshare.usbip.messages import Speed
from usbshare.usbip.vhci.helper import SOCKET_PATH, SYSFS, PlugError, Vhci, request

SERVICE = "usbshare-usb-attach"
_ANSWER_S = 10.0
_MOST_ANSWER_BYTES = 1024
_HIGHEST_DEVID = 0x7FFF_FFFF


class VhciError(UsbipError):
    """A device cannot be plugged into this computer; the text says what to do."""


@dataclass(frozen=True, slots=True)
class PlugPlaces:
    """Where the kernel's files and the helper's socket are."""

    sysfs: Path = SYSFS
    helper: Path = SOCKET_PATH

    @classmethod
    def of_system(cls) -> Self:
        """Return those of this computer; USBSHARE_USB_ATTACH names another socket."""
        helper = os.environ.get("USBSHARE_USB_ATTACH")
        return cls(helper=Path(helper)) if helper else cls()


class Plugged:
    """A device that is plugged in, until its own end of the socket pair is closed.

    `end` is that end; what is sent there are answers of USB/IP.
    """

    def __init__(self, end: socket.socket, port: int, vhci: Vhci, helper: socket.socket | None):
        self.end = end
        self.port = port
        self._vhci = vhci
        self._helper = helper

    def ttys(self) -> list[str]:
        """Return the serial ports that it has become: ttyACM0; blocks, raises VhciError."""
        try:
            return self._vhci.ttys(self.port)
        except PlugError as error:
            raise VhciError(str(error)) from error

    def close_helper(self) -> None:
        """Disconnect the helper, which unplugs the device.

        The kernel does so when `end` is closed.
        """
        if self._helper is not None:
            self._helper.close()
            self._helper = None


def require_plug(places: PlugPlaces) -> str:
    """Return by whom a device can be plugged in; blocks. Raises VhciError with the remedy."""
    vhci = Vhci(places.sysfs)
    try:
        vhci.require()
    except PlugError as error:
        raise VhciError(str(error)) from error
    helper = _helper(places.helper, vhci)
    if helper is None:
        return "by this user itself"
    helper.close()
    return f"by {SERVICE}"


def plug_in(speed: Speed, places: PlugPlaces, devid: int = 0) -> Plugged:
    """Plug in a device that is still to be served; blocks. Raises VhciError with the remedy.

    `devid`: what every command of USB/IP is to carry; 0 for one that nobody else has.
    """
    vhci = Vhci(places.sysfs)
    try:
        vhci.require()
        return _plugged(speed, places, vhci, devid or 1 + secrets.randbelow(_HIGHEST_DEVID))
    except PlugError as error:
        raise VhciError(str(error)) from error


def _plugged(speed: Speed, places: PlugPlaces, vhci: Vhci, devid: int) -> Plugged:
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with kernels:
            helper = _helper(places.helper, vhci)
            if helper is None:
                port = vhci.attach(kernels.fileno(), devid, speed)
            else:
                port = _by_helper(helper, kernels, devid, speed)
    except BaseException:
        ours.close()
        raise
    ours.setblocking(False)
    return Plugged(ours, port, vhci, helper)


def _helper(path: Path, vhci: Vhci) -> socket.socket | None:
    """Return a connection to the helper; None where there is none, and none is needed."""
    helper = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    helper.settimeout(_ANSWER_S)
    try:
        helper.connect(str(path))
    except OSError as error:
        helper.close()
        if vhci.may_attach:
            return None
        raise VhciError(_not_allowed(path, error)) from error
    return helper


def _by_helper(helper: socket.socket, kernels: socket.socket, devid: int, speed: Speed) -> int:
    """Return the number of the port that the helper used; raises VhciError."""
    try:
        socket.send_fds(helper, [request(devid, speed)], [kernels.fileno()])
        answer = helper.recv(_MOST_ANSWER_BYTES).decode(errors="replace").strip()
    except OSError as error:
        helper.close()
        raise VhciError(f"{SERVICE} did not answer: {error.strerror or error}") from error
    word, _, rest = answer.partition(" ")
    if word == "port" and rest.isdecimal():
        return int(rest)
    helper.close()
    raise VhciError(rest if word == "error" else f"{SERVICE} did not answer")


def _not_allowed(path: Path, error: OSError) -> str:
    why = os.strerror(error.errno) if error.errno else str(error)
    return (
        f"this user may not plug in a virtual USB device, and {SERVICE} is not available "
        f"({path}: {why.lower()}): install it as docs/bridge.md says, or run as root"
    )
