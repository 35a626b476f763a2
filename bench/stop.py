"""The time from a stop to its byte at the device, while a program keeps a megabyte coming.

The line is 115200 baud: a device in a process of its own reads what such a line would have
carried, and times each `!` with the clock that the caller reads. The program is `cat` with a job
of 2 MB, unless it counts characters. Stops are HOLD, so that nothing is fenced and the job runs on.
"""

from __future__ import annotations

import os
import random
import select
import sys
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench import peers
from bench.frozen import start_frozen
from bench.ours import PortTable, Service, python_module, start_bridge, start_service
from bench.report import quantile, result, table
from bench.slow_line import MASTER_VARIABLE
from bench.spooled import start_job
from bench.stage import REPOSITORY, SCRIPTS, Actor, BenchError, Stage
from bench.stop_client import Heard, hold_again_and_again, hold_and_resume

LINE = b"G1 X10.000 Y20.0000\n"
JOB_BYTES = 2_000_000
BYTES_PER_S = 11520
GRBL_BUFFER_BYTES = 128
STOPS = 200
FULL_STOPS = 10
COMMANDS = 20
OBSERVERS = 3
MANY_OBSERVERS, OBSERVERS_A_PROCESS = 128, 64
WATCHERS, WATCHED_PORTS = 30, 64
MANY_POLICY = """
[[grants]]
who = ["operator"]
rights = ["view", "stop", "control", "admin"]
[limits]
connections = 1000
streams = 1000
"""
FLOODS = ((1, "window_updates_1_connection"), (3, "window_updates_3_connections"))
SETTLE_S = 1.0
GAP_S = (0.010, 0.040)
PEER_TIMEOUT_S = 100.0
FULL = os.environ.get("BENCH_FULL") == "1"
PEER_BYTES, PEER_SUFFIX = (1_000_000, "1MB") if FULL else (100_000, "100KB")


@dataclass(frozen=True, slots=True)
class Device:
    """The far end of a line."""

    actor: Actor
    master: int
    path: str

    def heard(self) -> Heard:
        """Return when the next `!` came, in ns, and how many bytes had come."""
        moment, received = self.actor.answer().split()
        return int(moment), int(received)

    def read_stop(self, timeout_s: float) -> int | None:
        """Return when the next `!` came, None if none does in time."""
        assert self.actor.process.stdout is not None
        if not select.select([self.actor.process.stdout], [], [], timeout_s)[0]:
            return None
        return self.heard()[0]


@dataclass(frozen=True, slots=True)
class Way:
    """How one kind of stop did; `busy` is how much of the line the program used meanwhile."""

    title: str
    key: str
    times_ms: list[float]
    busy: float | None = None


class Program:
    """A sender that counts characters, and writes `!` into the midst of them."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._descriptor)
        self._unacknowledged: deque[int] = deque()
        self._heard = b""

    def run_for(self, seconds: float) -> None:
        """Keep the controller's buffer full."""
        moment = time.monotonic() + seconds
        while (left_s := moment - time.monotonic()) > 0:
            while sum(self._unacknowledged) + len(LINE) < GRBL_BUFFER_BYTES:
                os.write(self._descriptor, LINE)
                self._unacknowledged.append(len(LINE))
            if select.select([self._descriptor], [], [], left_s)[0]:
                self._hear(os.read(self._descriptor, 4096))

    def stop_after(self, gap_s: float) -> int:
        """Run on for that long, then write `!`; returns the moment before."""
        self.run_for(gap_s)
        called = time.monotonic_ns()
        os.write(self._descriptor, b"!")
        return called

    def close(self) -> None:
        """Leave the port."""
        os.close(self._descriptor)

    def _hear(self, data: bytes) -> None:
        *lines, self._heard = (self._heard + data).split(b"\n")
        for _ in range(sum(line.strip() == b"ok" for line in lines)):
            self._unacknowledged.popleft()


