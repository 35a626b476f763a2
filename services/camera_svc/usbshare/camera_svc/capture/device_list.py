"""The cameras plugged in here, named by what they are and not by their number."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from usbshare.base.threads import in_thread
from usbshare.line.device_id_file import KnownDevices
from usbshare.line.device_ids import LONGEST_ID, DeviceNames, Wish, shortened
from usbshare.line.physical_device import PhysicalDevice, physical_device_of
from usbshare.line.usb.device import UsbDevice

_SYS = Path("/sys/class/video4linux")
_DEV = Path("/dev")
_NODE = re.compile(r"video[0-9]+")
_INDEX = re.compile(r"-video-index[0-9]+$")
_NOT_IN_ID = re.compile(r"[^a-z0-9_.]+")

Probe: TypeAlias = Callable[[str], bool | None]
"""Returns whether a node delivers pictures; None if it cannot be asked."""


@dataclass(frozen=True, slots=True)
class CameraFound:
    """A camera that is plugged in; `source` stays right when nodes are renumbered."""

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
        self._names = DeviceNames(self._known)
        self._probe = probe
        self._sys = sys
        self._dev = dev
        self._answers: dict[_Node, bool] = {}

    def look(self) -> tuple[CameraFound, ...]:
        """Return the cameras sorted by id; blocks for some ms."""
        nodes = list(self._nodes())
        self._answers = {node: self._answers[node] for node in nodes if node in self._answers}
        cameras = [node for node in nodes if self._is_camera(node)]
        ids = self._names.give([self._wish(node) for node in cameras if node.device is not None])
        found = (_camera(node, ids.get(_maker(node), "")) for node in cameras)
        return tuple(sorted(found, key=lambda camera: camera.id))

    def _wish(self, node: _Node) -> Wish:
        maker, by_place = _maker(node), _named(node, node.by_path).id
        # A link that identical devices share leads to one of them, which may change.
        has_own_number = bool(node.device and node.device.serial and node.by_id)
        by_number = _named(node, node.by_id).id if has_own_number else ""
        kept = self._known.name_of(maker)  # links may come later than the device
        return Wish(
            *(maker, by_number if len(by_number) <= LONGEST_ID else ""),
            *(shortened(by_place, maker), kept),
        )

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


def _maker(node: _Node) -> PhysicalDevice:
    """Return which device it is, and of its nodes which one; of none, a device that is nothing."""
    device = node.device or PhysicalDevice(0, 0)
    return replace(device, interface=f"{device.interface}#{node.index}")


def _camera(node: _Node, own_id: str) -> CameraFound:
    """Return the camera with its id; one that is no USB device is named by its links alone."""
    if node.device is None:
        return _named(node, node.by_id or node.by_path)
    by_number = _named(node, node.by_id)
    is_by_number = bool(node.device.serial and node.by_id) and by_number.id == own_id
    return by_number if is_by_number else replace(_named(node, node.by_path), id=own_id)


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
    try:
        links = sorted(folder.iterdir(), reverse=True)
    except OSError:  # udev removes the folder with the last link
        links = []
    return {link.resolve(): link for link in links}


def _make(usb_device: Path) -> tuple[str, ...]:
    vendor, product = _text(usb_device / "idVendor"), _text(usb_device / "idProduct")
    return (vendor, product, _text(usb_device / "serial")) if vendor else ()


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
