"""The files of vhci_hcd, as the kernel makes them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fakes.unplugging import unplugged_while_listed
from usbshare.usbip.messages import Speed
from usbshare.usbip.vhci.helper import PlugError, Vhci

HEAD = "hub port sta spd dev      sockfd local_busid\n"


class Kernel(Vhci):
    """The files, with a memory of what was written; `refuses` are errors by port."""

    def __init__(self, sysfs: Path, *status: str) -> None:
        super().__init__(sysfs)
        folder = sysfs / "devices/platform/vhci_hcd.0"
        folder.mkdir(parents=True)
        (folder / "attach").touch()
        for number, rows in enumerate(status):
            (folder / (f"status.{number}" if number else "status")).write_text(HEAD + rows)
        self.written: list[tuple[str, str]] = []
        self.refuses: dict[str, int] = {}

    def _write(self, name: str, text: str) -> None:
        if number := self.refuses.get(text.split(maxsplit=1)[0]):
            raise OSError(number, os.strerror(number))
        self.written.append((name, text))


FIRST = (
    "hs  0000 006 002 00010002 000003 4-1\n"
    "hs  0001 004 000 00000000 000000 0-0\n"
    "ss  0002 004 000 00000000 000000 0-0\n"
)
SECOND = "hs  0016 004 000 00000000 000000 0-0\nss  0018 004 000 00000000 000000 0-0\n"


def test_all_controllers_have_ports(tmp_path: Path) -> None:
    ports = Kernel(tmp_path, FIRST, SECOND).ports()
    assert [(each.number, each.is_free, each.is_super_speed) for each in ports] == [
        (0, False, False),
        (1, True, False),
        (2, True, True),
        (16, True, False),
        (18, True, True),
    ]
    assert (ports[0].devid, ports[0].busid) == (0x10002, "4-1")


def test_a_device_goes_where_its_speed_fits(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, FIRST)
    assert kernel.attach(7, 99, Speed.FULL) == 1
    assert kernel.attach(8, 100, Speed.SUPER) == 2
    assert kernel.written == [("attach", "1 7 99 2"), ("attach", "2 8 100 5")]


def test_a_port_that_somebody_took_meanwhile_is_passed_over(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, FIRST, SECOND)
    kernel.refuses = {"1": errno.EBUSY}
    assert kernel.attach(7, 99, Speed.FULL) == 16


def test_a_full_controller_is_reported(tmp_path: Path) -> None:
    with pytest.raises(PlugError, match="all ports of the virtual USB controller are in use"):
        Kernel(tmp_path, FIRST.splitlines()[0]).attach(7, 99, Speed.FULL)


def test_a_refusal_says_what_was_refused_and_why(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, FIRST)
    kernel.refuses = {"1": errno.EINVAL}
    with pytest.raises(PlugError, match=r"refused to plug a device in .*: invalid argument"):
        kernel.attach(7, 99, Speed.FULL)


def test_only_the_device_that_is_meant_is_unplugged(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, FIRST)
    kernel.detach(0, 99)
    kernel.detach(1, 0)
    kernel.detach(9, 99)
    assert kernel.written == []
    kernel.detach(0, 0x10002)
    assert kernel.written == [("detach", "0")]


def test_unplugging_an_absent_device_is_no_error(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, FIRST)
    kernel.refuses = {"0": errno.EINVAL}
    kernel.detach(0, 0x10002)


def test_a_serial_port_is_found_by_its_device(tmp_path: Path) -> None:
    kernel = Kernel(tmp_path, FIRST)
    assert kernel.ttys(0) == kernel.ttys(1) == []
    (tmp_path / "bus/usb/devices/4-1:1.0/tty/ttyACM3").mkdir(parents=True)
    assert kernel.ttys(0) == ["ttyACM3"]


def test_a_device_that_is_unplugged_while_it_is_looked_at_has_no_serial_port(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(tmp_path, FIRST)
    unplugged_while_listed(monkeypatch, "4-1:")
    assert kernel.ttys(0) == []


def test_a_kernel_without_the_controller_is_reported_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(PlugError, match="sudo modprobe vhci-hcd"):
        Vhci(tmp_path).ports()