def main() -> None:
    """Measure and print."""
    ways = [
        _by_call("Stop call, 1 MB queued", "behind_1MB"),
        _by_call_beside_job("Stop call, job of 1 MB", "behind_job"),
        _by_call_on_frozen_disk("Stop call, files and stderr blocked", "disk_blocked"),
        _by_program("`!` of a program that counts", "behind_1MB_vcom"),
        _by_call("Stop call, 3 observers", "behind_1MB_observers", observers=OBSERVERS),
        _by_call("Stop call, 128 observers", "128_observers", observers=MANY_OBSERVERS),
        _by_watched_call("Stop call, 30 watch 64 ports", "30_watchers_64_ports"),
        *(_by_call(f"Stop call, a flood by {count}", key, flood=count) for count, key in FLOODS),
        _by_command(),
        _by_full_program("`!` into a full virtual port", "vcom_full"),
        _by_full_program("`!` into a full bare pty", "bare_pty_full", bare=True),
    ]
    for name, tunnel in (("socat", _socat), ("ser2net", _ser2net)):
        if peers.have(name):
            ways.append(Way(f"`!` by {name}, {PEER_SUFFIX} queued", name, [_by_peer(tunnel)]))
    _print(ways)


def _by_call(title: str, key: str, observers: int = 0, flood: int = 0) -> Way:
    """Stop by calls while `cat` streams the job.

    With observers of all that the device says, or with connections that flood with WINDOW_UPDATE.
    """
    with Stage() as stage, paced_device(stage, "chatter" if observers else "") as device:
        if observers > OBSERVERS:
            _allow_many(stage)
        service = start_paced(stage, device)
        _, path = start_bridge(stage, service, "laser")
        stream(stage, path)
        heard = _observe(stage, service, observers) if observers else []
        time.sleep(SETTLE_S)
        bundle = stage.folder / "usbshare/client.pem"
        if flood:
            _flood(stage, service, flood)
        found = hold_again_and_again(service.target, "laser", bundle, _gaps_s(), device.heard)
        if heard:
            _require_all_heard(heard, observers)
        return _way(title, key, found)


