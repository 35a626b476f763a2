"""The policy's list of allowed devices: what is in it, and how commands change it."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import tomlkit
import tomlkit.items
from tomlkit import TOMLDocument

from usbshare.authorization.devices import fits
from usbshare.authorization.policy import AllowedDevice
from usbshare.authorization.policy_file import edit_policy
from usbshare.base.errors import NotFoundError
from usbshare.line.usb.device import DeviceSelector, UsbDevice

_KEY = "allowed_devices"

Entry = MutableMapping[str, Any]


def allow(policy_path: Path, selector: DeviceSelector, note: str = "") -> bool:
    """Put an entry on the list; False if it is there."""
    is_new = False

    def add(document: TOMLDocument) -> None:
        nonlocal is_new
        is_new = not any(named(entry) == selector for entry in document.get(_KEY, []))
        if is_new:
            _append(document, selector.keys() | ({"note": note} if note else {}))

    edit_policy(policy_path, add)
    return is_new


def deny(policy_path: Path, selector: DeviceSelector) -> list[DeviceSelector]:
    """Take the entry off the list and return it; NotFoundError if there is none."""
    return _remove(policy_path, lambda entry: named(entry) == selector, str(selector))


def deny_device(policy_path: Path, device: UsbDevice) -> list[DeviceSelector]:
    """Take every entry that means the device off the list and return them."""
    return _remove(policy_path, lambda entry: fits(_table(entry), device), str(device))


def named(entry: Any) -> DeviceSelector:
    """Return the selector that means the same as an entry."""
    table = entry if isinstance(entry, AllowedDevice) else _table(entry)
    vid, pid = (table.vid or "").lower(), (table.pid or "").lower()
    return DeviceSelector(vid, pid, table.serial or "", table.path or "")


def _table(entry: Entry) -> AllowedDevice:
    return AllowedDevice.model_validate({key: str(value) for key, value in entry.items()})


def _append(document: TOMLDocument, keys: dict[str, str]) -> None:
    if not document.get(_KEY):
        document.pop(_KEY, None)
        document.append(_KEY, tomlkit.aot())
    entries: Any = document[_KEY]
    is_inline = not isinstance(entries, tomlkit.items.AoT)
    entry: Entry = tomlkit.inline_table() if is_inline else tomlkit.table()
    entry.update(keys)
    entries.append(entry)


def _remove(
    policy_path: Path, is_meant: Callable[[Entry], bool], what: str
) -> list[DeviceSelector]:
    removed: list[DeviceSelector] = []

    def remove(document: TOMLDocument) -> None:
        entries: Any = document.get(_KEY, [])
        for index in reversed(range(len(entries))):
            if is_meant(entries[index]):
                removed.append(named(entries[index]))
                del entries[index]
        if not removed:
            there = ", ".join(str(named(entry)) for entry in entries) or "none"
            raise NotFoundError(f"{what} is not on the list in {policy_path}; listed: {there}")
        if not entries:
            document.pop(_KEY)

    edit_policy(policy_path, remove)
    return removed
