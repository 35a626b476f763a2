"""What can go wrong with USB/IP, by the layer that it went wrong in."""

from __future__ import annotations

import errno
import os

from usbshare.base.errors import UsbshareError

STALLED = -errno.EPIPE
UNLINKED = -errno.ECONNRESET
GONE = -errno.ESHUTDOWN


class UsbipError(UsbshareError):
    """Base of the errors of USB/IP; `layer` is network, protocol, device or system."""

    layer = "system"


class UsbipNetworkError(UsbipError):
    """The other side cannot be reached, is silent, or has gone."""

    layer = "network"


class UsbipProtocolError(UsbipError):
    """The other side sent what the protocol does not allow; the text names field and value."""

    layer = "protocol"


class UsbipDeviceError(UsbipError):
    """The device is not there, is refused, or is one that cannot be used."""

    layer = "device"


class TransferError(UsbipDeviceError):
    """A transfer ended with a status of the kernel, a negative errno: -EPIPE is a stall."""

    def __init__(self, status: int, what: str = "transfer") -> None:
        super().__init__(f"{what} ended with {status_name(status)}")
        self.status = status


def status_name(status: int) -> str:
    """Return what the status of a transfer means: EPIPE (Broken pipe)."""
    number = abs(status)
    name = errno.errorcode.get(number)
    return f"{name} ({os.strerror(number)})" if name else f"status {status}"
