"""What the serial port loses on a link of 20 Mbit/s that video fills.

Both services are at the host's end of a wire between two network namespaces; bridge, stops and
eight viewers at the client's. What the host sends passes a token bucket whose queue holds 50 ms;
what the client sends is not limited. In turn nobody watches, viewers watch that yield to the link
as ours do, and viewers that insist on the whole picture. Once with one queue for all, and once
as a router does that lets the serial ports' answers go first.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import stop
from bench.link_viewers import INSISTS, YIELDS
from bench.ours import PortTable, python_module
from bench.programs import Programs
from bench.report import quantile, result, table
from bench.round_trip import UNPACED_BAUD, burst
from bench.shaped_wire import HOST_ADDRESS, ShapedWire, shaped_wire
from bench.slow_line import MASTER_VARIABLE
from bench.stage import SCRIPTS, Actor, BenchError, Stage

RATE_BIT_PER_S = 20_000_000
RATE, BURST, LATENCY = f"{RATE_BIT_PER_S // 1_000_000}mbit", "16kb", "50ms"
LIMIT_BYTES = RATE_BIT_PER_S // 8 // 20 + 16 * 1024  # the same 50 ms
ONE_QUEUE, SERIAL_FIRST = "one queue", "serial first"
SOURCE = "sim://bed?width=1280&height=720&fps=30"
CAMERA_PORT, SERIAL_PORT, PACED_PORT = 50052, 50051, 50061
VIEWERS = 8
TURNS = int(os.environ.get("BENCH_TURNS", "2"))
BURSTS, LINES_PER_BURST, GAP_US = 8, 15, 3000
STOPS = 40
WATCHED_S = 20.0
CONGESTION_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")
NOBODY = "nobody"
KEY_SUFFIX = {
    (ONE_QUEUE, YIELDS): "full_link",
    (ONE_QUEUE, NOBODY): "link_alone",
    (ONE_QUEUE, INSISTS): "full_link_insisting",
    (SERIAL_FIRST, NOBODY): "link_alone_serial_first",
    (SERIAL_FIRST, YIELDS): "full_link_serial_first",
    (SERIAL_FIRST, INSISTS): "full_link_insisting_serial_first",
}


@dataclass(slots=True)
class Found:
    """What was measured on one kind of link beside one kind of viewers."""

    trips_ms: list[float] = field(default_factory=list)
    stops_ms: list[float] = field(default_factory=list)
    answers_ms: list[float] = field(default_factory=list)
    waiting_bytes: list[int] = field(default_factory=list)
    sent_mbit_per_s: list[float] = field(default_factory=list)
    dropped: int = 0
    fps: list[float] = field(default_factory=list)
    frames: list[tuple[float, int, int]] = field(default_factory=list)


TIMES: dict[str, Callable[[Found], list[float]]] = {
    "round trip": lambda each: each.trips_ms,
    "stop": lambda each: each.stops_ms,
    "answer": lambda each: each.answers_ms,
}


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that runs."""

    wire: ShapedWire
    asker: Actor
    stopper: Actor
    device: stop.Device
    viewers: Actor

    def measure(self, found: Found) -> None:
        """Time round trips and stops, and look at the queue between them."""
        start, before = time.monotonic(), self.wire.queue()
        gaps_s = [random.uniform(*stop.GAP_S) for _ in range(STOPS)]
        for index in range(BURSTS):
            found.trips_ms += [us / 1000 for us in burst(self.asker, LINES_PER_BURST, GAP_US)]
            found.waiting_bytes.append(self.wire.queue().waiting_bytes)
            for gap_s in gaps_s[index::BURSTS]:
                self._stop(gap_s, found)
            found.waiting_bytes.append(self.wire.queue().waiting_bytes)
        after, took_s = self.wire.queue(), time.monotonic() - start
        found.dropped += after.dropped - before.dropped
        sent = after.sent_bytes - before.sent_bytes
        found.sent_mbit_per_s.append(sent * 8e-6 / took_s)

    def measure_beside(self, manner: str, found: Found) -> None:
        """Measure while viewers watch."""
        self.viewers.tell(f"{VIEWERS} {manner} {WATCHED_S}")
        if (heard := self.viewers.answer()) != "begin":
            raise BenchError(f"the viewers said {heard!r}")
        start = time.monotonic()
        self.measure(found)
        if (took_s := time.monotonic() - start) > WATCHED_S:
            raise BenchError(f"it took {took_s:.0f} s, and somebody watches {WATCHED_S:g} s")
        seen = json.loads(self.viewers.answer())
        found.fps += seen["fps"]
        found.frames += map(tuple, seen["frames"])

    def _stop(self, gap_s: float, found: Found) -> None:
        called, answered = map(int, self.stopper.ask(f"{gap_s}").split())
        found.stops_ms.append((self.device.heard()[0] - called) / 1e6)
        found.answers_ms.append((answered - called) / 1e6)


def main() -> None:
    """Measure and print."""
    found = {key: Found() for key in KEY_SUFFIX}
    with shaped_wire() as wire, Stage() as stage, _scene(stage, wire) as scene:
        for _ in range(TURNS):
            for queue in (ONE_QUEUE, SERIAL_FIRST):
                _shape(wire, queue)
                scene.measure(found[queue, NOBODY])
                for manner in (YIELDS, INSISTS):
                    scene.measure_beside(manner, found[queue, manner])
    _print(found)


def _shape(wire: ShapedWire, queue: str) -> None:
    if queue == ONE_QUEUE:
        wire.shape(RATE, BURST, LATENCY)
    else:
        wire.shape_with_classes(RATE, BURST, LIMIT_BYTES, [SERIAL_PORT, PACED_PORT])


