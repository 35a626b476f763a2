"""The cameras plugged in here, named by what they are and not by their number."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from usbshare.base.threads import in_thread
from usbshare.common.access.devices import UsbDevice
from usbshare.line.known_devices import KnownDevices
from usbshare.line.physical_device import PhysicalDevice, physical_device_of

_SYS = Path("/sys/class/video4linux")
_DEV = Path("/dev")
_NODE = re.compile(r"video[0-9]+")
_INDEX = re.compile(r"-video-index[0-9]+$")
_NOT_IN_ID = re.compile(r"[^a-z0-9_.]+")

Probe: TypeAlias = Callable[[str], bool | None]
"""Tells whether a node delivers pictures; None if it cannot be asked."""


@dataclass(frozen=True, slots=True)
class CameraFound:
    """A camera that is plugged in; `source` stays right when nodes are numbered anew."""

    id: str
    name: str
    path: str
    source: str
    usb: UsbDevice | None = None
    device: PhysicalDevice | None = None
    index: int = 0


@dataclass(frozen=True, slots=True)
class _Node:
    path: Path
    name: str
    index: int
    place: str  # where it is plugged in, by the kernel
    make: tuple[str, ...]  # what USB says that it is: vendor, product, serial number
    by_id: Path | None
    by_path: Path | None
    device: PhysicalDevice | None


class DeviceList:
    """Looks for V4L2 cameras; asks each node once whether it is one (a probe may wake a device).

    An id belongs to one physical device for good: a serial number makes the id of the first device
    that has it, which is kept in `known`; others have their place in it.
    """

    def __init__(
        self,
        probe: Probe,
        sys: Path = _SYS,
        dev: Path = _DEV,
        known: KnownDevices | None = None,
    ) -> None:
        self._known = known or KnownDevices()
        self._probe = probe
        self._sys = sys
        self._dev = dev
        self._answers: dict[_Node, bool] = {}

    def look(self) -> tuple[CameraFound, ...]:
        """Return the cameras sorted by id; blocks for some ms."""
        nodes = list(self._nodes())
        self._answers = {node: self._answers[node] for node in nodes if node in self._answers}
        cameras = [node for node in nodes if self._is_camera(node)]
        alike = Counter((node.make, node.index) for node in cameras if node.make)
        found = (self._camera(node, is_alone=alike[node.make, node.index] <= 1) for node in cameras)
        return tuple(sorted(found, key=lambda camera: camera.id))

    def _camera(self, node: _Node, *, is_alone: bool) -> CameraFound:
        by_place = _named(node, node.by_path)
        if node.device is None:
            return _named(node, node.by_id or node.by_path)
        if not node.device.serial:
            return by_place
        # A link that twins share leads to one of them, now to this one and now to that.
        maker = replace(node.device, interface=f"{node.device.interface}#{node.index}")
        if own_id := self._known.name_of(maker):
            return replace(by_place, id=own_id)
        by_number = _named(node, node.by_id)
        is_free = self._known.expected(by_number.id) is None
        may_take = is_free and is_alone and not self._known.is_unreadable(by_number.id)
        if node.by_id and may_take and self._known.record(by_number.id, maker):
            return by_number
        return by_place

    def _nodes(self) -> Iterable[_Node]:
        by_id = _links(self._dev / "v4l" / "by-id")
        by_path = _links(self._dev / "v4l" / "by-path")
        for entry in sorted(self._sys.glob("video*")):
            path = self._dev / entry.name
            if _NODE.fullmatch(entry.name) is None or not path.exists():
                continue
            links = by_id.get(path.resolve()), by_path.get(path.resolve())
            name = _text(entry / "name") or entry.name
            index = int(_text(entry / "index") or 0)
            device = (entry / "device").resolve()
            own = physical_device_of(entry)
            yield _Node(path, name, index, device.name, _make(device.parent), *links, own)

    def _is_camera(self, node: _Node) -> bool:
        if node not in self._answers:
            answer = self._probe(str(node.path))
            if answer is None:  # perhaps it may be asked later; metadata follows its camera
                return node.index == 0
            self._answers[node] = answer
        return self._answers[node]


async def watch_cameras(
    look: Callable[[], tuple[CameraFound, ...]],
    report: Callable[[tuple[CameraFound, ...]], None],
    interval_s: float = 2.0,
) -> None:
    """Report the cameras at first and whenever they are others, until cancelled."""
    before: tuple[CameraFound, ...] | None = None
    while True:
        found = await in_thread(look)
        if found != before:
            before = found
            report(found)
        await asyncio.sleep(interval_s)


def _named(node: _Node, link: Path | None) -> CameraFound:
    label = _INDEX.sub("", link.name) if link else f"{node.name}-{_place(node)}"
    own_id = _NOT_IN_ID.sub("-", label.lower().removeprefix("usb-")).strip("-.")
    number = f"-{node.index}" if node.index else ""
    source, usb = str(link or node.path), _usb(node)
    return CameraFound(
        *(own_id + number, node.name, str(node.path), source, usb, node.device, node.index)
    )


def _place(node: _Node) -> str:
    if node.device is None:
        return node.place
    which = "" if node.device.interface == "0" else f"-if{node.device.interface}"
    return node.device.place + which


def _usb(node: _Node) -> UsbDevice | None:
    vid, pid, serial = node.make or ("", "", "")
    if not (vid and pid):
        return None
    place = node.place.partition(":")[0]  # after the colon is the interface
    socket = node.device.socket if node.device and "/" in node.device.socket else ""
    return UsbDevice(int(vid, 16), int(pid, 16), serial, place, socket)


def _links(folder: Path) -> dict[Path, Path]:
    """Return the first link to each node: newer udevs make two."""
    links = sorted(folder.iterdir(), reverse=True) if folder.is_dir() else []
    return {link.resolve(): link for link in links}


def _make(usb_device: Path) -> tuple[str, ...]:
    vendor, product = _text(usb_device / "idVendor"), _text(usb_device / "idProduct")
    return (vendor, product, _text(usb_device / "serial")) if vendor else ()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
