"""The devices as Linux lists them in sysfs (Documentation/ABI/testing/sysfs-bus-usb)."""

from __future__ import annotations

from pathlib import Path

from usbshare.line.physical_device import socket_of
from usbshare.usb_svc.devices.host_device import HostDevice
from usbshare.usbip.messages import InterfaceClass, Speed

SYS = Path("/sys")
_DEVICES = "bus/usb/devices"
_HUB = 9
# Devices of other hosts, plugged in here by USB/IP: they are not this host's to lend.
_IMPORTED = "vhci_hcd"
_SPEEDS = {
    "1.5": Speed.LOW,
    "12": Speed.FULL,
    "480": Speed.HIGH,
    "5000": Speed.SUPER,
    "10000": Speed.SUPER_PLUS,
    "20000": Speed.SUPER_PLUS,
}
_MOST_TEXT = 126


def list_devices(sys: Path = SYS) -> tuple[HostDevice, ...]:
    """Return all devices but hubs and those that are imported; blocks."""
    try:
        folders = sorted((sys / _DEVICES).iterdir())
    except OSError:
        return ()
    found = (_read_if_there(folder) for folder in folders if (folder / "idVendor").exists())
    return tuple(each for each in found if each is not None)


def folder_of(busid: str, sys: Path = SYS) -> Path:
    """Return where sysfs describes a device."""
    return sys / _DEVICES / busid


def driver_of(folder: Path) -> str:
    """Return which driver has the device that a folder of sysfs describes, empty if none has."""
    driver = folder / "driver"
    return driver.resolve().name if driver.exists() else ""


def _read_if_there(folder: Path) -> HostDevice | None:
    try:
        return _read(folder)
    except OSError:  # it was unplugged this moment
        return None


def _read(folder: Path) -> HostDevice | None:
    real = folder.resolve()
    class_code = _number(folder / "bDeviceClass", 16)
    if class_code == _HUB or _IMPORTED in str(real):
        return None
    where = socket_of(real)
    interfaces = [each for each in sorted(real.glob(f"{real.name}:*")) if each.is_dir()]
    return HostDevice(
        busid=real.name,
        busnum=_number(folder / "busnum"),
        devnum=_number(folder / "devnum"),
        vid=_number(folder / "idVendor", 16),
        pid=_number(folder / "idProduct", 16),
        serial=_text(folder / "serial"),
        manufacturer=_text(folder / "manufacturer"),
        product=_text(folder / "product"),
        speed=_SPEEDS.get(_text(folder / "speed"), Speed.UNKNOWN),
        class_code=class_code,
        interfaces=tuple(_interface(each) for each in interfaces),
        socket=where if "/" in where else "",
        has_network=any((each / "net").exists() for each in interfaces),
        has_disk=any(any(each.glob("host[0-9]*")) for each in interfaces),
        release=_number(folder / "bcdDevice", 16),
        driver=driver_of(folder),
    )


def _interface(folder: Path) -> InterfaceClass:
    names = ("bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol")
    try:
        return InterfaceClass(*(int(_text(folder / name), 16) for name in names))
    except ValueError:
        return InterfaceClass(0, 0, 0)


def _number(path: Path, base: int = 10) -> int:
    try:
        return int(_text(path), base)
    except ValueError:
        return 0


def _text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "".join(each if each.isprintable() else "?" for each in text.strip())[:_MOST_TEXT]
