"""How many bytes a program can write ahead of a device that has stopped reading.

The device is the master of a pty that nobody reads. Its pty holds 12 to 20 KB of its own, where a
real port's driver would tell what it still has (TIOCOUTQ); a pty always tells 0. So our service
runs in a process where `unsent_bytes` counts what lies in the device's pty instead, and for every
way what lies in the device's pty at the end is subtracted: what is left is what the program's own
pty and the tunnel hold, compared with what a bare pty holds.
"""

from __future__ import annotations

import os
import signal
import time
import tty
from dataclasses import dataclass

from bench import peers
from bench.ours import PortTable, python_module, start_bridge, start_service
from bench.report import result, table
from bench.slow_line import MASTER_VARIABLE
from bench.stage import Actor, Stage

LINE = b"G1 X10.000 Y20.0000\n"
CHUNKS = {"20-byte lines": LINE, "4000-byte writes": LINE * 200}
STILL_S = 1.0
BYTES_PER_S = 11520
OURS, SOCAT, BARE = "usbshare", "socat TLS", "bare pty"


@dataclass(frozen=True, slots=True)
class Backlog:
    """Bytes that a program wrote, and how many of them had come to the device's pty."""

    written: int
    at_device: int

    @property
    def ahead(self) -> int:
        """Bytes that the way itself holds."""
        return self.written - self.at_device


@dataclass(frozen=True, slots=True)
class StoppedDevice:
    """A pty whose master is never read."""

    master: int
    slave: int

    @property
    def path(self) -> str:
        """What a tunnel opens."""
        return os.ttyname(self.slave)

    def count(self) -> int:
        """Read what came, once those who write are frozen."""
        return _drain(self.master)

    def close(self) -> None:
        """Give the pty up."""
        os.close(self.master)
        os.close(self.slave)


def main() -> None:
    """Measure and print."""
    found: dict[tuple[str, str], Backlog] = {}
    for title, chunk in CHUNKS.items():
        found[BARE, title] = _of_bare_pty(chunk)
        found[OURS, title] = _of_ours(chunk)
        if peers.have("socat"):
            found[SOCAT, title] = _of_socat(chunk)
    _print(found)


def _of_bare_pty(chunk: bytes) -> Backlog:
    device = _stopped_device()
    try:
        return Backlog(_fill(device.path, chunk), 0)
    finally:
        device.close()


def _of_ours(chunk: bytes) -> Backlog:
    with Stage() as stage:
        device = _stopped_device()
        service = start_service(
            stage,
            {"laser": PortTable(device.path, "grbl")},
            command=python_module("bench.slow_line"),
            descriptors=[device.master],
            environment={MASTER_VARIABLE: str(device.master)},
        )
        bridge, path = start_bridge(stage, service, "laser")
        return _measure(device, path, chunk, [service.actor, bridge])


def _of_socat(chunk: bytes) -> Backlog:
    with Stage() as stage:
        device, idle = _stopped_device(), _stopped_device()
        site = start_service(stage, {"idle": PortTable(idle.path)}).folder
        tunnel = peers.socat_tls(stage, "tls", device.path, site)
        idle.close()
        return _measure(device, tunnel.path, chunk, [tunnel.near, tunnel.far])


def _measure(device: StoppedDevice, path: str, chunk: bytes, way: list[Actor]) -> Backlog:
    written = _fill(path, chunk)
    for actor in way:
        os.kill(actor.pid, signal.SIGSTOP)
    try:
        return Backlog(written, device.count())
    finally:
        device.close()


def _stopped_device() -> StoppedDevice:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    return StoppedDevice(master, slave)


def _fill(path: str, chunk: bytes) -> int:
    """Write until nothing has been taken for a second; return how many bytes were."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    tty.setraw(descriptor)
    written, last = 0, time.monotonic()
    try:
        while time.monotonic() - last < STILL_S:
            taken = _write(descriptor, chunk)
            if taken:
                written, last = written + taken, time.monotonic()
            else:
                time.sleep(0.002)
    finally:
        os.set_blocking(descriptor, False)
        os.close(descriptor)
    return written


def _write(descriptor: int, chunk: bytes) -> int:
    try:
        return os.write(descriptor, chunk)
    except BlockingIOError:
        return 0


def _drain(descriptor: int) -> int:
    total, deadline = 0, time.monotonic() + 0.3
    while time.monotonic() < deadline:
        try:
            total += len(os.read(descriptor, 4096))
            deadline = time.monotonic() + 0.3
        except BlockingIOError:
            time.sleep(0.005)
    return total


def _print(found: dict[tuple[str, str], Backlog]) -> None:
    print("bytes a program can write ahead of a stopped device at 115200 baud; `ahead` is without")
    print("what lies in the device's own pty, subtracted for us and for socat alike")
    rows = []
    for (way, title), backlog in found.items():
        bare = found[BARE, title].ahead
        seconds = backlog.ahead / BYTES_PER_S
        amounts = (backlog.written, backlog.at_device, backlog.ahead, backlog.ahead - bare)
        rows.append((way, title, *amounts, seconds))
    head = ("way", "writes", "written", "at device", "ahead", "beyond bare pty", "s of line")
    table(head, rows)
    for way, key in ((OURS, "bytes_beyond_bare_pty"), (SOCAT, "socat_bytes_beyond_bare_pty")):
        beyond = [b.ahead - found[BARE, t].ahead for (w, t), b in found.items() if w == way]
        if beyond:
            result(key, max(beyond), "bytes")
