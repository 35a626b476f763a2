"""What the serial port loses while eight viewers watch a camera of the same computer at full rate.

Round trips of a line, and stops behind a megabyte of a program, as `round_trip` and `stop` measure
them, in turns without viewers and with them. The camera service encodes the simulated bed, 1280x720
at 30 frames a second; viewers are one process. All of it shares this computer's processors.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench import stop
from bench.camera import OURS, start_cameras
from bench.ours import PortTable, Service, python_module, start_bridge, start_service
from bench.programs import Programs
from bench.report import quantile, result, table
from bench.round_trip import UNPACED_BAUD, burst
from bench.stage import Actor, BenchError, Stage
from bench.stop_client import hold_again_and_again

VIEWERS = 8
ROUNDS = 3
TURNS = 3
BURSTS = 6
LINES_PER_BURST = 100
SPACED_LINES = 150
GAP_US = 3000
STOPS = 60
WATCHED_S = 12.0


@dataclass(slots=True)
class Found:
    """What was measured, with or without viewers."""

    back_to_back_us: list[float] = field(default_factory=list)
    spaced_us: list[float] = field(default_factory=list)
    stops_ms: list[float] = field(default_factory=list)
    fps: list[float] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    alone, beside = Found(), Found()
    for _ in range(ROUNDS):
        with Stage() as stage:
            _play_round(stage, alone, beside)
    _print(alone, beside)


def _play_round(stage: Stage, alone: Found, beside: Found) -> None:
    cameras = start_cameras(stage)
    viewers = _viewers(stage, cameras)
    asker = _asker(stage)
    burst(asker, 2 * LINES_PER_BURST, 0)
    with stop.paced_device(stage) as device:
        service = stop.start_paced(stage, device)
        _, path = start_bridge(stage, service, "laser")
        stop.stream(stage, path)
        time.sleep(stop.SETTLE_S)

        def measure(found: Found) -> None:
            _ask(asker, found)
            _stop(stage, service, device, found)

        for _ in range(TURNS):
            measure(alone)
            _watched(viewers, beside, measure)


def _viewers(stage: Stage, cameras: Service) -> Actor:
    arguments = [cameras.target, "0", str(cameras.folder)]
    viewers = stage.start([*python_module("bench.camera_viewers"), *arguments], asked=True)
    viewers.answer()
    return viewers


def _asker(stage: Stage) -> Actor:
    programs = Programs(stage)
    link = stage.path("device-raw")
    programs.start("echo", link)
    service = start_service(stage, {"raw": PortTable(link, "raw", UNPACED_BAUD)})
    return programs.start("ask", start_bridge(stage, service, "raw")[1])


def _watched(viewers: Actor, found: Found, measure: Callable[[Found], None]) -> None:
    viewers.tell(f"{OURS} {VIEWERS} {WATCHED_S}")
    if (heard := viewers.answer()) != "begin":
        raise BenchError(f"the viewers said {heard!r}")
    start = time.monotonic()
    measure(found)
    if time.monotonic() - start > WATCHED_S:
        raise BenchError(f"it took longer than the {WATCHED_S:g} s that somebody watches")
    viewers.answer()
    found.fps += json.loads(viewers.answer())["fps"]


def _ask(asker: Actor, found: Found) -> None:
    for _ in range(BURSTS):
        found.back_to_back_us += burst(asker, LINES_PER_BURST, 0)
    found.spaced_us += burst(asker, SPACED_LINES, GAP_US)


def _stop(stage: Stage, service: Service, device: stop.Device, found: Found) -> None:
    gaps_s = [random.uniform(*stop.GAP_S) for _ in range(STOPS)]
    bundle = stage.folder / "usbshare/client.pem"
    held = hold_again_and_again(service.target, "laser", bundle, gaps_s, device.heard)
    found.stops_ms += [(arrived - called) / 1e6 for called, (arrived, _) in held]


def _print(alone: Found, beside: Found) -> None:
    print(f"{VIEWERS} viewers of 1280x720 at 30 frames a second on {os.cpu_count()} processors")
    print(f"frames a second at the viewers: least {min(beside.fps):.1f}, ", end="")
    print(f"mean {sum(beside.fps) / len(beside.fps):.1f}")
    rows = [
        (
            title,
            who,
            len(times),
            *(quantile(times, share) for share in (0.5, 0.9, 0.99)),
            max(times),
        )
        for who, found in (("alone", alone), ("beside", beside))
        for title, times in (
            ("round trip back to back, us", found.back_to_back_us),
            ("round trip 3 ms apart, us", found.spaced_us),
            ("stop behind 1 MB, ms", found.stops_ms),
        )
    ]
    table(("what", "", "n", "p50", "p90", "p99", "max"), rows)
    for share, suffix in ((0.5, ""), (0.99, "_p99")):
        ratio = quantile(beside.back_to_back_us, share) / quantile(alone.back_to_back_us, share)
        result(f"round_trip_ratio_beside_video{suffix}", ratio, "ratio")
        spaced = quantile(beside.spaced_us, share) / quantile(alone.spaced_us, share)
        result(f"round_trip_ratio_beside_video_3ms_apart{suffix}", spaced, "ratio")
    result("stop_p50_ms_beside_video", quantile(beside.stops_ms, 0.5), "ms")
    result("stop_p99_ms_beside_video", quantile(beside.stops_ms, 0.99), "ms")
    result("stop_p99_ms_alone", quantile(alone.stops_ms, 0.99), "ms")


if __name__ == "__main__":
    main()
