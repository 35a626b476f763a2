"""What tests of line sessions say and look at."""

from __future__ import annotations

from fakes.line_bench import LineBench
from fakes.port_bench import Client1
from usbshare.line.stop_actions import StopAction
from usbshare.serial_svc.sessions.line_delivery import LineDelivery
from usbshare.serial_svc.stop.hold import SeenHold

LINE = b"G1 X1.000 Y1.000 S100\n"


async def sent(client: Client1, *lines: bytes) -> None:
    for line in lines:
        await client.send(line)


def lines_of(client: Client1) -> LineDelivery:
    assert client.session.lines is not None
    return client.session.lines


async def resumed(bench: LineBench) -> None:
    seen = SeenHold(bench.port.line.latch.epoch, bench.port.stops.machine.holds.number)
    await bench.port.stops.path.stop(StopAction.RESUME, "bob", seen=seen)
