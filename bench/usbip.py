"""Round trip of 20 bytes to a board behind a USB/IP server: source `usbip://`, and a bare client.

Both are in one process, on one loop, and take turns; each has a board of its own in the server's
process. The boards echo at once.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Awaitable, Callable

from bench.bare_usbip import BareClient
from bench.ours import python_module
from bench.report import quantile, result, table
from bench.stage import Stage, free_port
from bench.usbip_echo import BOARDS, IN, OUT
from usbshare.base.event_loop import run
from usbshare.line.settings import LineSettings, ModemLines
from usbshare.line.usbip.device import UsbipDevice
from usbshare.line.usbip.source import parse_source

OURS, BARE = "source usbip://", "bare asyncio client"
LINE = b"G1 X10.000 Y20.0000\n"
ROUNDS = 5
BURSTS = 20
LINES_PER_BURST = 200

RoundTrip = Callable[[], Awaitable[None]]


class Source:
    """A device of the source, whose answers are waited for."""

    def __init__(self, device: UsbipDevice) -> None:
        self._device = device
        self._heard = 0
        self._answered: asyncio.Future[None]

    async def round_trip(self) -> None:
        """Write a line and wait until it has come back."""
        self._answered = asyncio.get_running_loop().create_future()
        self._heard = 0
        self._device.write(LINE)
        await self._answered

    def data_received(self, data: bytes) -> None:
        """Count what comes back."""
        self._heard += len(data)
        if self._heard >= len(LINE):
            self._answered.set_result(None)

    def writable(self) -> None:
        """Do nothing: one line always fits."""

    def lines_changed(self, lines: ModemLines) -> None:
        """Do nothing."""

    def device_lost(self, reason: str) -> None:
        """Fail."""
        raise RuntimeError(reason)


def main() -> None:
    """Measure and print."""
    found: dict[str, list[float]] = {OURS: [], BARE: []}
    load = os.getloadavg()[0]
    for _ in range(ROUNDS):
        with Stage() as stage:
            port = free_port()
            stage.start([*python_module("bench.usbip_echo"), str(port)]).wait_for("ready")
            run(_play_round(port, found))
    _print(found, load)


async def _play_round(port: int, found: dict[str, list[float]]) -> None:
    device = UsbipDevice(parse_source(f"usbip://127.0.0.1:{port}/{BOARDS[0]}"), LineSettings())
    source = Source(device)
    await device.open(source)
    bare = BareClient(*await asyncio.open_connection("127.0.0.1", port))
    await bare.attach(BOARDS[1], 1)

    async def bare_round_trip() -> None:
        await bare.round_trip(OUT, IN, LINE)

    ways: dict[str, RoundTrip] = {OURS: source.round_trip, BARE: bare_round_trip}
    for way in ways.values():
        await _burst(way)
    for _ in range(BURSTS):
        for name in random.sample(list(ways), len(ways)):
            found[name] += await _burst(ways[name])
    await device.close()


async def _burst(way: RoundTrip) -> list[float]:
    """Return the round trips of one burst, in microseconds."""
    times = []
    for _ in range(LINES_PER_BURST):
        begun = time.perf_counter_ns()
        await way()
        times.append((time.perf_counter_ns() - begun) / 1000)
    return times


def _print(found: dict[str, list[float]], load: float) -> None:
    rows = [
        (name, len(times), *(round(quantile(times, share)) for share in (0.5, 0.9, 0.99)))
        for name, times in found.items()
    ]
    print(f"round trip of 20 bytes to a board behind a USB/IP server, us (load {load:.1f})")
    table(("path", "n", "p50", "p90", "p99"), rows)
    for share, suffix in ((0.5, ""), (0.99, "_p99")):
        ratio = quantile(found[OURS], share) / quantile(found[BARE], share)
        result(f"usbip_round_trip_ratio{suffix}", ratio, "ratio")
    result("usbip_round_trip_p50_us", quantile(found[OURS], 0.5), "us")
