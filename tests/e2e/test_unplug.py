"""A device that is pulled out and plugged in again: programs notice, nothing stale comes, no leak.

`pytest -m slow` does it a hundred times; figures are printed.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fakes.footprint import Footprint, footprint, settled_footprint
from fakes.job_rig import open_port, until
from fakes.processes import Process, run, running, serial_service
from fakes.serial_device import Acknowledging, SerialDevice

WARM_UP = 3
IS_OPEN = "port 'laser' is open"
MEMORY_GROWTH = 1.05
DOOR, RESET = b"\x84", b"\x18"


def answered(port: int, line: bytes) -> bool:
    """Send a line and wait for its `ok`; False when the port hangs up."""
    heard = b""
    try:
        os.write(port, line)
        while b"ok" not in heard:
            if not select.select([port], [], [], 60)[0] or not (data := os.read(port, 4096)):
                return False
            heard += data
    except OSError:
        return False
    return True


def reopened(vcom: Path, line: bytes) -> int:
    """Open the port as often as it takes until the machine answers."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        port = open_port(vcom)
        if answered(port, line):
            return port
        os.close(port)
    raise AssertionError("the machine no longer answers")


def unplug_often(home: Path, times: int) -> None:
    with SerialDevice(home / "tty", Acknowledging()) as device:
        config = home / "serial.toml"
        config.write_text(f'[ports.laser]\nsource = "{device.link}"\nprofile = "grbl"\n')
        vcom = home / "COM10"
        with serial_service(home, "--config", str(config)) as (service, target):

            def rearm() -> None:
                command = ["bridge", "stop", "--rearm", "--target", target]
                assert run(command, home)[0] == 0

            arguments = ["bridge", "--target", target, "--vcom", str(vcom), "--json"]
            with running(arguments, home) as bridge:
                bridge.wait_for('"ready"')
                before = cycle_often(
                    device, vcom, bridge, times, lambda: take(service, bridge), rearm
                )
                port = reopened(vcom, b"(last)\n")  # as when the first were counted
                after = tuple(
                    settled_footprint(process, first.descriptors)
                    for process, first in zip((service, bridge), before, strict=True)
                )
                os.close(port)
    for name, first, last in zip(("service", "bridge"), before, after, strict=True):
        print(f"{name} after {WARM_UP} and {times} cycles: {first}, {last}")
        assert last.descriptors <= first.descriptors
        assert last.threads <= first.threads + 4  # workers that gRPC's event engine adds and keeps
        assert last.resident_kib <= first.resident_kib * MEMORY_GROWTH


def take(service: Process, bridge: Process) -> tuple[Footprint, Footprint]:
    return footprint(service), footprint(bridge)


def cycle_often(
    device: SerialDevice,
    vcom: Path,
    bridge: Process,
    times: int,
    measure: Callable[[], tuple[Footprint, Footprint]],
    rearm: Callable[[], None],
) -> tuple[Footprint, Footprint]:
    """Pull and plug; returns what the processes held after the first cycles."""
    warm = measure()
    for number in range(times):
        port = reopened(vcom, b"(cycle %d)\n" % number)
        if number == WARM_UP:
            warm = measure()
        hung_up = bridge.output.count('"hung_up"')
        os.write(port, b"G1 X1\n" * 20)
        device.unplug()
        until(lambda: bridge.output.count('"hung_up"') > hung_up, "the program's port hangs up")  # noqa: B023
        while answered(port, b"G1 X2\n"):
            pass
        os.close(port)
        seen, opened = len(device.received), bridge.output.count(IS_OPEN)
        device.plug_in()
        until(lambda: bridge.output.count(IS_OPEN) > opened, "the device is open again")  # noqa: B023
        until(lambda: RESET in device.received[seen:], "the machine of the lost job is reset")  # noqa: B023
        rearm()
        os.close(reopened(vcom, b"(fresh %d)\n" % number))
        stale, _, rest = bytes(device.received[seen:]).partition(RESET)
        assert stale.replace(b"?", b"") == DOOR
        assert rest.lstrip(b"?").startswith(b"(fresh %d)" % number), rest[:80]
    return warm


def test_a_device_may_be_pulled_out_and_plugged_in_again(tmp_path: Path) -> None:
    unplug_often(tmp_path, 5)


@pytest.mark.slow
def test_a_device_may_be_pulled_out_a_hundred_times(tmp_path: Path) -> None:
    unplug_often(tmp_path, 100)
