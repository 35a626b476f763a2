"""Devices of a USB service, free of gRPC."""

from __future__ import annotations

from dataclasses import dataclass

from usbshare.usbip.messages import Speed

AVAILABLE = "available"


@dataclass(frozen=True, slots=True)
class RemoteDevice:
    """A device of a host; `state`: available, attached, in use, refused; `reason`: why not."""

    id: str
    vid: int
    pid: int
    serial: str
    manufacturer: str
    product: str
    socket: str
    speed: Speed
    state: str
    reason: str
    holder: str

    @property
    def name(self) -> str:
        """What people call it."""
        return " ".join(filter(None, (self.manufacturer, self.product))) or "(no name)"


@dataclass(frozen=True, slots=True)
class Opened:
    """A device that is ours now; `devid` is what USB/IP calls it."""

    device: RemoteDevice
    devid: int
    link_timeout_s: float
