"""Which devices a host has, lends, and uses itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fakes.unplugging import unplugged_while_listed
from fakes.usb_sysfs import UsbSysfs
from usbshare.line.usb.device import parse_selector
from usbshare.usb_svc.devices.host_device import ids_of
from usbshare.usb_svc.devices.rules import refusal
from usbshare.usb_svc.devices.sysfs import list_devices
from usbshare.usb_svc.devices.users import Users
from usbshare.usbip.messages import Speed

ADAPTER = (0xFF, 0, 0)
KEYBOARD, REPORTS = (3, 1, 1), (3, 0, 0)


@pytest.fixture
def usb(tmp_path: Path) -> UsbSysfs:
    return UsbSysfs(tmp_path)


def test_a_device_says_what_it_is(usb: UsbSysfs) -> None:
    usb.plug_in("1-1.2", "0403", "6001", [ADAPTER], serial="A5069")
    (device,) = list_devices(usb.sys)
    assert (device.vid, device.pid, device.serial) == (0x0403, 0x6001, "A5069")
    assert (device.manufacturer, device.product, device.speed) == ("Maker", "A thing", Speed.HIGH)
    assert device.devid == 0x10000 | 13


def test_hubs_and_devices_of_other_hosts_are_not_this_hosts(usb: UsbSysfs) -> None:
    usb.plug_in("1-1", "05e3", "0608", class_code=9)
    usb.plug_in("4-1", "0525", "a4a7", below="devices/platform/vhci_hcd.0/usb4")
    assert list_devices(usb.sys) == ()


def test_a_device_without_a_serial_number_is_known_by_its_socket(usb: UsbSysfs) -> None:
    usb.plug_in("1-1", "0403", "6001", serial="A5069")
    usb.plug_in("1-2", "1a86", "7523")
    assert list(ids_of(list_devices(usb.sys))) == ["0403:6001:A5069", "1a86:7523@0000:00:14.0/2"]


def test_identical_devices_with_one_serial_number_are_distinguished(usb: UsbSysfs) -> None:
    usb.plug_in("1-1", "0403", "6001", serial="same")
    usb.plug_in("1-2", "0403", "6001", serial="same")
    assert list(ids_of(list_devices(usb.sys))) == ["0403:6001:same@1-1", "0403:6001:same@1-2"]


@pytest.mark.parametrize(
    ("interfaces", "what"),
    [
        ([KEYBOARD], "input device"),
        ([ADAPTER, REPORTS], "input device"),
        ([(2, 6, 0), (10, 0, 0)], "network adapter"),
        ([(2, 2, 0xFF)], "network adapter"),
        ([(2, 0x0D, 0)], "network adapter"),
        ([(0xE0, 1, 1)], "network adapter"),
        ([(0xEF, 4, 1)], "network adapter"),
        ([(8, 6, 0x50)], "disk"),
        ([(2, 2, 1), (10, 0, 0), (8, 6, 0x62)], "disk"),
        ([], "cannot be determined"),
    ],
)
def test_a_device_that_could_harm_the_host_is_lent_only_if_it_is_listed(
    usb: UsbSysfs, interfaces: list[tuple[int, int, int]], what: str
) -> None:
    usb.plug_in("1-1", "046d", "c31c", interfaces)
    (device,) = list_devices(usb.sys)
    assert what in refusal(device, None)
    assert refusal(device, [parse_selector("046d:c31c")]) == ""
    assert "not listed in [usb] devices" in refusal(device, [])


def test_an_adapter_of_a_vendors_own_class_is_known_by_its_network(usb: UsbSysfs) -> None:
    folder = usb.plug_in("1-1", "0bda", "8153")
    (folder / "1-1:1.0/net/eth1").mkdir(parents=True)
    (device,) = list_devices(usb.sys)
    assert "network adapter" in refusal(device, None)


def test_a_card_reader_of_a_vendors_own_class_is_known_by_its_disk(usb: UsbSysfs) -> None:
    folder = usb.plug_in("1-1", "0bda", "0138")
    (folder / "1-1:1.0/host6/target6:0:0").mkdir(parents=True)
    (device,) = list_devices(usb.sys)
    assert "disk" in refusal(device, None)


@pytest.mark.parametrize("name", ["bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol"])
@pytest.mark.parametrize("text", [None, "", "?"])
def test_an_unreadable_device_is_lent_only_if_it_is_listed(
    usb: UsbSysfs, name: str, text: str | None
) -> None:
    folder = usb.plug_in("1-1", "0403", "6001", [ADAPTER, ADAPTER])
    file = folder / "1-1:1.1" / name
    file.unlink()
    if text is not None:
        file.write_text(text)
    (device,) = list_devices(usb.sys)
    assert "its kind cannot be determined" in refusal(device, None)
    assert refusal(device, [parse_selector("0403:6001")]) == ""


@pytest.mark.parametrize("interface", [(2, 2, 0), (0xFF, 0, 0), (7, 1, 2), (14, 1, 0)])
def test_everything_else_is_lent(usb: UsbSysfs, interface: tuple[int, int, int]) -> None:
    usb.plug_in("1-1", "0403", "6001", [interface])
    (device,) = list_devices(usb.sys)
    assert refusal(device, None) == ""


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("/opt/usbshare/bin/python", "/opt/usbshare/bin/serial-svc"), "serial-svc"),
        (("python3", "-m", "usbshare.camera_svc"), "camera-svc"),
        (("/usr/bin/picocom", "/dev/ttyUSB0"), "picocom (process 77)"),
    ],
)
def test_the_program_that_has_a_node_open_uses_the_device(
    usb: UsbSysfs, words: tuple[str, ...], name: str
) -> None:
    folder = usb.plug_in("1-1", "0403", "6001")
    usb.node(folder, "ttyUSB0")
    other = usb.plug_in("1-2", "0403", "6001")
    usb.node(other, "ttyUSB1")
    usb.program(77, "/dev/ttyUSB0", *words)
    users = Users(usb.places.proc, usb.sys)
    assert (users.of(folder), users.of(other)) == (name, "")


def test_the_users_of_a_device_are_unknown_where_open_files_cannot_be_seen(
    usb: UsbSysfs, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = usb.plug_in("1-1", "0403", "6001")
    usb.node(folder, "ttyUSB0")
    usb.program(77, "/dev/null", "/usr/bin/cat")
    plain = usb.plug_in("1-2", "0403", "6001")  # no program can have a node of it
    hidden, iterdir = usb.places.proc / "77/fd", Path.iterdir

    def refuse(path: Path) -> object:
        if path == hidden:
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    users = Users(usb.places.proc, usb.sys)
    assert users.of(folder) == f"an unknown user: {hidden} cannot be read"
    assert users.of(plain) == ""


def test_a_service_that_sees_only_its_container_knows_no_users(usb: UsbSysfs) -> None:
    folder = usb.plug_in("1-1", "0403", "6001")
    usb.node(folder, "ttyUSB0")
    link = usb.places.proc / "self/ns/pid"
    link.parent.mkdir(parents=True)
    for target, user in (
        ("pid:[4026531836]", ""),
        ("pid:[4026532201]", "an unknown user: only the processes of a container are seen here"),
    ):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert Users(usb.places.proc, usb.sys).of(folder) == user


def test_a_service_from_which_processes_are_hidden_knows_no_users(usb: UsbSysfs) -> None:
    """As with hidepid=2 of procfs and without CAP_SYS_PTRACE (proc(5))."""
    folder = usb.plug_in("1-1", "0403", "6001")
    usb.node(folder, "ttyUSB0")
    first = usb.places.proc / "1"
    first.rename(usb.places.proc / "hidden")
    expected = f"an unknown user: {first} is not seen"
    assert Users(usb.places.proc, usb.sys).of(folder) == expected


def test_a_container_knows_the_node_by_another_path(usb: UsbSysfs) -> None:
    folder = usb.plug_in("1-1", "0403", "6001")
    master, slave = os.openpty()
    try:
        number = os.fstat(slave).st_rdev
        usb.node(folder, "ttyUSB0", (os.major(number), os.minor(number)))
        usb.program(77, os.ttyname(slave), "python3", "-m", "usbshare.serial_svc")
        assert Users(usb.places.proc, usb.sys).of(folder) == "serial-svc"
    finally:
        os.close(master)
        os.close(slave)


def test_a_program_that_claimed_an_interface_through_libusb_uses_the_device(usb: UsbSysfs) -> None:
    folder = usb.plug_in("1-1", "1d50", "6018", [ADAPTER, ADAPTER])
    usb.program(77, usb.own_node(folder), "/usr/bin/openocd")
    assert Users(usb.places.proc, usb.sys).of(folder) == ""  # it lists what there is
    usb.claim(folder, interface=1)
    assert Users(usb.places.proc, usb.sys).of(folder) == "openocd (process 77)"


def test_a_claimed_interface_whose_program_cannot_be_seen_is_in_use(usb: UsbSysfs) -> None:
    folder = usb.plug_in("1-1", "1d50", "6018")
    usb.claim(folder)
    assert Users(usb.places.proc, usb.sys).of(folder) == "a program"


@pytest.mark.parametrize("part", ["1-1:", "host"])
def test_a_device_that_is_unplugged_while_it_is_listed_hides_no_other(
    usb: UsbSysfs, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    going = usb.plug_in("1-1", "0403", "6001", serial="A5")
    usb.plug_in("1-2", "0403", "6001", [], serial="A6")
    users = Users(usb.places.proc, usb.sys)
    unplugged_while_listed(monkeypatch, part)
    assert [each.busid for each in list_devices(usb.sys)] == ["1-2"]
    assert users.of(going) == ""