@contextmanager
def _scene(stage: Stage, wire: ShapedWire) -> Iterator[Scene]:
    programs, echo = Programs(stage), stage.path("device-raw")
    programs.start("echo", echo)
    with stop.paced_device(stage) as device:
        _start_camera(stage, wire)
        _start_serial(stage, wire, SERIAL_PORT, PortTable(echo, "raw", UNPACED_BAUD))
        _start_serial(stage, wire, PACED_PORT, PortTable(device.path, "grbl"), device)
        asker = programs.start("ask", _start_bridge(stage, wire, SERIAL_PORT))
        stop.stream(stage, _start_bridge(stage, wire, PACED_PORT))
        bundle = stage.path("usbshare/client.pem")
        stopper = _start_far(stage, wire, "far_stops", PACED_PORT, "port", bundle)
        viewers = _start_far(stage, wire, "link_viewers", CAMERA_PORT, bundle)
        time.sleep(stop.SETTLE_S)
        yield Scene(wire, asker, stopper, device, viewers)


def _start_camera(stage: Stage, wire: ShapedWire) -> None:
    config = stage.folder / "camera.toml"
    config.write_text(f'[cameras.bed]\nsource = "{SOURCE}"\nlinger_s = 0\n')
    command = [str(SCRIPTS / "camera-svc"), "--config", str(config)]
    actor = stage.start([*wire.on_host(command), "--listen", f"{HOST_ADDRESS}:{CAMERA_PORT}"])
    actor.wait_for("camera-svc ready at")


def _start_serial(
    stage: Stage,
    wire: ShapedWire,
    tcp_port: int,
    port: PortTable,
    device: stop.Device | None = None,
) -> None:
    """Start a service for one port; that of a paced device writes no faster than its line."""
    config = stage.folder / f"serial-{tcp_port}.toml"
    config.write_text(port.toml("port"))
    command = [*python_module("bench.slow_line")] if device else [str(SCRIPTS / "serial-svc")]
    listen = ["--config", str(config), "--listen", f"{HOST_ADDRESS}:{tcp_port}"]
    actor = stage.start(
        wire.on_host([*command, *listen]),
        descriptors=[device.master] if device else [],
        environment={MASTER_VARIABLE: str(device.master)} if device else {},
    )
    actor.wait_for("serial-svc ready at")


def _start_bridge(stage: Stage, wire: ShapedWire, tcp_port: int) -> str:
    path = stage.path(f"vcom-{tcp_port}")
    arguments = ["--target", f"{HOST_ADDRESS}:{tcp_port}", "--port", "port", "--vcom", path]
    actor = stage.start(wire.on_client([str(SCRIPTS / "bridge"), *arguments]))
    actor.wait_for("ready: open")
    return path


def _start_far(stage: Stage, wire: ShapedWire, name: str, tcp_port: int, *more: str) -> Actor:
    command = [*python_module(f"bench.{name}"), f"{HOST_ADDRESS}:{tcp_port}", *more]
    actor = stage.start(wire.on_client(command), asked=True)
    actor.answer()
    return actor


def _print(found: dict[tuple[str, str], Found]) -> None:
    print(f"{VIEWERS} viewers of 1280x720 at 30 frames a second, {RATE} from the host, TCP with")
    print(
        f"{CONGESTION_CONTROL.read_text().strip()}, {os.cpu_count()} processors; stops are behind"
    )
    print("1 MB of a program, `stop` at the device, `answer` its confirmation at the client")
    times = [
        (f"{what}, {queue}", manner, len(values), *_quantiles(values))
        for what, values_of in TIMES.items()
        for (queue, manner), each in found.items()
        for values in (values_of(each),)
    ]
    table(("ms", "viewers", "n", "p50", "p90", "p99", "max"), times)
    table(
        ("link", "viewers", "Mbit/s", "waiting p50 KB", "as ms", "max KB", "dropped"),
        [(*key, *_link(each)) for key, each in found.items()],
    )
    table(
        ("pictures", "viewers", "fps", "least", "width p50", "KB", "age p50 ms", "p99", "max"),
        [(*key, *_pictures(each)) for key, each in found.items() if each.frames],
    )
    for key, suffix in reversed(KEY_SUFFIX.items()):
        _print_results(found[key], suffix)


def _quantiles(values: list[float]) -> tuple[float, ...]:
    return (*(quantile(values, share) for share in (0.5, 0.9, 0.99)), max(values))


def _link(found: Found) -> tuple[float, ...]:
    waiting = quantile(found.waiting_bytes, 0.5)
    return (
        sum(found.sent_mbit_per_s) / len(found.sent_mbit_per_s),
        waiting / 1000,
        waiting * 8000 / RATE_BIT_PER_S,
        max(found.waiting_bytes) / 1000,
        found.dropped,
    )


def _pictures(found: Found) -> tuple[float, ...]:
    ages_ms, widths, sizes = zip(*found.frames, strict=True)
    return (
        sum(found.fps) / len(found.fps),
        min(found.fps),
        quantile(widths, 0.5),
        sum(sizes) / len(sizes) / 1000,
        *(quantile(ages_ms, share) for share in (0.5, 0.99)),
        max(ages_ms),
    )


def _print_results(found: Found, suffix: str) -> None:
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        result(f"serial_{name}_ms_{suffix}", quantile(found.trips_ms, share), "ms")
        result(f"stop_{name}_ms_{suffix}", quantile(found.stops_ms, share), "ms")


if __name__ == "__main__":
    main()
