"""A computer with USB serial adapters, which are ptys: nodes, links, /sys and pyserial's list.

All of it lies in one folder, so that a service in another process can see the same; see `service`.
Nodes are named in the order of appearance, as the kernel does (usb-serial: idr_alloc, lowest
first). A link of by-id is made of what a device says of itself, so that twins share it: udev gives
it to one of them, and to the other when that one goes (systemd, src/udev/udev-node.c).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from fakes.processes import Process, environment
from fakes.serial_device import Answer, SerialDevice, silent
from fakes.usb_tree import CONTROLLER, UsbTree
from usbshare.line import physical_device
from usbshare.line.usb import node, serial_devices

_LISTED = "ports.json"


@dataclass
class Adapter:
    """A machine on a USB serial adapter."""

    machine: SerialDevice
    by_id: Path
    listed: dict[str, Any]

    @property
    def node(self) -> str:
        """What the kernel called it: /dev/ttyUSB0."""
        return str(self.machine.link)

    @property
    def received(self) -> bytes:
        """All that it ever read."""
        return bytes(self.machine.received)


class UsbHost:
    """What is plugged in, and where."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = UsbTree(root / "sys")
        self.dev = root / "dev"
        self.by_id = self.dev / "serial" / "by-id"
        self.adapters: list[Adapter] = []
        self.by_id.mkdir(parents=True)
        self._write_list()

    def plug_in(
        self,
        place: str,
        serial: str = "",
        *,
        ids: tuple[str, str] = ("1a86", "7523"),
        interface: int = 0,
        port_number: int = 0,
        controller: str = CONTROLLER,
        hub_version: str = "2.00",
        answer: Answer = silent,
    ) -> Adapter:
        """Plug an adapter into the socket, or show one more port of the one there."""
        vid, pid = ids
        taken = {each.node for each in self.adapters}
        names = (self.dev / f"ttyUSB{number}" for number in range(100))
        machine = SerialDevice(next(name for name in names if str(name) not in taken), answer)
        machine.plug_in()
        where = {"controller": controller, "hub_version": hub_version}
        self.tree.attach(
            *(str(machine.link), place, vid, pid, serial),
            interface=interface,
            port_number=port_number,
            **where,
        )
        number = f"_{serial}" if serial else ""
        listed = {
            "device": str(machine.link),
            "vid": int(vid, 16),
            "pid": int(pid, 16),
            "serial_number": serial or None,
            "product": "USB Serial",
            "location": f"{place}:1.{interface}",
        }
        link = self.by_id / f"usb-{vid}_{pid}{number}-if{interface:02x}-port{port_number}"
        self.adapters.append(adapter := Adapter(machine, link, listed))
        self._changed()
        return adapter

    def unplug(self, adapter: Adapter) -> None:
        """Pull it out: those who have it open are hung up."""
        self.tree.detach(adapter.node)
        self.adapters.remove(adapter)
        self._changed()
        adapter.machine.unplug()

    def close(self) -> None:
        """Pull everything out."""
        for adapter in list(self.adapters):
            self.unplug(adapter)

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process see it."""
        for owner, name, value in _substitutes(self.root):
            monkeypatch.setattr(owner, name, value)

    def _changed(self) -> None:
        for link in self.by_id.iterdir():
            link.unlink()
        for adapter in self.adapters:  # of twins, the one that came last has the link
            adapter.by_id.unlink(missing_ok=True)
            adapter.by_id.symlink_to(adapter.node)
        self._write_list()

    def _write_list(self) -> None:
        new = self.root / f".{_LISTED}"
        new.write_text(json.dumps([adapter.listed for adapter in self.adapters]))
        new.replace(self.root / _LISTED)


def _substitutes(root: Path) -> list[tuple[object, str, object]]:
    return [
        (physical_device, "SYS", root / "sys"),
        (node, "_SYS", root / "sys"),
        (serial_devices, "_NODES", root / "dev"),
        (serial_devices, "_BY_ID", root / "dev" / "serial" / "by-id"),
        (list_ports, "comports", lambda: _listed_in(root)),
    ]


def _listed_in(root: Path) -> list[ListPortInfo]:
    ports = []
    for table in json.loads((root / _LISTED).read_text()):
        port = ListPortInfo(table["device"])
        for name, value in table.items():
            setattr(port, name, value)
        ports.append(port)
    return ports


def be_on(root: str) -> None:
    """Let this process see such a host and no other; see `service`."""
    for owner, name, value in _substitutes(Path(root)):
        setattr(owner, name, value)


@contextmanager
def service(host: UsbHost, home: Path, *arguments: str) -> Iterator[tuple[Process, str]]:
    """Run a real serial-svc, whose /sys and /dev are the host's; yields it and its target."""
    words = ["serial-svc", "--listen", "127.0.0.1:0", *arguments]
    process = Process(words, environment(home), first=[(__name__, be_on.__name__, str(host.root))])
    try:
        match = process.wait_for(r"ready at 127\.0\.0\.1:(\d+)")
        yield process, f"127.0.0.1:{match[1]}"
    finally:
        process.stop()
