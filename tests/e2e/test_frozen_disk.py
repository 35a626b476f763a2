"""Every stop acts while no file call returns and stderr takes nothing; see fakes/frozen_disk."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import tty
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from fakes.frozen_process import FrozenProcess, frozen_later
from fakes.serial_device import SerialDevice
from usbshare.client.serial.client import SerialClient, SessionStream
from usbshare.client.serial.messages import OpenedEvent, SendCommand
from usbshare.line.profiles import StopAction
from usbshare.rpc.channel import parse_target
from usbshare.rpc.tls import ClientBundle

pytestmark = [
    pytest.mark.apart,
    pytest.mark.skipif(sys.platform != "linux", reason="needs ptys and /dev/shm"),
]

TIMES = 10
# A loop that waits for the disk never answers; a busy machine takes its time.
IN_TIME_S = 60.0
POLL_S = 0.0005
LINE = b"G1 X1 F1000\n"


@dataclass
class Bench:
    """A service whose disk is frozen, with two machines that its test looks at."""

    service: FrozenProcess
    client: SerialClient
    target: str
    laser: SerialDevice
    lost: SerialDevice
    times_ms: dict[str, list[float]] = field(default_factory=dict)

    async def sees(
        self, device: SerialDevice, data: bytes, act: Callable[[], Awaitable[object]]
    ) -> float:
        """Act, and return how many ms later the device has the bytes once more."""
        had = device.received.count(data)
        begun = time.monotonic()
        acting = asyncio.ensure_future(act())
        async with asyncio.timeout(IN_TIME_S):
            while device.received.count(data) <= had:  # noqa: ASYNC110 - the device is a thread
                await asyncio.sleep(POLL_S)
        seen_ms = (time.monotonic() - begun) * 1e3
        async with asyncio.timeout(IN_TIME_S):
            await acting
        return seen_ms

    async def program(self, port_id: str, device: SerialDevice) -> SessionStream:
        """Have a program at work; its line is at the machine."""
        stream = await self.client.open_session(port_id, name="test")
        event, _ = await asyncio.wait_for(stream.receive(), IN_TIME_S)
        assert isinstance(event, OpenedEvent)

        async def send() -> None:
            await stream.send(SendCommand(1, 0, LINE, event.port.epoch))

        await self.sees(device, LINE, send)
        return stream

    async def clear(self, port_id: str) -> None:
        """Have the port take another program, as a person does after looking at the machine."""
        await self.client.stop(port_id, StopAction.EMERGENCY_STOP, "")
        port = await self.client.get_port(port_id)
        await self.client.rearm(port_id, port.epoch)


@contextmanager
def devices() -> Iterator[tuple[SerialDevice, SerialDevice]]:
    # A device's path is on no disk.
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as folder,
        SerialDevice(Path(folder) / "laser") as laser,
        SerialDevice(Path(folder) / "lost") as lost,
    ):
        yield laser, lost


@contextmanager
def service(
    home: Path, laser: SerialDevice, lost: SerialDevice, *, terminal: bool
) -> Iterator[tuple[FrozenProcess, str]]:
    config = home / "serial.toml"
    config.write_text(
        f'[ports.laser]\nsource = "{laser.link}"\nprofile = "grbl"\nbaud = 1000000\n'
        f'[ports.lost]\nsource = "{lost.link}"\nprofile = "grbl"\nbaud = 1000000\n'
        "resume_window_s = 0\n"
    )
    arguments = ["serial-svc", "--config", str(config), "--listen", "127.0.0.1:0"]
    with frozen_later(arguments, home, terminal=terminal) as process:
        port = process.wait_for(r"ready at 127\.0\.0\.1:(\d+)")[1]
        yield process, f"127.0.0.1:{port}"


def bundle(home: Path) -> ClientBundle:
    return ClientBundle.load(home / "config/usbshare/client.pem")


@pytest.mark.parametrize("terminal", [False, True], ids=["full pipe", "stopped terminal"])
async def test_every_stop_acts_while_files_and_stderr_hang(tmp_path: Path, terminal: bool) -> None:
    with (
        devices() as (laser, lost),
        service(tmp_path, laser, lost, terminal=terminal) as (
            process,
            target,
        ),
    ):
        client = SerialClient(parse_target(target), bundle(tmp_path))
        bench = Bench(process, client, target, laser, lost)
        process.freeze()
        try:
            await stops(bench)
            await link_losses(bench)
            await device_losses(bench)
        finally:
            await client.close()
        for what, times_ms in bench.times_ms.items():
            ordered = sorted(times_ms)
            print(f"{what}: median {ordered[len(ordered) // 2]:.1f} ms, worst {ordered[-1]:.1f} ms")
            assert len(times_ms) == TIMES
        assert not process.faults
        process.end()
        assert not process.faults


async def stops(bench: Bench) -> None:
    port_id, laser, client = "laser", bench.laser, bench.client
    for action, data in (
        (StopAction.HOLD, b"!"),
        (StopAction.SAFETY_DOOR, b"\x84"),
        (StopAction.EMERGENCY_STOP, b"\x18"),
    ):
        times_ms = bench.times_ms[action.value] = []
        for _ in range(TIMES):
            stream = await bench.program(port_id, laser)
            times_ms.append(await bench.sees(laser, data, lambda: client.stop(port_id, action, "")))  # noqa: B023
            stream.cancel()
            await bench.clear(port_id)


async def link_losses(bench: Bench) -> None:
    times_ms = bench.times_ms["link loss"] = []

    async def cut() -> None:
        stream.cancel()

    for _ in range(TIMES):
        stream = await bench.program("lost", bench.lost)
        times_ms.append(await bench.sees(bench.lost, b"\x84", cut))
        await bench.clear("lost")


async def device_losses(bench: Bench) -> None:
    """A port says at once that its device is gone, and takes a stop again when it is back."""
    times_ms = bench.times_ms["device loss"] = []
    for _ in range(TIMES):
        begun = time.monotonic()
        bench.laser.unplug()
        async with asyncio.timeout(IN_TIME_S):
            while (await bench.client.get_port("laser")).state != "absent":  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
        times_ms.append((time.monotonic() - begun) * 1e3)
        bench.laser.plug_in()
        await bench.sees(bench.laser, b"!", lambda: bench.client.stop("laser", StopAction.HOLD, ""))


def test_a_programs_own_stop_goes_through_a_bridge_whose_terminal_is_stopped(
    tmp_path: Path,
) -> None:
    vcom = tmp_path / "COM10"
    with (
        devices() as (laser, lost),
        service(tmp_path, laser, lost, terminal=False) as (
            process,
            target,
        ),
    ):
        join = ["bridge", "--target", target, "--port", "laser", "--vcom", str(vcom)]
        with frozen_later(join, tmp_path, terminal=True) as bridge:
            bridge.wait_for("ready: open")
            program = os.open(vcom, os.O_RDWR | os.O_NOCTTY)
            tty.setraw(program)
            bridge.freeze()
            process.freeze()
            times_ms = [own_stop(program, laser) for _ in range(TIMES)]
            print(
                f"0x18: median {sorted(times_ms)[TIMES // 2]:.1f} ms, worst {max(times_ms):.1f} ms"
            )
            assert not process.faults
            assert not bridge.faults
            os.close(program)
            bridge.end()
            process.end()


def own_stop(program: int, laser: SerialDevice) -> float:
    """Stop as a sender's own button does, in the midst of its lines."""
    had = laser.received.count(LINE)
    os.write(program, LINE)
    wait_for(laser, LINE, had)
    had, begun = laser.received.count(b"\x18"), time.monotonic()
    os.write(program, b"\x18")
    wait_for(laser, b"\x18", had)
    return (time.monotonic() - begun) * 1e3


