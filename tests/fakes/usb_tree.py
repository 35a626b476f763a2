"""A /sys in which device nodes belong to USB devices.

Laid out as Linux does: a host controller's root hub is usbN with N in the order in which buses are
found (usb_register_bus, drivers/usb/core/hcd.c), a device below it is N-CHAIN (usb_alloc_dev,
drivers/usb/core/usb.c), its interfaces N-CHAIN:CONFIG.NUMBER, and a node's entry in dev/char has
`device`, which is the interface or, of usb-serial, the port below it.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

CONTROLLER = "0000:00:14.0"


class UsbTree:
    """Makes any character device, such as a pty, look like one of a USB adapter."""

    def __init__(self, sys: Path) -> None:
        self.sys = sys

    def attach(
        self,
        node: str,
        place: str,
        vid: str,
        pid: str,
        serial: str = "",
        *,
        interface: int = 0,
        port_number: int = 0,
        controller: str = CONTROLLER,
        hub_version: str = "2.00",
    ) -> None:
        """Put a USB device behind the node; several nodes may be of one device."""
        hub = self.sys / "devices" / "pci0000:00" / controller / f"usb{place.partition('-')[0]}"
        usb = hub / place
        part = usb / f"{place}:1.{interface}" / f"tty{port_number}"
        part.mkdir(parents=True, exist_ok=True)
        (hub / "version").write_text(f" {hub_version}\n")
        (part / "port_number").write_text(f"{port_number}\n")
        (part.parent / "bInterfaceNumber").write_text(f"{interface:02x}\n")
        for name, text in (("idVendor", vid), ("idProduct", pid), ("serial", serial)):
            (usb / name).unlink(missing_ok=True)
            if text:
                (usb / name).write_text(f"{text}\n")
        entry = self._entry(node)
        entry.mkdir(parents=True, exist_ok=True)
        (entry / "device").unlink(missing_ok=True)
        (entry / "device").symlink_to(part)

    def part_of(self, node: str) -> Path:
        """Return what the node's `device` leads to."""
        return (self._entry(node) / "device").resolve()

    def detach(self, node: str) -> None:
        """Take the device behind the node away, with all of its interfaces."""
        entry = self._entry(node)
        shutil.rmtree((entry / "device").resolve().parents[1], ignore_errors=True)
        shutil.rmtree(entry, ignore_errors=True)

    def _entry(self, node: str) -> Path:
        device = os.stat(node).st_rdev
        return self.sys / "dev" / "char" / f"{os.major(device)}:{os.minor(device)}"
