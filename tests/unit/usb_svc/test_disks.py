"""What of the kernel uses a disk that a USB device has."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.usb_sysfs import UsbSysfs
from usbshare.usb_svc.devices.disks import is_claimed
from usbshare.usb_svc.devices.nodes import interface_nodes
from usbshare.usb_svc.devices.users import Users

STORAGE = (8, 6, 0x50)


@pytest.fixture
def usb(tmp_path: Path) -> UsbSysfs:
    return UsbSysfs(tmp_path)


@pytest.fixture
def stick(usb: UsbSysfs) -> Path:
    folder = usb.plug_in("1-1", "0781", "5583", [STORAGE])
    usb.disk(folder, "sdb", "sdb1", "sdb2")
    usb.mounted("8:1 / /dev/sda1")
    return folder


def user_of(usb: UsbSysfs, folder: Path) -> str:
    return Users(usb.places.proc, usb.sys).of(folder)


def test_a_disk_that_nobody_uses_is_free(usb: UsbSysfs, stick: Path) -> None:
    assert user_of(usb, stick) == ""


def mounted(usb: UsbSysfs, _: Path) -> None:
    usb.mounted("8:18 /media/my\\040disk /dev/sdb2")


def mounted_whole(usb: UsbSysfs, _: Path) -> None:
    usb.mounted("8:16 /mnt /dev/sdb")


def mounted_by_a_container(usb: UsbSysfs, _: Path) -> None:
    usb.mounted("8:17 /data /dev/sdb1", process=812)


def mounted_with_a_number_of_its_own(usb: UsbSysfs, _: Path) -> None:
    usb.mounted("0:45 /srv /dev/sdb1")


def part_of_a_btrfs(usb: UsbSysfs, _: Path) -> None:
    usb.mounted("0:45 /srv /dev/sdc1")
    (usb.sys / "fs/btrfs/77-aa/devices").mkdir(parents=True)
    for name in ("sdb1", "sdc1"):
        (usb.sys / "fs/btrfs/77-aa/devices" / name).touch()


def encrypted(usb: UsbSysfs, stick: Path) -> None:
    (next(stick.rglob("sdb1")) / "holders/dm-0").touch()
    (usb.sys / "block/dm-0/dm").mkdir(parents=True)
    (usb.sys / "block/dm-0/dm/name").write_text("backup\n")


def of_a_raid(_: UsbSysfs, stick: Path) -> None:
    (next(stick.rglob("sdb")) / "holders/md127").touch()


def swap(usb: UsbSysfs, _: Path) -> None:
    head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    (usb.places.proc / "swaps").write_text(f"{head}/dev/sdb2   partition\t1048572\t0\t-2\n")


def behind_a_loop(usb: UsbSysfs, _: Path) -> None:
    (usb.sys / "block/loop3/loop").mkdir(parents=True)
    (usb.sys / "block/loop3/loop/backing_file").write_text("/dev/sdb\n")


def opened(usb: UsbSysfs, _: Path) -> None:
    usb.program(77, "/dev/sdb2", "/usr/bin/dd")


@pytest.mark.parametrize(
    ("use", "user"),
    [
        (mounted, "the file system at /media/my disk"),
        (mounted_whole, "the file system at /mnt"),
        (mounted_by_a_container, "the file system at /data"),
        (mounted_with_a_number_of_its_own, "the file system at /srv"),
        (part_of_a_btrfs, "a file system (btrfs)"),
        (encrypted, "dm-0 (backup), a disk that is made of it"),
        (of_a_raid, "md127, a disk that is made of it"),
        (swap, "the host's swap"),
        (behind_a_loop, "loop3, a disk that is made of it"),
        (opened, "dd (process 77)"),
    ],
)
def test_a_disk_in_use_is_held_by_what_uses_it(
    usb: UsbSysfs, stick: Path, use: Callable[[UsbSysfs, Path], None], user: str
) -> None:
    other = usb.plug_in("1-2", "0781", "5583", [STORAGE])
    use(usb, stick)
    assert user_of(usb, stick) == user
    assert user_of(usb, other) == ""


@pytest.mark.parametrize("name", ["1/mountinfo", "swaps"])
def test_an_unreadable_disk_counts_as_in_use(usb: UsbSysfs, stick: Path, name: str) -> None:
    file = usb.places.proc / name
    file.unlink(missing_ok=True)
    file.mkdir()
    assert f"an unknown user: {file} cannot be read" in user_of(usb, stick)
    adapter = usb.plug_in("1-2", "0403", "6001")
    usb.node(adapter, "ttyUSB0")
    assert user_of(usb, adapter) == ""  # it has no disk


@pytest.mark.parametrize(
    ("number", "expected"),
    [(errno.EBUSY, True), (errno.EPERM, False), (errno.ENOENT, False), (errno.ENOMEDIUM, False)],
)
def test_the_kernel_itself_is_asked_for_the_whole_disk(
    usb: UsbSysfs, stick: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: bool
) -> None:
    asked: list[tuple[object, int]] = []

    def refuse(path: object, flags: int) -> int:
        asked.append((path, flags & os.O_EXCL))
        raise OSError(number, os.strerror(number))

    nodes = list(interface_nodes(stick))
    monkeypatch.setattr("usbshare.usb_svc.devices.disks.os.open", refuse)
    assert is_claimed(nodes, usb.places.proc) is expected
    assert asked == [(usb.places.proc / "1/root/dev/sdb", os.O_EXCL)]
