"""A camera is one physical device: no number, link or order shows another laser's bed instead."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fakes.cameras import noisy_jpeg
from fakes.usb_tree import UsbTree
from fakes.v4l2_driver import FakeCapture, FakeDriver
from usbshare.base.errors import DeviceError
from usbshare.camera_svc.capture.device_guard import CameraGuard
from usbshare.camera_svc.capture.device_list import CameraFound, DeviceList
from usbshare.camera_svc.capture.frame_source import Wish
from usbshare.camera_svc.capture.v4l2 import V4l2Device
from usbshare.camera_svc.capture.v4l2_source import V4l2Source
from usbshare.line import physical_device
from usbshare.line.device_id_file import KnownDevices, forget


class Webcams:
    """Cameras on ptys, with /sys and the links that udev makes of them."""

    def __init__(self, root: Path) -> None:
        self.tree = UsbTree(root / "sys")
        self.dev = root / "dev"
        self.classes = root / "sys" / "class" / "video4linux"
        self.classes.mkdir(parents=True)
        self.dev.mkdir()
        self.ptys: dict[Path, tuple[int, int]] = {}
        self.opened: list[str] = []

    def plug_in(self, place: str, serial: str = "") -> Path:
        """Return the node, numbered in the order of appearance."""
        taken = set(self.ptys)
        names = (self.dev / f"video{number}" for number in range(100))
        node = next(name for name in names if name not in taken)
        self.ptys[node] = os.openpty()
        node.symlink_to(os.ttyname(self.ptys[node][1]))
        self.tree.attach(str(node), place, "046d", "0825", serial)
        entry = self.classes / node.name
        entry.mkdir()
        (entry / "name").write_text("HD Webcam\n")
        (entry / "index").write_text("0\n")
        (entry / "device").symlink_to(self.tree.part_of(str(node)))
        self._link("by-id", f"usb-046d_0825{'_' * bool(serial)}{serial}-video-index0", node)
        self._link("by-path", f"pci-0000:00:14.0-usb-0:{place[2:]}:1.0-video-index0", node)
        return node

    def unplug(self, node: Path) -> None:
        """Pull it out."""
        self.tree.detach(str(node))
        for child in (self.classes / node.name).iterdir():
            child.unlink()
        (self.classes / node.name).rmdir()
        node.unlink()
        for descriptor in self.ptys.pop(node):
            os.close(descriptor)
        for folder in (self.dev / "v4l").iterdir():
            for link in folder.iterdir():
                if not link.exists():
                    link.unlink()

    def look(self, known: KnownDevices) -> dict[str, CameraFound]:
        found = DeviceList(lambda _: True, self.classes, self.dev, known).look()
        return {each.path: each for each in found}

    def open(self, source: str, guard: CameraGuard) -> str:
        """Open a camera as the service does; returns the node that was opened."""
        driver = FakeDriver()

        def open_capture(path: str) -> FakeCapture:
            self.opened.append(path)
            return FakeCapture(driver, [noisy_jpeg()])

        camera = V4l2Source(
            *(source, Wish(), guard, V4l2Device(source, driver), open_capture, lambda _: [])
        )
        camera.open()
        camera.close()
        return self.opened[-1]

    def _link(self, kind: str, name: str, node: Path) -> None:
        folder = self.dev / "v4l" / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(node)


@pytest.fixture
def webcams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Webcams]:
    made = Webcams(tmp_path)
    monkeypatch.setattr(physical_device, "SYS", made.tree.sys)
    yield made
    for node in list(made.ptys):
        made.unplug(node)


def real(path: Path | str) -> str:
    return os.path.realpath(path)


@pytest.mark.parametrize("serial", ["", "0001"], ids=["no serial number", "the same one"])
def test_an_identical_camera_renames_no_camera(webcams: Webcams, serial: str) -> None:
    known = KnownDevices()
    a = webcams.plug_in("1-1", serial)
    before = webcams.look(known)[str(a)].id
    b = webcams.plug_in("1-2", serial)
    both = webcams.look(known)
    assert both[str(a)].id == before
    assert both[str(b)].id != before
    webcams.unplug(a)
    assert webcams.look(known)[str(b)].id == both[str(b)].id


@pytest.mark.parametrize("serial", ["", "0001"], ids=["no serial number", "the same one"])
def test_an_offered_camera_never_opens_an_identical_one(webcams: Webcams, serial: str) -> None:
    known = KnownDevices()
    a, b = webcams.plug_in("1-1", serial), webcams.plug_in("1-2", serial)
    found = webcams.look(known)[str(a)]
    guard = CameraGuard(found.id, known, found.device, found.index, webcams.dev)
    assert webcams.open(found.source, guard) == real(a)
    webcams.unplug(a)
    with pytest.raises(DeviceError, match="not plugged in"):
        webcams.open(found.source, guard)
    webcams.unplug(b)
    webcams.plug_in("1-2", serial)  # B has A's node now, and the link that they share
    a = webcams.plug_in("1-1", serial)
    assert webcams.open(found.source, guard) == real(a)


@pytest.mark.parametrize("kind", ["node", "by-id"])
def test_a_configured_camera_keeps_the_device_of_its_first_opening(
    webcams: Webcams, kind: str, tmp_path: Path
) -> None:
    known = KnownDevices(tmp_path / "devices")
    a = webcams.plug_in("1-1")
    link = webcams.dev / "v4l" / "by-id" / "usb-046d_0825-video-index0"
    source = str(a if kind == "node" else link)
    guard = CameraGuard("bed", known)
    assert webcams.open(source, guard) == real(a)
    webcams.unplug(a)
    b = webcams.plug_in("1-2")
    with pytest.raises(DeviceError, match=r"another device .* `camera-svc devices forget bed`"):
        webcams.open(source, guard)
    assert real(b) not in webcams.opened[1:]


def test_a_link_that_cameras_share_does_not_choose_one(webcams: Webcams) -> None:
    webcams.plug_in("1-1")
    webcams.plug_in("1-2")
    link = webcams.dev / "v4l" / "by-id" / "usb-046d_0825-video-index0"
    with pytest.raises(DeviceError, match="2 cameras share the link"):
        webcams.open(str(link), CameraGuard("bed", KnownDevices()))
    assert webcams.opened == []


def test_a_node_that_changes_hands_before_opencv_opens_it_is_refused(
    webcams: Webcams, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = webcams.plug_in("1-1"), webcams.plug_in("1-2")
    guard = CameraGuard("bed", KnownDevices())
    after = guard.after_open

    with monkeypatch.context() as patch:

        def lose(path: str, descriptor: int | None) -> None:
            after(path, descriptor)
            patch.setattr(os.path, "realpath", lambda _, **__: str(b))

        patch.setattr(guard, "after_open", lose)
        with pytest.raises(DeviceError, match="now another device"):
            webcams.open(str(a), guard)


def test_a_forgotten_id_may_be_assigned_again(tmp_path: Path, webcams: Webcams) -> None:
    folder = tmp_path / "devices"
    folder.mkdir()
    (folder / "port-bed").write_text(
        '{"vid": 1, "pid": 2, "serial": "", "socket": "x/1", "interface": "0"}'
    )
    known = KnownDevices(folder)
    known.load()
    a, guard = webcams.plug_in("1-1"), CameraGuard("bed", known)
    with pytest.raises(DeviceError, match="this camera's is 0001:0002"):
        webcams.open(str(a), guard)
    assert [str(each) for each in forget([folder], "bed")] == [
        "0001:0002, no serial number, in socket x/1"
    ]
    assert webcams.open(str(a), guard) == real(a)
