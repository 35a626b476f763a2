"""In which layer something went wrong, for a person who looks for the cause."""

from __future__ import annotations

from usbshare.base.errors import (
    ConnectionRefusedByPeerError,
    DrainingError,
    InvalidArgumentError,
    SessionLostError,
    UsbshareError,
)
from usbshare.usbip.errors import UsbipError

_NETWORK = (ConnectionRefusedByPeerError, DrainingError, SessionLostError)


def layer_of(error: UsbshareError) -> str:
    """Return network, protocol, device or system."""
    if isinstance(error, UsbipError):
        return error.layer
    if isinstance(error, _NETWORK):
        return "network"
    return "protocol" if isinstance(error, InvalidArgumentError) else "device"


def with_layer(error: UsbshareError) -> str:
    """Return an error with its layer before it."""
    return f"{layer_of(error)}: {error}"
