"""Cameras are known by what they are: their number may change, metadata and codecs are left out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fakes.unplugging import unplugged_while_listed
from fakes.waiting import until
from usbshare.camera_svc.capture.device_list import CameraFound, DeviceList, watch_cameras


class Computer:
    """A /sys and a /dev with nodes that come and go."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sys = root / "sys" / "class" / "video4linux"
        self.dev = root / "dev"
        self.asked: list[str] = []
        self.not_cameras: set[str] = set()
        self.may_ask = True
        self.sys.mkdir(parents=True)
        self.dev.mkdir()

    def plug_in(
        self,
        number: int,
        name: str = "HD Webcam",
        *,
        place: str = "1-1",
        index: int = 0,
        serial: str | None = None,
        by_id: str | None = None,
        by_path: str | None = None,
    ) -> None:
        usb = self.root / "devices" / place
        interface = usb / f"{place}:1.0"
        entry = self.sys / f"video{number}"
        interface.mkdir(parents=True, exist_ok=True)
        (usb / "idVendor").write_text("046d\n")
        (usb / "idProduct").write_text("0825\n")
        if serial:
            (usb / "serial").write_text(serial + "\n")
        entry.mkdir()
        (entry / "name").write_text(name + "\n")
        (entry / "index").write_text(f"{index}\n")
        (entry / "device").symlink_to(interface)
        (self.dev / f"video{number}").touch()
        self._link("by-id", by_id, number)
        self._link("by-path", by_path, number)

    def unplug(self, number: int) -> None:
        for entry in (self.sys / f"video{number}").iterdir():
            entry.unlink()
        (self.sys / f"video{number}").rmdir()
        (self.dev / f"video{number}").unlink()

    def probe(self, path: str) -> bool | None:
        self.asked.append(path)
        return Path(path).name not in self.not_cameras if self.may_ask else None

    def list(self) -> DeviceList:
        return DeviceList(self.probe, self.sys, self.dev)

    def _link(self, kind: str, name: str | None, number: int) -> None:
        if name is not None:
            folder = self.dev / "v4l" / kind
            folder.mkdir(parents=True, exist_ok=True)
            link = folder / name
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../video{number}")


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


def ids(computer: Computer) -> list[str]:
    return [camera.id for camera in computer.list().look()]


def test_a_computer_without_cameras_has_none(tmp_path: Path) -> None:
    assert DeviceList(lambda _: True, tmp_path / "no", tmp_path / "none").look() == ()


def test_a_camera_is_named_by_what_it_is(computer: Computer) -> None:
    computer.plug_in(2, serial="A1", by_id="usb-046d_HD_Webcam_C270_A1-video-index0")
    (camera,) = computer.list().look()
    assert camera.id == "046d_hd_webcam_c270_a1"
    assert camera.name == "HD Webcam"
    assert camera.path.endswith("/dev/video2")
    assert camera.source.endswith("/v4l/by-id/usb-046d_HD_Webcam_C270_A1-video-index0")


def test_the_id_stays_when_the_number_changes(computer: Computer) -> None:
    computer.plug_in(0, serial="A1", by_id="usb-046d_Cam_A1-video-index0")
    before = computer.list().look()
    computer.unplug(0)
    computer.plug_in(3, place="1-2", serial="A1", by_id="usb-046d_Cam_A1-video-index0")
    after = computer.list().look()
    assert before[0].id == after[0].id
    assert before[0].source == after[0].source
    assert before[0].path != after[0].path


def test_metadata_nodes_and_codecs_are_left_out(computer: Computer) -> None:
    computer.plug_in(0, serial="A1", by_id="usb-046d_Cam_A1-video-index0")
    computer.plug_in(1, index=1, serial="A1", by_id="usb-046d_Cam_A1-video-index1")
    computer.plug_in(10, "bcm2835-codec-decode", place="codec")
    computer.not_cameras = {"video1", "video10"}
    assert ids(computer) == ["046d_cam_a1"]


def test_a_node_that_may_not_be_asked_counts_by_its_index(computer: Computer) -> None:
    computer.may_ask = False
    computer.plug_in(0, serial="A1", by_id="usb-046d_Cam_A1-video-index0")
    computer.plug_in(1, index=1, serial="A1", by_id="usb-046d_Cam_A1-video-index1")
    assert ids(computer) == ["046d_cam_a1"]


def test_a_second_picture_of_the_same_device_has_its_own_id(computer: Computer) -> None:
    computer.plug_in(0, serial="D4", by_id="usb-Intel_Depth-video-index0")
    computer.plug_in(2, index=2, serial="D4", by_id="usb-Intel_Depth-video-index2")
    assert ids(computer) == ["intel_depth", "intel_depth-2"]


def test_identical_devices_without_serial_numbers_are_distinguished_by_their_socket(
    computer: Computer,
) -> None:
    shared = "usb-046d_Cam-video-index0"
    computer.plug_in(0, place="1-1", by_id=shared, by_path="pci-0-usb-0:1:1.0-video-index0")
    computer.plug_in(1, place="1-2", by_id=shared, by_path="pci-0-usb-0:2:1.0-video-index0")
    first, second = computer.list().look()
    assert (first.id, second.id) == ("pci-0-usb-0-1-1.0", "pci-0-usb-0-2-1.0")
    assert "by-path" in first.source
    assert first.source != second.source


def test_identical_devices_with_serial_numbers_keep_their_names(computer: Computer) -> None:
    computer.plug_in(0, place="1-1", serial="A", by_id="usb-046d_Cam_A-video-index0")
    computer.plug_in(1, place="1-2", serial="B", by_id="usb-046d_Cam_B-video-index0")
    assert ids(computer) == ["046d_cam_a", "046d_cam_b"]


def test_without_udev_a_camera_is_named_by_kind_and_place(computer: Computer) -> None:
    computer.plug_in(4, "HD Webcam: HD Webcam", place="1-3")
    (camera,) = computer.list().look()
    assert camera.id == "hd-webcam-hd-webcam-1-3"
    assert camera.source == camera.path


def test_each_node_is_asked_once_until_it_appears_again(computer: Computer) -> None:
    devices = computer.list()
    computer.plug_in(0)
    devices.look()
    devices.look()
    assert len(computer.asked) == 1
    computer.unplug(0)
    devices.look()
    computer.plug_in(0)
    devices.look()
    assert len(computer.asked) == 2


async def test_a_camera_that_comes_or_goes_is_reported(computer: Computer) -> None:
    reports: list[tuple[CameraFound, ...]] = []
    watching = asyncio.create_task(
        watch_cameras(computer.list().look, reports.append, interval_s=0.01)
    )
    await until(lambda: reports == [()])
    computer.plug_in(0)
    await until(lambda: len(reports) >= 2 and len(reports[-1]) == 1)
    computer.unplug(0)
    await until(lambda: reports[-1] == ())
    watching.cancel()
    await asyncio.wait([watching])


def test_links_that_go_with_the_last_camera_cost_no_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computer = Computer(tmp_path)
    computer.plug_in(0, by_id="usb-046d_HD_Webcam-video-index0")
    unplugged_while_listed(monkeypatch, "by-id")
    look = DeviceList(computer.probe, computer.sys, computer.dev).look
    assert [each.path for each in look()] == [str(computer.dev / "video0")]
