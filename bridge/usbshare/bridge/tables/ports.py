"""What hosts have, as a table for people or JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from usbshare.bridge.hosts.inventory import (
    AnyItem,
    CameraItem,
    Item,
    JobServiceItem,
    UsbServiceItem,
)
from usbshare.bridge.stop import coverage
from usbshare.client.serial import port_condition
from usbshare.client.serial.messages import RemotePort

_HEADINGS = (
    "HOST",
    "KIND",
    "ID",
    "STATE",
    "USB",
    "SERIAL NUMBER",
    "PROFILE",
    "HELD BY",
    "DESCRIPTION",
)


def as_table(items: Iterable[AnyItem]) -> str:
    """Return a table with a heading, a line an item; nothing in it can move the cursor."""
    rows = [_HEADINGS, *(_row(item) for item in items)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return "\n".join(_aligned(row, widths) for row in rows)


def as_json(items: Iterable[AnyItem]) -> str:
    """Return a JSON list, an object an item."""
    return json.dumps([_object(item) for item in items], indent=2, ensure_ascii=False)


def _row(item: AnyItem) -> Sequence[str]:
    return tuple(map(_printable, (item.host.name, item.kind, *_cells(item))))


def _cells(item: AnyItem) -> Sequence[str]:
    match item:
        case Item():
            return _port_cells(item)
        case CameraItem():
            return _camera_cells(item)
        case JobServiceItem():
            return ("-", item.state, "-", "-", "-", "-", f"job-svc at port {item.target.port}")
        case UsbServiceItem():
            return ("-", item.state, "-", "-", "-", "-", f"usb-svc at port {item.target.port}")


def _port_cells(item: Item) -> Sequence[str]:
    port = item.port
    auto = " (auto)" if port.configured_profile == "auto" else ""
    state = ", ".join(filter(None, (port.state, port_condition.short(port))))
    holder = port.holder or "-"
    watchers = f" +{port.observers} observing" if port.observers else ""
    return (
        port.id,
        state,
        _usb_id(port) or "-",
        port.serial_number or "-",
        ", ".join(filter(None, (port.profile.name + auto, coverage.short(port)))),
        holder + watchers,
        port.description or port.device or port.source,
    )


def _camera_cells(item: CameraItem) -> Sequence[str]:
    camera = item.camera
    watching = {0: "-", 1: "1 viewer"}.get(camera.viewers, f"{camera.viewers} viewers")
    described = camera.name or camera.source
    return (camera.id, camera.state.value, "-", "-", "-", watching, described)


def _printable(text: str) -> str:
    # USB descriptors are the device's own words, and escapes in them would reach the terminal.
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def _usb_id(port: RemotePort) -> str | None:
    if port.vendor_id is None or port.product_id is None:
        return None
    return f"{port.vendor_id:04x}:{port.product_id:04x}"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()


def _object(item: AnyItem) -> dict[str, Any]:
    where = {"host": item.host.name, "target": str(item.target), "kind": item.kind}
    match item:
        case Item():
            return where | _port_object(item)
        case CameraItem():
            return where | _camera_object(item)
        case JobServiceItem():
            return where | {"id": item.kind, "state": item.state, "jobs": dict(item.counts)}
        case UsbServiceItem():
            return where | {"id": item.kind, "state": item.state, "devices": dict(item.counts)}


def _camera_object(item: CameraItem) -> dict[str, Any]:
    camera = item.camera
    return {
        "id": camera.id,
        "description": camera.name,
        "source": camera.source,
        "state": camera.state.value,
        "reason": camera.reason,
        "viewers": camera.viewers,
    }


def _port_object(item: Item) -> dict[str, Any]:
    port = item.port
    return {
        "id": port.id,
        "description": port.description,
        "source": port.source,
        "device": port.device,
        "usb": _usb_id(port),
        "serial_number": port.serial_number,
        "socket": port.usb_socket,
        "state": port.state,
        "reason": port.reason,
        "profile": port.profile.name,
        "configured_profile": port.configured_profile,
        "baud": port.settings.baud,
        "holder": port.holder,
        "observers": port.observers,
        "epoch": port.epoch,
        "latched": port.latched,
        **coverage.fields(port),
        **port_condition.fields(port),
    }
