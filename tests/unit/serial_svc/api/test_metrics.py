"""What a scrape shows of stops, lost sessions and held machines."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, generate_latest

from fakes.device import FakeDevice
from usbshare.base.lateness import Lateness
from usbshare.line.profiles import GRBL, StopAction
from usbshare.line.settings import LineSettings
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc.api.convert_port import port_message
from usbshare.serial_svc.api.metrics import PortCollector
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions.client import Client, Command, Mode

FAST = LineSettings(baud=12_000_000)


def samples(port: SerialPort) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(PortCollector(lambda: [port], Lateness()))
    lines = generate_latest(registry).decode().splitlines()
    pairs = (line.split(" ") for line in lines if not line.startswith("#"))
    return {
        name.removeprefix("usbshare_serial_").removesuffix('{port="laser"}'): float(value)
        for name, value in pairs
    }


async def test_stops_and_lost_sessions_are_scraped_and_reported() -> None:
    device = FakeDevice(FAST)
    config = PortConfig("laser", "fake", profile=GRBL, settings=FAST)
    port = SerialPort(config, lambda _: device, time.monotonic, lambda: None)
    client = Client("id", "usbshare://site/ann", "ann", "127.0.0.1:1", Mode.CONTROL)
    session = await port.open_session(client)
    before = samples(port)
    assert before["stop_write_time_seconds_count"] == before["lost_sessions_total"] == 0
    assert before["held"] == before["at_work"] == 0
    assert port_message(port.describe()).link_loss == pb.LINK_LOSS_POLICY_DOOR

    await session.command(Command(1, None, port.line.latch.epoch, 0, b"G1 X1\n"))
    assert samples(port)["at_work"] == 1
    acting = port.stops.link_loss.act("a test", is_at_work=True)
    watch = port.roster.watch_of(session)
    assert watch is not None
    watch.lose("a test")
    assert acting is not None
    await acting
    found = samples(port)
    assert found["held"] == found["machine_held"] == 1
    assert found["lost_sessions_total"] == 1
    assert found["link_loss_actions_total"] >= 1
    assert port_message(port.describe()).held

    await port.stops.path.stop(StopAction.EMERGENCY_STOP, "ann")
    found = samples(port)
    assert found["held"] == found["machine_held"] == 0
    assert found["stop_write_time_seconds_count"] >= 2
    assert found["stop_write_time_seconds_sum"] > 0
    await port.close()
