"""Ports as a table for people or JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from usbshare.bridge.messages import RemotePort

_HEADINGS = ("PORT", "STATE", "USB", "SERIAL NUMBER", "PROFILE", "HELD BY", "DESCRIPTION")


def as_table(ports: Iterable[RemotePort]) -> str:
    """Return a table with a heading, a line a port."""
    rows = [_HEADINGS, *(_row(port) for port in ports)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return "\n".join(_aligned(row, widths) for row in rows)


def as_json(ports: Iterable[RemotePort]) -> str:
    """Return a JSON list, an object a port."""
    return json.dumps([_object(port) for port in ports], indent=2, ensure_ascii=False)


def _row(port: RemotePort) -> Sequence[str]:
    auto = " (auto)" if port.configured_profile == "auto" else ""
    state = f"{port.state}, latched" if port.latched else port.state
    holder = port.holder or "-"
    watchers = f" +{port.observers} observing" if port.observers else ""
    return (
        port.id,
        state,
        _usb_id(port) or "-",
        port.serial_number or "-",
        port.profile.name + auto,
        holder + watchers,
        port.description or port.device or port.source,
    )


def _usb_id(port: RemotePort) -> str | None:
    if port.vendor_id is None or port.product_id is None:
        return None
    return f"{port.vendor_id:04x}:{port.product_id:04x}"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()


def _object(port: RemotePort) -> dict[str, Any]:
    return {
        "id": port.id,
        "description": port.description,
        "source": port.source,
        "device": port.device,
        "usb": _usb_id(port),
        "serial_number": port.serial_number,
        "state": port.state,
        "reason": port.reason,
        "profile": port.profile.name,
        "configured_profile": port.configured_profile,
        "baud": port.settings.baud,
        "holder": port.holder,
        "observers": port.observers,
        "epoch": port.epoch,
        "latched": port.latched,
    }
