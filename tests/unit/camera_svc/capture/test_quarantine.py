"""Cameras that the policy does not allow are not offered; one that it withdraws is let go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fakes.cameras import FakeCamera, jpeg_of
from fakes.waiting import until
from usbshare.authorization.devices import Quarantine
from usbshare.authorization.policy import Policy
from usbshare.camera_svc.capture import camera as camera_module
from usbshare.camera_svc.capture.camera import CameraConfig, CameraState
from usbshare.camera_svc.capture.device_list import CameraFound
from usbshare.camera_svc.capture.quarantine import CameraQuarantine
from usbshare.camera_svc.capture.registry import Registry
from usbshare.camera_svc.service import make_encoding
from usbshare.line.usb.device import UsbDevice

WEBCAM = UsbDevice(0x046D, 0x0825, "C1", "1-1")
STRANGER = UsbDevice(0x1234, 0x5678, "", "1-2")
NODES = {"/dev/video0": WEBCAM, "/dev/video9": STRANGER}
ALLOWED_WEBCAM = {"vid": "046d", "serial": "C1"}


class Notes:
    """An audit log with a memory."""

    trouble = ""

    def __init__(self) -> None:
        self.events: list[str] = []

    def note(self, event: str, **fields: Any) -> None:
        self.events.append(f"{event} {fields['vid']}")


class Host:
    """A host with a policy and cameras."""

    def __init__(self) -> None:
        self.notes = Notes()
        self.camera = FakeCamera(jpeg_of())
        self.policy = Policy(devices="listed")
        rule = Quarantine(lambda: self.policy, self.notes, "camera-svc", "camera")
        self.encoding = make_encoding()
        self.registry = Registry(self.encoding, CameraQuarantine(rule, NODES.get))

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.registry.cameras]

    def allow(self, *entries: dict[str, str], devices: str = "listed") -> None:
        """Allow these and no other."""
        self.policy = Policy.model_validate({"devices": devices, "allowed_devices": list(entries)})
        self.registry.rules_changed()


@pytest.fixture
async def host(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    monkeypatch.setattr(camera_module, "RETRY_S", 0.02)
    made = Host()
    yield made
    made.camera.go_on()
    await made.registry.close()
    await asyncio.to_thread(made.encoding.executor.shutdown)


def found(camera_id: str, usb: UsbDevice | None) -> CameraFound:
    return CameraFound(camera_id, "a camera", "/dev/video0", "/dev/video0", usb)


async def test_only_listed_cameras_and_such_as_are_not_usb_are_offered(host: Host) -> None:
    host.allow(ALLOWED_WEBCAM)
    plugged_in = [found("webcam", WEBCAM), found("stranger", STRANGER), found("csi", None)]
    host.registry.plugged_in(plugged_in)
    assert host.ids == ["csi", "webcam"]
    assert host.notes.events == ["quarantined 1234"]


async def test_a_policy_change_offers_and_withdraws_what_is_plugged_in(host: Host) -> None:
    host.registry.plugged_in([found("webcam", WEBCAM)])
    assert host.ids == []
    host.allow(ALLOWED_WEBCAM)
    assert host.ids == ["webcam"]
    host.allow()
    assert host.ids == []
    host.allow(devices="any")
    assert host.ids == ["webcam"]


@pytest.mark.parametrize("source", ["9", "/dev/video9", "file:///dev/video9"])
async def test_a_configured_camera_that_is_not_allowed_is_not_opened_and_says_why(
    host: Host, source: str
) -> None:
    config = CameraConfig("bed", "the bed", source, always_on=True)
    camera = host.registry.add(config, host.camera.make).camera
    await until(lambda: camera.state is CameraState.LOST)
    assert camera.reason.startswith("quarantined: USB device 1234:5678, in socket 1-2")
    assert host.camera.sources == []
    host.allow({"path": "1-2"})
    await until(lambda: camera.state is CameraState.LIVE)


@pytest.mark.parametrize("source", ["sim://bed", "rtsp://cam/9", "/srv/film.mp4", "http://x/9"])
async def test_a_source_that_is_not_a_device_of_this_host_is_not_quarantined(
    host: Host, source: str
) -> None:
    config = CameraConfig("bed", "the bed", source, always_on=True)
    camera = host.registry.add(config, host.camera.make).camera
    await until(lambda: camera.state is CameraState.LIVE)


async def test_a_camera_that_is_withdrawn_delivers_no_more_until_it_is_allowed(host: Host) -> None:
    host.allow(ALLOWED_WEBCAM)
    config = CameraConfig("bed", "the bed", "/dev/video0", always_on=True)
    camera = host.registry.add(config, host.camera.make).camera
    await until(lambda: camera.state is CameraState.LIVE)
    host.allow()
    assert camera.state is CameraState.LOST
    assert camera.reason.startswith("quarantined")
    await until(lambda: all(source.closed for source in host.camera.sources))
    host.allow(ALLOWED_WEBCAM)
    await until(lambda: camera.state is CameraState.LIVE)


async def test_an_unidentifiable_camera_is_quarantined(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usbshare.camera_svc.capture.source_factory.camera_node", lambda source: "")
    config = CameraConfig("bed", "the bed", "0", always_on=True)
    camera = host.registry.add(config, host.camera.make).camera
    await until(lambda: camera.state is CameraState.LOST)
    assert "this system cannot tell which USB device camera 0 is" in camera.reason
