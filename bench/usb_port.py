"""How far a program is ahead of the host on a USB port of the bridge, and what that costs a stop.

It needs Linux with vhci_hcd and the right to plug in; tests/vm runs it in a virtual machine. Ahead
is what a port takes while nothing can leave for the host: the bridge's own relay has no link then.
The stop is a `!` that a program writes behind all that its port takes, at 115200 baud; `bench.stop`
measures the same on a pty (`vcom_full`).
"""

from __future__ import annotations

import asyncio
import os
import tty

from bench.ours import start_usb_bridge
from bench.report import quantile, result, table
from bench.stage import Stage
from bench.stop import LINE, paced_device, start_paced, stop_when_full
from usbshare.base.threads import in_thread
from usbshare.bridge.forwarding.relay import Relay
from usbshare.bridge.forwarding.report import TextReporter
from usbshare.bridge.local_ports.port_makers import PORT_MAKERS
from usbshare.client.serial.upstream import Upstream
from usbshare.line.settings import LineSettings
from usbshare.usbip.errors import UsbipError
from usbshare.usbip.messages import Speed
from usbshare.usbip.vhci.attach import PlugPlaces, plug_in

WRITES = {"lines of 20 bytes": LINE, "writes of 4096 bytes": (LINE * 205)[:4096]}
STOPS = int(os.environ.get("BENCH_STOPS", "20"))
STILL_S = 1.0
LOOK_S = 0.01


def main() -> None:
    """Measure and print."""
    try:
        plugged = plug_in(Speed.FULL, PlugPlaces.of_system())
    except UsbipError as error:
        print(f"left out: {error}", flush=True)
        return
    plugged.end.close()
    plugged.close_helper()
    with Stage() as stage:
        os.environ["XDG_RUNTIME_DIR"] = stage.path("run")
        ahead = {
            (kind, name): asyncio.run(_run_ahead(kind, value, piece))
            for kind, value in (("usb_port", "auto"), ("vcom", stage.path("COM10")))
            for name, piece in WRITES.items()
        }
    times_ms = {name: _stops(piece) for name, piece in WRITES.items()}
    print("bytes that a port takes while none leaves for the host; a `!` behind a full port, in ms")
    rows = [
        (
            name,
            ahead["usb_port", name],
            ahead["vcom", name],
            *(quantile(times_ms[name], share) for share in (0.5, 0.99)),
        )
        for name in WRITES
    ]
    table(("program", "USB port", "pty", "stop p50", "stop p99"), rows)
    result("usb_port_run_ahead_bytes", max(ahead["usb_port", name] for name in WRITES), "B")
    result("usb_port_run_ahead_lines_bytes", ahead["usb_port", next(iter(WRITES))], "B")
    result("pty_run_ahead_bytes", max(ahead["vcom", name] for name in WRITES), "B")
    every_ms = [each for times in times_ms.values() for each in times]
    result("usb_port_full_stop_p99_ms", quantile(every_ms, 0.99), "ms")


async def _run_ahead(kind: str, value: str, piece: bytes) -> int:
    """Return how many bytes a port takes until it takes none for a while."""
    port = PORT_MAKERS[kind](value)
    relay = Relay(port, Upstream(), TextReporter(), observe=False)
    relay.port_is_ready = True
    await port.start(relay, LineSettings())
    try:
        descriptor = await in_thread(os.open, port.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            await in_thread(tty.setraw, descriptor)
            return await _filled(descriptor, piece)
        finally:
            await port.close()  # before the program: closing a full port waits for 30 s
            await in_thread(os.close, descriptor)
    finally:
        await port.close()


async def _filled(descriptor: int, piece: bytes) -> int:
    loop = asyncio.get_running_loop()
    size, still_since = 0, loop.time()
    while loop.time() - still_since < STILL_S:
        try:
            size += os.write(descriptor, piece)
            still_since = loop.time()
        except BlockingIOError:
            pass
        await asyncio.sleep(LOOK_S)
    return size


def _stops(piece: bytes) -> list[float]:
    with Stage() as stage, paced_device(stage) as device:
        _, path = start_usb_bridge(stage, start_paced(stage, device), "laser")
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(descriptor)
        try:
            return [stop_when_full(descriptor, device, piece) for _ in range(STOPS)]
        finally:
            os.close(descriptor)
