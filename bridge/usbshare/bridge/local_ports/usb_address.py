"""Where a USB port is to be: where this system has its own, or at a loopback address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from usbshare.bridge.local_ports.loopback_address import LoopbackAddress, loopback_address

AUTO_PORT = "auto"
USBIP_PORT = 3240


@dataclass(frozen=True, slots=True)
class UsbAddress:
    """`listens_at` is None for the system's own virtual USB controller."""

    listens_at: LoopbackAddress | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `auto` or `HOST:PORT`; raises ConfigError."""
        return cls() if text == AUTO_PORT else cls(loopback_address(text, USBIP_PORT))
