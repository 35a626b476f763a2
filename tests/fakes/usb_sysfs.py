"""The USB devices of a host in a folder, as Linux shows them, and a kernel's usbip-host.

Source: Documentation/ABI/testing/sysfs-bus-usb; drivers/usb/usbip/stub_dev.c and stub_main.c,
drivers/base/bus.c of Linux 6.1.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from usbshare.usb_svc.devices.sysfs import driver_of
from usbshare.usb_svc.export.usbip_host import UsbipHost
from usbshare.usb_svc.settings import Places

HUB = "devices/pci0000:00/0000:00:14.0/usb1"
Interface = tuple[int, int, int]


class UsbSysfs:
    """Makes devices, and what uses them."""

    def __init__(self, folder: Path) -> None:
        self.places = Places(folder / "sys", folder / "proc")
        self.sys = self.places.sys
        (self.sys / "bus/usb/devices").mkdir(parents=True)
        host = self.sys / "bus/usb/drivers/usbip-host"
        host.mkdir(parents=True)
        (self.sys / "bus/usb/drivers/usb").mkdir()
        for name in ("match_busid", "bind", "unbind", "rebind"):
            (host / name).touch()
        (self.sys / "bus/usb/drivers_probe").touch()
        self.places.proc.mkdir()
        self.mounted()

    def plug_in(
        self,
        busid: str,
        vid: str,
        pid: str,
        interfaces: Sequence[Interface] = ((0xFF, 0, 0),),
        *,
        serial: str = "",
        class_code: int = 0,
        below: str = HUB,
    ) -> Path:
        """Add a device; returns its folder."""
        folder = self.sys / below / busid
        texts = {
            "idVendor": vid,
            "idProduct": pid,
            "bcdDevice": "0600",
            "serial": serial,
            "product": "A thing",
            "manufacturer": "Maker",
            "busnum": "1",
            "devnum": str(int(busid.rpartition("-")[2].replace(".", "")) + 1),
            "speed": "480",
            "bDeviceClass": f"{class_code:02x}",
        }
        folder.mkdir(parents=True)
        for name, text in texts.items():
            if text:
                (folder / name).write_text(f"{text}\n")
        for number, interface in enumerate(interfaces):
            part = folder / f"{busid}:1.{number}"
            part.mkdir()
            names = ("bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol")
            for name, code in zip(names, interface, strict=True):
                (part / name).write_text(f"{code:02x}\n")
        (folder / "uevent").write_text(f"MAJOR=189\nMINOR=1\nDEVNAME={self.own_node(folder)[5:]}\n")
        (self.sys / "bus/usb/devices" / busid).symlink_to(folder)
        (folder / "driver").symlink_to(self.sys / "bus/usb/drivers/usb")
        return folder

    def driven_by(self, busid: str, driver: str) -> None:
        """Have another driver take a device, empty for none; it may have been unplugged."""
        link = self.sys / "bus/usb/devices" / busid / "driver"
        if link.is_symlink():
            (link.resolve() / busid).unlink(missing_ok=True)
            link.unlink()
        if driver and link.parent.exists():
            folder = self.sys / "bus/usb/drivers" / driver
            link.symlink_to(folder)
            (folder / busid).symlink_to(link.parent.resolve())
        self._configure(link.parent.resolve(), busid, driver == "usb")

    def _configure(self, folder: Path, busid: str, is_configured: bool) -> None:
        """Show or hide its interfaces: usb_generic_driver_disconnect unconfigures a device."""
        shown, hidden = f"{busid}:", "unconfigured:"
        before, after = (hidden, shown) if is_configured else (shown, hidden)
        for part in folder.glob(f"{before}*"):
            part.rename(folder / part.name.replace(before, after))

    def own_node(self, folder: Path) -> str:
        """Return the node of a device as a whole."""
        numbers = (int((folder / name).read_text()) for name in ("busnum", "devnum"))
        return "/dev/bus/usb/" + "/".join(f"{each:03d}" for each in numbers)

    def claim(self, folder: Path, interface: int = 0) -> None:
        """Have a program use an interface through libusb."""
        driver = self.sys / "bus/usb/drivers/usbfs"
        driver.mkdir(exist_ok=True)
        (folder / f"{folder.name}:1.{interface}" / "driver").symlink_to(driver)

    def node(self, folder: Path, name: str, number: tuple[int, int] = (188, 0)) -> None:
        """Give an interface of a device a node, such as ttyUSB0."""
        part = folder / f"{folder.name}:1.0" / name
        part.mkdir(parents=True)
        major, minor = number
        (part / "uevent").write_text(f"MAJOR={major}\nMINOR={minor}\nDEVNAME={name}\n")

    def disk(self, folder: Path, name: str = "sdb", *partitions: str) -> Path:
        """Give a device a disk, and partitions; returns the disk's folder."""
        place = folder / f"{folder.name}:1.0/host6/target6:0:0/6:0:0:0/block" / name
        for number, each in enumerate((name, *partitions)):
            part = place if each == name else place / each
            (part / "holders").mkdir(parents=True)
            kind = "partition" if number else "disk"
            uevent = f"MAJOR=8\nMINOR={16 + number}\nDEVNAME={each}\nDEVTYPE={kind}\n"
            (part / "uevent").write_text(uevent)
            if number:
                (part / "partition").write_text(f"{number}\n")
        return place

    def program(self, number: int, node: str, *words: str) -> None:
        """Have a program with a node open."""
        process = self.places.proc / str(number)
        (process / "fd").mkdir(parents=True)
        (process / "fd/3").symlink_to(node)
        (process / "cmdline").write_bytes("\0".join(words).encode() + b"\0")
        (process / "comm").write_text(f"{Path(words[0]).name}\n")

    def mounted(self, *lines: str, process: int = 1) -> None:
        """Have a process in a mount namespace of its own: number, place and source of each."""
        folder = self.places.proc / str(process)
        (folder / "ns").mkdir(parents=True, exist_ok=True)
        (folder / "ns/mnt").unlink(missing_ok=True)
        (folder / "ns/mnt").symlink_to(f"mnt:[{4026531840 + process}]")
        (folder / "mountinfo").write_text("".join(map(_mountinfo, lines)))


