"""A change of policy.toml acts on devices at once: the file, the rulebook and both registries."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fakes.cameras import FakeCamera, jpeg_of
from fakes.usb_tree import UsbTree
from fakes.waiting import until
from usbshare.authorization.device_list import allow, deny
from usbshare.authorization.devices import Quarantine
from usbshare.authorization.rulebook import Rulebook
from usbshare.base.file_watch import FileWatch
from usbshare.camera_svc.capture.camera import CameraConfig, CameraState
from usbshare.camera_svc.capture.quarantine import CameraQuarantine
from usbshare.camera_svc.capture.registry import Registry as CameraRegistry
from usbshare.camera_svc.service import make_encoding
from usbshare.line.usb import node
from usbshare.line.usb.device import UsbDevice, parse_selector
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports import quarantine as quarantine_module
from usbshare.serial_svc.ports.quarantine import PortQuarantine
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.sessions.client import Client, Mode
from usbshare.serial_svc.sessions.events import PortChanged
from usbshare.serial_svc.sessions.session import Session

WEBCAM = UsbDevice(0x046D, 0x0825, "C1", "1-2")


class Notes:
    """An audit log with a memory."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.trouble = ""

    def note(
        self, event: str, *, who: str = "", address: str = "", port: str = "", **fields: Any
    ) -> None:
        self.events.append(event)


@dataclass
class Host:
    """A host whose services follow its policy; the laser is a pty."""

    policy: Path
    laser: str
    ports: Registry
    cameras: CameraRegistry
    notes: Notes


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    master, slave = os.openpty()
    laser, tree = os.ttyname(slave), UsbTree(tmp_path / "sys")
    tree.attach(laser, "1-1", "1a86", "7523", "X1")
    behind = partial(node.usb_device_behind, sys=tree.sys)
    monkeypatch.setattr(quarantine_module, "usb_device_behind", behind)
    policy = tmp_path / "policy.toml"
    policy.write_text('devices = "listed"\n')
    notes, encoding = Notes(), make_encoding()
    rulebook = Rulebook(tmp_path, "0123456789ab", notes)
    rulebook.load()
    serial = Quarantine(lambda: rulebook.policy, notes, "serial-svc", "serial port")
    camera = Quarantine(lambda: rulebook.policy, notes, "camera-svc", "camera")
    ports = Registry(time.monotonic, quarantine=PortQuarantine(serial))
    cameras = CameraRegistry(encoding, CameraQuarantine(camera, {"/dev/video0": WEBCAM}.get))
    rulebook.subscribe(ports.rules_changed)
    rulebook.subscribe(cameras.rules_changed)
    watch = FileWatch("files")
    following = asyncio.gather(rulebook.follow(watch, lambda: None), ports.follow(None, watch))
    yield Host(policy, laser, ports, cameras, notes)
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    watch.close()
    await asyncio.gather(ports.close(), cameras.close())
    await asyncio.to_thread(encoding.executor.shutdown)
    os.close(master)
    os.close(slave)


def told_of(session: Session) -> list[PortState]:
    """Return the states of the port that a session was told."""
    told = []
    while session.outbox.wait_s(time.monotonic()) == 0:
        event = session.outbox.take(time.monotonic())
        if isinstance(event, PortChanged):
            told.append(event.port.state)
    return told


async def test_allowing_and_denying_a_serial_device_acts_on_an_open_session(host: Host) -> None:
    port = host.ports.add(PortConfig("laser", host.laser))
    await until(lambda: port.describe().state_reason.startswith("quarantined"))
    allow(host.policy, parse_selector("1a86:7523:X1"))
    await until(lambda: port.describe().state is PortState.AVAILABLE)
    session = await port.open_session(Client("s", "id", "test", "peer", Mode.OBSERVE))
    assert port.line.is_open
    deny(host.policy, parse_selector("1a86:7523:X1"))
    await until(lambda: not port.line.is_open)
    assert PortState.ABSENT in told_of(session)
    allow(host.policy, parse_selector("@1-1"))
    await until(lambda: port.line.is_open)


async def test_allowing_and_denying_a_camera_acts_on_its_pictures(host: Host) -> None:
    source = FakeCamera(jpeg_of())
    config = CameraConfig("bed", "the bed", "/dev/video0", always_on=True)
    camera = host.cameras.add(config, source.make).camera
    await until(lambda: camera.reason.startswith("quarantined"))
    allow(host.policy, parse_selector("046d:0825"))
    await until(lambda: camera.state is CameraState.LIVE)
    deny(host.policy, parse_selector("046d:0825"))
    # On a busy machine it may also be lost for another reason, for a moment.
    await until(lambda: camera.reason.startswith("quarantined"))
    assert camera.state is CameraState.LOST


async def test_a_policy_with_a_mistake_lets_no_device_in(host: Host) -> None:
    port = host.ports.add(PortConfig("laser", host.laser))
    await until(lambda: port.describe().state_reason.startswith("quarantined"))
    host.policy.write_text('devices = "anything"\n')
    await until(lambda: "policy refused" in host.notes.events)
    assert port.describe().state is PortState.ABSENT
