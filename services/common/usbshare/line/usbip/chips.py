"""Adapters that are serial ports without CDC-ACM: each has a driver of its own in the kernel."""

from __future__ import annotations

from usbshare.usbip.client import PORT
from usbshare.usbip.messages import ExportedDevice

_VENDOR_SPECIFIC = 0xFF
# The product ids of Linux' drivers: ftdi_sio_ids.h, ch341.c, cp210x.c, pl2303.h. Vendors of one
# chip family are named whole: others of their products are no CDC-ACM ports either.
_VENDORS = {0x0403: "FTDI", 0x10C4: "CP210x", 0x067B: "PL2303"}
_CHIPS = {
    (0x1A86, 0x5512): "CH341",
    (0x1A86, 0x5523): "CH341",
    (0x1A86, 0x7522): "CH340",
    (0x1A86, 0x7523): "CH340",
    (0x4348, 0x5523): "CH341",
    (0x9986, 0x7523): "CH340",
    (0x2184, 0x0057): "CH340",
    (0x0557, 0x2008): "PL2303",
    (0x0711, 0x0230): "MCT-U232",
    (0x9710, 0x7720): "MOS7720",
    (0x9710, 0x7840): "MOS7840",
}


def chip_of(vid: int, pid: int) -> str:
    """Return the name of the chip, empty if it is none that is known."""
    return _CHIPS.get((vid, pid)) or _VENDORS.get(vid, "")


def has_own_driver(device: ExportedDevice) -> bool:
    """Return whether a listed device is such an adapter and nothing beside."""
    own = {each.class_ for each in device.interfaces} <= {_VENDOR_SPECIFIC}
    return own and bool(chip_of(device.vid, device.pid))


def why_no_port(device: ExportedDevice, classes: frozenset[int], host: str, port: int) -> str:
    """Return why a device without a CDC-ACM port cannot be used here, and what can be done."""
    ids = f"{device.vid:04x}:{device.pid:04x}"
    chip = chip_of(device.vid, device.pid)
    if chip:
        return (
            f"{device.busid} is a {chip} adapter ({ids}), which needs its driver in the kernel; "
            f"without one only CDC-ACM devices work. As root on this computer `modprobe vhci-hcd`, "
            f"then `{_attach_command(host, port, device.busid)}`, and name it usb:{ids}"
        )
    named = ", ".join(f"{each:02x}" for each in sorted(classes)) or "none"
    return f"{device.busid} ({ids}) has no CDC-ACM serial port (classes of its interfaces: {named})"


def _attach_command(host: str, port: int, busid: str) -> str:
    where = "" if port == PORT else f"--tcp-port {port} "
    return f"usbip {where}attach -r {host} -b {busid}"
