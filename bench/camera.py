"""The age of pictures at 1, 8 and 32 viewers over mTLS, their rates, and what a frame costs.

Three ways, in turn: our service with a camera that delivers pixels (it encodes each frame once)
and with one that delivers JPEG (passed through), and a plain MJPEG fan-out over HTTPS of the same
pictures. µStreamer is not compared: it needs a V4L2 device, and a simulated bed is none.
The age is counted from the moment when the picture's drawing begins, so it has drawing and
encoding in it, on every way.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.ours import Service, python_module
from bench.report import quantile, result, table
from bench.stage import SCRIPTS, Actor, BenchError, Stage, free_port

FPS = 30
SOURCE = f"sim://bed?width=1280&height=720&fps={FPS}"
OURS, PASSED, HTTP = "raw", "mjpeg", "http"
TITLES = {OURS: "usbshare", PASSED: "usbshare, MJPEG camera", HTTP: "MJPEG over HTTPS"}
VIEWERS = (1, 8, 32)
ROUNDS = 3
SECONDS = 6.0
# The drawn clock and the capture time are read one after the other.
MOST_STAMP_ERROR_MS = 20.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement; `others` is how many cores everybody else used meanwhile."""

    fps: list[float]
    ages_ms: list[float]
    frames: int
    dropped: int
    frame_bytes: float
    server_cpu_s: float
    viewers_cpu_s: float
    others: float


Found = dict[tuple[str, int], list[Measured]]


class Peers:
    """The three processes."""

    def __init__(self, stage: Stage) -> None:
        service, https_port = start_cameras(stage), free_port()
        site = str(service.folder)
        arguments = [str(https_port), site, f"{SOURCE}&format=mjpeg"]
        http = stage.start([*python_module("bench.mjpeg_fanout"), *arguments], asked=True)
        http.answer()
        self._servers = {OURS: service.actor, PASSED: service.actor, HTTP: http}
        watching = [*python_module("bench.camera_viewers"), service.target, str(https_port), site]
        self._viewers = stage.start(watching, asked=True)
        self._viewers.answer()

    def measure(self, way: str, count: int) -> Measured:
        """Let so many viewers watch for a while."""
        actors = (self._servers[way], self._viewers)
        self._viewers.tell(f"{way} {count} {SECONDS}")
        self._hear("begin")
        before = [*map(_cpu_s, actors), _machine_busy_s()]
        self._hear("end")
        after = [*map(_cpu_s, actors), _machine_busy_s()]
        server, viewers, machine = (b - a for a, b in zip(before, after, strict=True))
        seen = json.loads(self._viewers.answer())
        _require_true_times(seen["stamp_errors_ms"])
        _require_true_rates(seen["fps"])
        return Measured(
            seen["fps"],
            seen["ages_ms"],
            seen["frames"],
            seen["dropped"],
            seen["frame_bytes"],
            server,
            viewers,
            max(0.0, machine - server - viewers) / SECONDS,
        )

    def _hear(self, word: str) -> None:
        if (heard := self._viewers.answer()) != word:
            raise BenchError(f"the viewers said {heard!r}, not {word!r}")


def main() -> None:
    """Measure and print."""
    found: Found = {}
    for _ in range(ROUNDS):
        with Stage() as stage:
            peers = Peers(stage)
            for count in VIEWERS:
                for way in random.sample(list(TITLES), len(TITLES)):
                    found.setdefault((way, count), []).append(peers.measure(way, count))
    _print_table(found)
    _print_results(found)


def start_cameras(stage: Stage) -> Service:
    """Start a camera service with a simulated bed that delivers pixels, and one JPEG."""
    target = f"127.0.0.1:{free_port()}"
    config = stage.folder / "camera.toml"
    config.write_text(
        "".join(
            f'[cameras.{name}]\nsource = "{SOURCE}&format={name}"\nlinger_s = 0\n'
            for name in (OURS, PASSED)
        )
    )
    command = [str(SCRIPTS / "camera-svc"), "--config", str(config), "--listen", target]
    actor = stage.start(command, environment={"USBSHARE_DISCOVERY_INTERFACES": "127.0.0.1"})
    actor.wait_for("camera-svc ready at")
    return Service(actor, target, stage.folder / "usbshare")