def wait_for(device: SerialDevice, data: bytes, had: int) -> None:
    end = time.monotonic() + IN_TIME_S
    while device.received.count(data) <= had:
        assert time.monotonic() < end, f"no {data!r} at the device"
        time.sleep(0.0005)


@pytest.mark.parametrize("name", ["serial-svc", "camera-svc", "discovery-svc"])
async def test_no_service_asks_a_disk_on_its_event_loop(tmp_path: Path, name: str) -> None:
    # Longer than any of them waits between two looks at its files and devices.
    look_s = 4.0
    arguments = [name, "--insecure", "--listen", "127.0.0.1:0"]
    with frozen_later(arguments, tmp_path) as process:
        port = process.wait_for(r"ready at (?:127\.0\.0\.1|\[::1\]):(\d+)")[1]
        process.freeze()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            health: Any = HealthStub(channel)  # its stub is that of the sync API
            longest_s = 0.0
            end = time.monotonic() + look_s
            while (begun := time.monotonic()) < end:
                reply = await health.Check(HealthCheckRequest(), timeout=IN_TIME_S)
                longest_s = max(longest_s, time.monotonic() - begun)
                assert reply.status == HealthCheckResponse.SERVING
                await asyncio.sleep(POLL_S)
        print(f"{name}: the longest call took {longest_s * 1e3:.1f} ms")
        assert not process.faults
        process.end()
        assert not process.faults