def _mountinfo(line: str) -> str:
    number, place, source = line.split()
    return f"36 35 {number} / {place} rw,noatime master:1 - ext4 {source} rw\n"


class FakeUsbipHost(UsbipHost):
    """Notes what is written; `devices` are the ends of what was lent, by bus id.

    A device in `slow` is not ready after it was bound until its reset ends, as the kernel's is.
    `oopses` are the writes by which the real one uses a device that is freed: one that is gone, or
    one whose connection has not ended, or is ended a second time.
    """

    def __init__(self, sysfs: UsbSysfs) -> None:
        super().__init__(sysfs.sys)
        self._sysfs = sysfs
        self.written: list[str] = []
        self.devices: dict[str, socket.socket] = {}
        self.refuses = ""
        self.slow: set[str] = set()
        self.oopses: list[str] = []
        self._had: dict[str, str] = {}

    def resets(self, busid: str) -> bool:
        """Return whether a slow device was bound and is not ready."""
        status = self._folder(busid, "usbip_status")
        return status.exists() and status.read_text() == "3\n"

    def end_reset(self, busid: str) -> None:
        """Have a slow device ready."""
        self._folder(busid, "usbip_status").write_text("1\n")

    def bind(self, busid: str) -> None:
        """Take a device from its driver, as an administrator does."""
        self._sysfs.driven_by(busid, "usbip-host")
        self._had[busid] = self._number(busid)

    def _write(self, file: Path, text: str) -> None:
        if file.name == self.refuses or not self._is_there(file, text):
            raise self._refused(file, text, OSError(19, "No such device"))
        self.written.append(f"{file.name} {text}")
        busid = file.parent.name
        if file.name == "bind":
            self.bind(text)
            self._folder(text, "usbip_status").write_text("3\n" if text in self.slow else "1\n")
        elif file.name == "unbind":
            if text in self.devices:
                self.oopses.append(f"{file.name} {text}")
            self._sysfs.driven_by(text, "")
        elif file.name == "rebind" and self._had.pop(text) != self._number(text):
            self.oopses.append(f"{file.name} {text}")
        elif file.name in {"rebind", "drivers_probe"} and not driver_of(self._folder(text)):
            self._sysfs.driven_by(text, "usb")  # device_attach leaves what has a driver
        elif (file.name, text) == ("usbip_sockfd", "-1"):
            self.oopses.append(f"{file.name} {text}")
        elif file.name == "usbip_sockfd":
            self.devices[busid] = socket.socket(fileno=os.dup(int(text)))

    def _status(self, busid: str) -> str:
        """Notice, as the kernel's thread does, that the other end of the socket is closed."""
        if (device := self.devices.get(busid)) is None:
            return super()._status(busid)
        device.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while device.recv(1 << 16):
                pass
            self.devices.pop(busid).close()
            return super()._status(busid)
        return "2"

    def _is_there(self, file: Path, text: str) -> bool:
        """Return whether the kernel has what is written of."""
        if file.name == "unbind":
            return driver_of(self._folder(text)) == file.parent.name
        if file.name == "rebind":
            return text in self._had
        return file.parent.exists()

    def close(self) -> None:
        """Let go of what is still lent."""
        while self.devices:
            self.devices.popitem()[1].close()

    def _number(self, busid: str) -> str:
        """Return what the kernel counts a device by each time it is plugged in; empty if gone."""
        file = self._folder(busid, "devnum")
        return file.read_text() if file.exists() else ""

    def _folder(self, busid: str, name: str = "") -> Path:
        return self._sys / "bus/usb/devices" / busid / name