def _require_true_times(errors_ms: list[float]) -> None:
    """Raise BenchError unless the pictures themselves say when they were captured."""
    if not errors_ms:
        raise BenchError("no picture was decoded to check its clock")
    if (worst := max(map(abs, errors_ms))) > MOST_STAMP_ERROR_MS:
        raise BenchError(f"a picture's drawn clock differs by {worst:.1f} ms from its capture time")


def _require_true_rates(rates: list[float]) -> None:
    """Raise BenchError if a viewer gets more pictures than one camera makes."""
    if max(rates) > FPS + 1:
        raise BenchError(f"a viewer got {max(rates):.1f} frames a second of a camera of {FPS}")


def _cpu_s(actor: Actor) -> float:
    """Return what a process and its threads have used of processors."""
    fields = Path(f"/proc/{actor.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _machine_busy_s() -> float:
    user, nice, system, _, _, *interrupts = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8]
    )
    return (user + nice + system + sum(interrupts)) / _TICKS_PER_S


def _print_table(found: Found) -> None:
    print("age of a picture at its viewer in ms; fps: mean, and of the worst viewer; frames that")
    print("were dropped as a window was full; CPU in ms per frame and viewer, with drawing and")
    print(f"encoding; `others`: cores that other programs used meanwhile, of {os.cpu_count()}")
    print("µStreamer, which needs a V4L2 device, is not compared, but a plain fan-out by aiohttp")
    head = (
        "way",
        "viewers",
        "p50",
        "p99",
        "max",
        "fps",
        "least",
        "dropped",
        "server",
        "client",
        "KB",
    )
    rows = [_row(way, count, every) for (way, count), every in sorted(found.items())]
    table((*head, "others"), rows)


def _row(way: str, count: int, every: list[Measured]) -> tuple[object, ...]:
    ages, rates = _ages_ms(every), _rates(every)
    return (
        TITLES[way],
        count,
        *(round(quantile(ages, share), 1) for share in (0.5, 0.99)),
        round(max(ages), 1),
        round(sum(rates) / len(rates), 2),
        round(min(rates), 2),
        sum(each.dropped for each in every),
        _cost_ms(every),
        sum(each.viewers_cpu_s for each in every) * 1000 / sum(each.frames for each in every),
        round(sum(each.frame_bytes for each in every) / len(every) / 1000),
        round(sum(each.others for each in every) / len(every), 2),
    )


def _print_results(found: Found) -> None:
    for way, prefix in ((OURS, ""), (PASSED, "passed_"), (HTTP, "http_")):
        ages = _ages_ms(found[way, 8])
        result(f"{prefix}p50_age_ms_8_viewers", quantile(ages, 0.5), "ms")
        result(f"{prefix}p99_age_ms_8_viewers", quantile(ages, 0.99), "ms")
        result(f"{prefix}min_fps_32_viewers", min(_rates(found[way, 32])), "fps")
        cost = _cost_ms(_all_of(found, way))
        result(f"{prefix}cpu_ms_per_frame_and_viewer", cost, "ms")
    ours, http = (_cost_ms(_all_of(found, way)) for way in (OURS, HTTP))
    result("cpu_ratio_to_http", ours / http, "ratio")
    ages_of = {way: quantile(_ages_ms(found[way, 8]), 0.5) for way in (OURS, HTTP)}
    result("p50_age_ratio_to_http", ages_of[OURS] / ages_of[HTTP], "ratio")


def _all_of(found: Found, way: str) -> Iterable[Measured]:
    """Return the measurements with more than one viewer: one pays alone for the encoding."""
    return [each for count in VIEWERS if count > 1 for each in found[way, count]]


def _ages_ms(every: Iterable[Measured]) -> list[float]:
    return [age for each in every for age in each.ages_ms]


def _rates(every: Iterable[Measured]) -> list[float]:
    return [rate for each in every for rate in each.fps]


def _cost_ms(every: Iterable[Measured]) -> float:
    measured = list(every)
    frames = sum(each.frames for each in measured)
    return sum(each.server_cpu_s for each in measured) * 1000 / frames
