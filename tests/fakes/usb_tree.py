"""A /sys in which device nodes belong to USB devices."""

from __future__ import annotations

import os
from pathlib import Path


class UsbTree:
    """Makes any character device, such as a pty, look like one of a USB adapter."""

    def __init__(self, sys: Path) -> None:
        self.sys = sys

    def attach(self, node: str, place: str, vid: str, pid: str, serial: str = "") -> None:
        """Put a USB device behind the node."""
        usb = self.sys / "devices" / "usb1" / place
        interface = usb / f"{place}:1.0" / "tty0"
        interface.mkdir(parents=True, exist_ok=True)
        for name, text in (("idVendor", vid), ("idProduct", pid), ("serial", serial)):
            if text:
                (usb / name).write_text(f"{text}\n")
        entry = self.sys / "dev" / "char" / _number(node)
        entry.mkdir(parents=True, exist_ok=True)
        (entry / "device").symlink_to(interface)


def _number(node: str) -> str:
    device = os.stat(node).st_rdev
    return f"{os.major(device)}:{os.minor(device)}"
