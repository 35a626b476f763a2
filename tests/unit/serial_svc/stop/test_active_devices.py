"""A machine at work is remembered as a physical device, whatever its port is called later."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from usbshare.base.background_writer import Background
from usbshare.line.physical_device import PhysicalDevice
from usbshare.line.profiles import GRBL, MARLIN, RAW
from usbshare.serial_svc.stop import active_ports
from usbshare.serial_svc.stop.active_ports import ActivePorts

PATIENCE_S = 20.0
CH340 = PhysicalDevice(0x1A86, 0x7523, "", "0000:00:14.0/1")
FTDI = PhysicalDevice(0x0403, 0x6001, "X1", "0000:00:14.0/2")
ELSEWHERE = replace(FTDI, socket="0000:00:14.0/4")
DEVICES = pytest.mark.parametrize("device", [CH340, FTDI], ids=["no serial number", "a serial"])


@dataclass
class Listed:
    identity: PhysicalDevice


@pytest.fixture
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> list[PhysicalDevice]:
    """Return the list of what the system has, empty at first."""
    devices: list[PhysicalDevice] = []
    listed = lambda: [Listed(each) for each in devices]  # noqa: E731
    monkeypatch.setattr(active_ports, "list_serial_devices", listed)
    return devices


@pytest.fixture
def folder(tmp_path: Path, plugged_in: list[PhysicalDevice]) -> Path:
    return tmp_path / "state" / "active-50051"


@contextmanager
def service(folder: Path) -> Iterator[ActivePorts]:
    background = Background("notes", retry_s=0.01)
    active = ActivePorts(folder, background)
    active.load()
    yield active
    background.close(PATIENCE_S)


def at_work(folder: Path, port_id: str, device: PhysicalDevice) -> None:
    with service(folder) as active:
        active.note(port_id, GRBL, active=True, device=device)


def noted(folder: Path) -> ActivePorts:
    with service(folder) as active:
        return active


@DEVICES
@pytest.mark.parametrize("port_id", ["laser", "cutter"])
def test_the_device_is_found_under_every_id(
    folder: Path, device: PhysicalDevice, port_id: str
) -> None:
    at_work(folder, "laser", device)
    later = noted(folder)
    assert later.knows_devices
    assert later.profile_of(port_id, device) is GRBL
    assert later.profile_of(port_id) is None


@pytest.mark.parametrize(
    "other",
    [None, replace(CH340, socket="0000:00:14.0/4"), replace(CH340, interface="1"), FTDI],
    ids=["no USB device", "a twin without serial number", "another interface", "another device"],
)
def test_another_device_is_not_taken_for_it_under_the_same_id(
    folder: Path, other: PhysicalDevice | None
) -> None:
    at_work(folder, "laser", CH340)
    assert noted(folder).profile_of("laser", other) is None


def test_a_serial_number_is_found_in_another_socket(folder: Path) -> None:
    at_work(folder, "laser", FTDI)
    assert noted(folder).profile_of("laser", ELSEWHERE) is GRBL


def test_an_identical_device_beside_it_is_not_mistaken_for_the_device(
    folder: Path, plugged_in: list[PhysicalDevice]
) -> None:
    at_work(folder, "laser", FTDI)
    plugged_in += [FTDI, ELSEWHERE]
    later = noted(folder)
    assert later.profile_of("laser", ELSEWHERE) is None
    assert later.profile_of("cutter", FTDI) is GRBL


@DEVICES
def test_the_note_is_unaffected_by_another_device_under_the_id(
    folder: Path, device: PhysicalDevice
) -> None:
    at_work(folder, "laser", device)
    other = replace(CH340, pid=1)
    with service(folder) as active:
        active.note("laser", MARLIN, active=True, device=other)
        active.note("laser", MARLIN, active=False, device=other)
    assert noted(folder).profile_of("cutter", device) is GRBL


@DEVICES
def test_a_note_that_was_acted_on_is_not_found_again(folder: Path, device: PhysicalDevice) -> None:
    at_work(folder, "laser", device)
    with service(folder) as active:
        active.note("cutter", GRBL, active=True, device=device)
        assert active.profile_of("cutter", device) is None
        active.note("cutter", GRBL, active=False, device=device)
    assert noted(folder).profile_of("laser", device) is None
    assert list(folder.iterdir()) == []


def test_a_note_of_a_moved_device_that_was_acted_on_is_not_found_again(folder: Path) -> None:
    at_work(folder, "laser", FTDI)
    with service(folder) as active:
        active.note("laser", GRBL, active=True, device=ELSEWHERE)
        active.note("laser", GRBL, active=False, device=ELSEWHERE)
    assert list(folder.iterdir()) == []


@DEVICES
def test_the_next_service_may_listen_elsewhere(folder: Path, device: PhysicalDevice) -> None:
    at_work(folder, "laser", device)
    other = folder.with_name("active-50061")
    with service(other) as active:
        assert active.profile_of("laser", device) is GRBL
        active.note("laser", GRBL, active=True, device=device)
        active.note("laser", GRBL, active=False, device=device)
    assert noted(folder).profile_of("laser", device) is None
    assert list(folder.iterdir()) == []


def test_a_note_of_a_port_that_an_older_service_wrote_is_about_whatever_the_port_has(
    folder: Path,
) -> None:
    folder.mkdir(parents=True)
    (folder / "port-laser").write_text("marlin")
    with service(folder) as active:
        assert active.profile_of("laser", CH340) is MARLIN
        active.note("laser", MARLIN, active=True, device=CH340)
    (path,) = folder.iterdir()
    assert path.name.startswith("device-1a86-7523-")


@pytest.mark.parametrize(
    "garbage", [b"", b"grbl", b"grbl\n{", b"grbl\n[]", b"grbl\n" + b"[" * 4000]
)
def test_a_note_that_does_not_say_which_device_could_be_about_any(
    folder: Path, garbage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    at_work(folder, "laser", CH340)
    (path,) = folder.iterdir()
    path.write_bytes(garbage)
    assert noted(folder).profile_of("mill", FTDI) is RAW
    assert f"{path.name} is damaged. Treating all as running one" in caplog.text


def test_a_fifo_in_its_place_holds_nothing_up(folder: Path) -> None:
    folder.mkdir(parents=True)
    os.mkfifo(folder / "device-1a86-7523-0123456789abcdef")
    assert noted(folder).profile_of("mill", FTDI) is RAW