def _by_call_beside_job(title: str, key: str) -> Way:
    """Stop by calls while a job of job-svc runs, most of which waits on the host."""
    with Stage() as stage, paced_device(stage, "report") as device:
        service = start_paced(stage, device)
        start_job(stage, service, "laser", LINE * (JOB_BYTES // len(LINE)))
        time.sleep(SETTLE_S)
        bundle = stage.folder / "usbshare/client.pem"
        return _way(
            title, key, hold_and_resume(service.target, "laser", bundle, _gaps_s(), device.heard)
        )


def _by_watched_call(title: str, key: str) -> Way:
    """Stop by calls while many watch all ports, of which one changes all the time."""
    with Stage() as stage, paced_device(stage) as device:
        others = {
            f"p{number}": PortTable("sim://grbl", "grbl") for number in range(1, WATCHED_PORTS)
        }
        service = start_paced(stage, device, others)
        _, path = start_bridge(stage, service, "laser")
        stream(stage, path)
        bundle = stage.folder / "usbshare/client.pem"
        arguments = [service.target, str(bundle), str(WATCHERS), "p1"]
        watchers = stage.start([*python_module("bench.watchers"), *arguments], asked=True)
        watchers.answer()
        time.sleep(SETTLE_S)
        found = hold_again_and_again(service.target, "laser", bundle, _gaps_s(), device.heard)
        time.sleep(SETTLE_S)
        if (heard := int(watchers.ask(""))) < STOPS / 10 * WATCHERS:
            raise BenchError(f"the watchers heard of {heard} changes only")
        return _way(title, key, found)


def _by_call_on_frozen_disk(title: str, key: str) -> Way:
    """Stop by calls while no file call of the service returns and its log takes nothing."""
    with Stage() as stage, paced_device(stage) as device:
        ports = {"laser": PortTable(device.path, "grbl")}
        names = {MASTER_VARIABLE: str(device.master)}
        with start_frozen(stage, ports, "bench.slow_line", [device.master], names) as frozen:
            _, path = start_bridge(stage, frozen.service, "laser")
            stream(stage, path)
            time.sleep(SETTLE_S)
            bundle = stage.folder / "usbshare/client.pem"
            frozen.freeze()
            target = frozen.service.target
            found = hold_again_and_again(target, "laser", bundle, _gaps_s(), device.heard)
            frozen.thaw()
        return _way(title, key, found)


def _by_program(title: str, key: str) -> Way:
    """Stop as the sending program itself does, by a byte to the virtual port."""
    with Stage() as stage, paced_device(stage, "ok") as device:
        _, path = start_bridge(stage, start_paced(stage, device), "laser")
        program = Program(path)
        try:
            program.run_for(SETTLE_S)
            found = [(program.stop_after(gap_s), device.heard()) for gap_s in _gaps_s()]
            return _way(title, key, found)
        finally:
            program.close()


def _by_command() -> Way:
    """Hold by the command, from its start in a shell to the byte: nearly all is Python's start."""
    with Stage() as stage, paced_device(stage) as device:
        service = start_paced(stage, device)
        options = ["--hold", "--target", service.target, "--port", "laser"]
        times_ms = []
        for _ in range(COMMANDS):
            called = time.monotonic_ns()
            actor = stage.start([str(SCRIPTS / "usbshare-bridge"), "stop", *options])
            times_ms.append((device.heard()[0] - called) / 1e6)
            actor.process.wait(PEER_TIMEOUT_S)
        return Way("`usbshare-bridge stop` from a shell", "cli", times_ms)


def _gaps_s() -> list[float]:
    return [random.uniform(*GAP_S) for _ in range(STOPS)]


def _way(title: str, key: str, found: list[tuple[int, Heard]]) -> Way:
    times_ms = [(arrived - called) / 1e6 for called, (arrived, _) in found]
    (start, first), (end, last) = found[0][1], found[-1][1]
    busy = (last - first) / ((end - start) / 1e9) / BYTES_PER_S
    return Way(title, key, times_ms, busy)


def _by_full_program(title: str, key: str, *, bare: bool = False) -> Way:
    """Stop in band behind all that the port takes, through us or by the pty of the device."""
    with Stage() as stage, paced_device(stage) as device:
        path = device.path
        if not bare:
            _, path = start_bridge(stage, start_paced(stage, device), "laser")
        descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(descriptor)
        try:
            times_ms = [stop_when_full(descriptor, device) for _ in range(FULL_STOPS)]
        finally:
            os.close(descriptor)
        return Way(title, key, times_ms)


def stop_when_full(descriptor: int, device: Device, piece: bytes = LINE) -> float:
    """Fill a port until it takes nothing for a while, then stop; returns the time in ms."""
    still_since = time.monotonic()
    while time.monotonic() - still_since < 2 * 256 / BYTES_PER_S:
        if _write(descriptor, piece):
            still_since = time.monotonic()
        else:
            time.sleep(0.001)
    called = time.monotonic_ns()
    while not _write(descriptor, b"!"):
        select.select([], [descriptor], [], 0.001)
    return (device.heard()[0] - called) / 1e6


def _by_peer(start: Callable[[Stage, str], str]) -> float:
    """One stop in band behind what a peer takes at once."""
    with Stage() as stage, paced_device(stage) as device:
        descriptor = os.open(start(stage, device.path), os.O_RDWR | os.O_NOCTTY)
        tty.setraw(descriptor)
        job = LINE * (PEER_BYTES // len(LINE))
        while job:
            job = job[os.write(descriptor, job) :]
        called = time.monotonic_ns()
        os.write(descriptor, b"!")
        arrived = device.read_stop(PEER_TIMEOUT_S)
        os.close(descriptor)
        return ((arrived or time.monotonic_ns()) - called) / 1e6


def _socat(stage: Stage, device: str) -> str:
    master, slave = os.openpty()
    site = start_service(stage, {"idle": PortTable(os.ttyname(slave))}).folder
    os.close(master)
    os.close(slave)
    return peers.socat_tls(stage, "tls", device, site).path


def _ser2net(stage: Stage, device: str) -> str:
    return peers.ser2net(stage, device).path


@contextmanager
def paced_device(stage: Stage, voice: str = "") -> Iterator[Device]:
    """Run a device at the far end of a line of 115200 baud."""
    master, slave = os.openpty()
    tty.setraw(slave)
    command = [*python_module("bench.paced_device"), str(master), str(BYTES_PER_S), voice]
    actor = stage.start(command, descriptors=[master], asked=True)
    try:
        actor.answer()
        yield Device(actor, master, os.ttyname(slave))
    finally:
        os.close(master)
        os.close(slave)


def start_paced(
    stage: Stage, device: Device, others: Mapping[str, PortTable] | None = None
) -> Service:
    """Start a service whose port `laser` writes no faster than the line."""
    return start_service(
        stage,
        {"laser": PortTable(device.path, "grbl"), **(others or {})},
        command=python_module("bench.slow_line"),
        descriptors=[device.master],
        environment={MASTER_VARIABLE: str(device.master)},
    )


def stream(stage: Stage, path: str) -> Actor:
    """Start a program that sends the job, and takes what the device says."""
    job = stage.folder / "job.gcode"
    job.write_bytes(LINE * (JOB_BYTES // len(LINE)))
    script = 'exec 3<>"$1"; cat <&3 >/dev/null & exec cat "$0" >&3'
    return stage.start(["sh", "-c", script, str(job), path])


def _allow_many(stage: Stage) -> None:
    folder = stage.folder / "usbshare"
    folder.mkdir(exist_ok=True)
    (folder / "policy.toml").write_text(MANY_POLICY)


def _observe(stage: Stage, service: Service, count: int) -> list[Actor]:
    bundle = stage.folder / "usbshare/client.pem"
    actors = []
    for begun in range(0, count, OBSERVERS_A_PROCESS):
        some = min(OBSERVERS_A_PROCESS, count - begun)
        arguments = [service.target, "laser", str(bundle), str(some)]
        actors.append(stage.start([*python_module("bench.observers"), *arguments], asked=True))
    for actor in actors:
        actor.answer()
    return actors


def _flood(stage: Stage, service: Service, count: int) -> None:
    script = str(REPOSITORY / "tests/fakes/frame_flood.py")
    bundle = str(stage.folder / "usbshare/client.pem")
    command = [sys.executable, script, service.target, "window_update", str(count), bundle]
    stage.start(command, asked=True).answer()


def _require_all_heard(observers: Sequence[Actor], count: int) -> None:
    """Raise BenchError unless the observers get the whole of the line."""

    def heard() -> int:
        return sum(int(each.ask("")) for each in observers)

    start, first = time.monotonic(), heard()
    time.sleep(1.0)
    rate = (heard() - first) / (time.monotonic() - start) / count
    if rate < 0.8 * BYTES_PER_S:
        raise BenchError(f"the observers hear {rate:.0f} bytes/s, not {BYTES_PER_S}")


def _write(descriptor: int, data: bytes) -> int:
    try:
        return os.write(descriptor, data)
    except BlockingIOError:
        return 0


def _print(ways: Sequence[Way]) -> None:
    print(f"from the stop to its byte at the device at {BYTES_PER_S * 10} baud, in ms; `line` is")
    print("how much of the line the program used; what a full port delays is its own buffer")
    if not FULL:
        print(
            "socat and ser2net with 100 KB queued instead of 1 MB (BENCH_FULL=1: about 90 s each)"
        )
    rows = []
    for way in ways:
        times = [quantile(way.times_ms, share) for share in (0.5, 0.9, 0.99)]
        busy = f"{way.busy:.0%}" if way.busy is not None else ""
        rows.append((way.title, len(way.times_ms), *times, max(way.times_ms), busy))
    table(("stop", "stops", "p50", "p90", "p99", "max", "line"), rows)
    for way in ways:
        if len(way.times_ms) == 1:
            result(f"{way.key}_ms_behind_{PEER_SUFFIX}", way.times_ms[0], "ms")
            continue
        for share, name in ((0.5, "p50"), (0.99, "p99")):
            key = f"cli_{name}_ms" if way.key == "cli" else f"{name}_ms_{way.key}"
            result(key, quantile(way.times_ms, share), "ms")
