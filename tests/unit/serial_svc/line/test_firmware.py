"""A port whose firmware nobody knows is stopped all the same, and what a stop sends is told."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fakes.device import FakeDevice
from fakes.waiting import until
from usbshare.client.serial.convert import remote_port
from usbshare.line.profiles import (
    AUTO,
    GCODE,
    GRBL,
    GRBLHAL,
    MARLIN,
    RAW,
    REPRAP,
    Profile,
    StopAction,
    StopPlan,
)
from usbshare.line.settings import LineSettings
from usbshare.serial_svc.api.convert_port import port_message
from usbshare.serial_svc.line.firmware import StopBytes
from usbshare.serial_svc.line.port_config import LinkLossPolicy, PortConfig
from usbshare.serial_svc.line.scheduler import Ordering
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions.client import Client, Command, Mode
from usbshare.serial_svc.sessions.session import Session
from usbshare.serial_svc.stop.link_loss import policy_of

FAST = LineSettings(baud=12_000_000)


class Bench:
    """A port on a fake device, not opened yet, with one program."""

    def __init__(self, profile: Profile | None = None) -> None:
        self.device = FakeDevice(FAST)
        config = PortConfig("laser", "fake", profile=profile, settings=FAST)
        self.port = SerialPort(config, lambda _: self.device, time.monotonic, lambda: None)
        self.sent_bytes = 0

    async def open(self) -> Session:
        client = Client(
            "one", "usbshare://site/one", "one", "127.0.0.1:1", Mode.CONTROL, Ordering.PROGRAM
        )
        return await self.port.open_session(client)

    async def send(self, session: Session, data: bytes) -> None:
        offset, self.sent_bytes = self.sent_bytes, self.sent_bytes + len(data)
        await session.command(Command(offset, None, self.port.line.latch.epoch, offset, data))

    async def stop(self, action: StopAction) -> bytes:
        return (await self.port.stops.path.stop(action, "somebody")).sent


@pytest.fixture
async def unknown() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.port.close()


@pytest.mark.parametrize(
    ("action", "sent"),
    [
        (StopAction.EMERGENCY_STOP, b"\x18\nM112\n"),
        (StopAction.HOLD, b"!M410\nM410\n"),
        (StopAction.SAFETY_DOOR, b"!\x84M410\nM410\nM5\n"),
        (StopAction.RESUME, b"~\nM108\n"),
    ],
)
async def test_a_port_that_was_never_opened_is_stopped_by_what_every_firmware_obeys(
    unknown: Bench, action: StopAction, sent: bytes
) -> None:
    assert await unknown.stop(action) == sent
    assert unknown.device.written == sent
    assert unknown.port.line.latch.is_set is (action is StopAction.EMERGENCY_STOP)


async def test_a_hold_of_an_unknown_machine_voids_its_program(unknown: Bench) -> None:
    session = await unknown.open()
    unknown.device.capacity = 0
    await unknown.send(session, b"G1 X1\nG1 X2\n")
    before = unknown.port.line.latch.epoch
    unknown.device.make_room(1000)
    await unknown.stop(StopAction.HOLD)
    assert unknown.port.line.latch.epoch > before
    await until(lambda: b"M410" in unknown.device.written)
    assert b"X2" not in unknown.device.written.partition(b"M410")[2]


async def test_as_soon_as_gcode_is_sent_the_bytes_of_a_stop_are_reported(
    unknown: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    session = await unknown.open()
    with caplog.at_level(logging.WARNING):
        await unknown.send(session, b"G21\n")
        await unknown.send(session, b"G1 X1 F100\n")
    told = [text for text in caplog.messages if "gets G-code" in text]
    assert len(told) == 1
    assert r"b'\x18\nM112\n'" in told[0]
    described = unknown.port.describe()
    assert (described.profile, described.configured_profile) == (GCODE.name, "auto")
    assert (described.stop_bytes, described.sees_gcode) == (StopBytes.FALLBACK, True)
    assert described.link_loss is LinkLossPolicy.DOOR
    remote = remote_port(port_message(described))
    assert (remote.profile, remote.stop_bytes, remote.sees_gcode) == (GCODE, "fallback", True)


@pytest.mark.parametrize(
    "data",
    [b"\x01\x01\xfe" + bytes(130), b"G", b"\xc0\x00\x08$\x00G1 X1", b"Get ready\n", b"M\nG\n", b""],
)
async def test_bytes_that_are_not_gcode_are_not_reported_and_a_lost_link_sends_nothing(
    unknown: Bench, data: bytes
) -> None:
    session = await unknown.open()
    await unknown.send(session, data or b"x")
    described = unknown.port.describe()
    assert (described.profile, described.sees_gcode) == (AUTO.name, False)
    assert described.link_loss is LinkLossPolicy.NONE


async def test_a_raw_port_is_left_alone_and_says_that_a_stop_has_no_bytes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = Bench(RAW)
    session = await made.open()
    with caplog.at_level(logging.WARNING):
        await made.send(session, b"G1 X1\n")
    assert any("SENDS NO BYTES" in text for text in caplog.messages)
    described = made.port.describe()
    assert (described.profile, described.stop_bytes) == (RAW.name, StopBytes.NONE)
    assert described.sees_gcode
    assert await made.stop(StopAction.EMERGENCY_STOP) == b""
    await made.port.close()


async def test_a_raw_port_with_configured_bytes_has_them() -> None:
    stops = {StopAction.EMERGENCY_STOP: StopPlan(b"\xa5\x07", flush=True)}
    made = Bench(replace(RAW, stops=stops))
    session = await made.open()
    await made.send(session, b"G1 X1\n")
    described = made.port.describe()
    assert (described.stop_bytes, described.sees_gcode) == (StopBytes.OWN, False)
    assert await made.stop(StopAction.EMERGENCY_STOP) == b"\xa5\x07"
    await made.port.close()


async def test_a_banner_ends_the_fallback_and_a_lost_device_starts_again(unknown: Bench) -> None:
    session = await unknown.open()
    await unknown.send(session, b"G1 X1\n")
    unknown.device.say(b"GrblHAL 1.1f ['$' or '$HELP' for help]\r\n")
    described = unknown.port.describe()
    assert (described.profile, described.stop_bytes) == (GRBLHAL.name, StopBytes.OWN)
    assert not described.sees_gcode
    unknown.port.line.device_lost("unplugged")
    assert unknown.port.line.profile is AUTO
    assert unknown.port.line.firmware.stop_bytes is StopBytes.FALLBACK


async def test_a_device_that_sends_back_a_programs_bytes_is_not_taken_for_firmware(
    unknown: Bench,
) -> None:
    session = await unknown.open()
    for said in (b"Grbl 1.1h ['$' for help]\r\n", b"<Idle|MPos:0,0,0>\r\n", b"echo:Marlin 2\r\n"):
        await unknown.send(session, said)
        unknown.device.say(said)
        assert unknown.port.line.profile is AUTO
    unknown.device.say(b"FIRMWARE_NAME:Marlin 2.1\n")
    assert unknown.port.line.profile is MARLIN


@pytest.mark.parametrize("profile", [GRBL, MARLIN, REPRAP, GCODE])
def test_where_gcode_flows_a_lost_link_stops_the_machine(profile: Profile) -> None:
    assert policy_of(None, profile) is LinkLossPolicy.DOOR
