"""Which USB device is behind a node of /dev."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.usb_tree import UsbTree
from usbshare.line.usb.device import UsbDevice
from usbshare.line.usb.node import usb_device_behind, usb_device_of
from usbshare.line.usb.serial_devices import SerialDeviceFound


@pytest.fixture
def node() -> Iterator[str]:
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


@pytest.fixture
def tree(tmp_path: Path) -> UsbTree:
    return UsbTree(tmp_path / "sys")


def test_the_device_is_found_above_its_interface(tree: UsbTree, node: str) -> None:
    tree.attach(node, "1-1.2", "1a86", "7523", "X1")
    assert usb_device_behind(node, tree.sys) == UsbDevice(0x1A86, 0x7523, "X1", "1-1.2")


def test_a_link_leads_to_the_same_device(tree: UsbTree, node: str, tmp_path: Path) -> None:
    tree.attach(node, "1-1.2", "1a86", "7523")
    (tmp_path / "laser").symlink_to(node)
    found = usb_device_behind(str(tmp_path / "laser"), tree.sys)
    assert found == UsbDevice(0x1A86, 0x7523, "", "1-1.2")


@pytest.mark.parametrize("path", ["/dev/null", "/nowhere", "/etc/hostname", "COM3", "a\0b"])
def test_a_node_without_a_usb_device_has_none(tree: UsbTree, path: str) -> None:
    assert usb_device_behind(path, tree.sys) is None


@pytest.mark.parametrize(
    ("location", "place"), [("1-1.2", "1-1.2"), ("1-1.2:1.0", "1-1.2"), (None, "")]
)
def test_interfaces_of_one_device_are_one_device(location: str | None, place: str) -> None:
    found = SerialDeviceFound("/dev/ttyACM0", None, 1, 2, None, None, None, "", location)
    assert usb_device_of(found) == UsbDevice(1, 2, "", place)
