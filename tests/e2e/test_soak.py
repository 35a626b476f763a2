"""Two hours' worth of a session, as fast as it goes: memory stays flat, each answer comes.

The seconds that it takes are printed; they say something only of a machine that does nothing else.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fakes.footprint import footprint, settled_footprint
from fakes.job_rig import open_port
from fakes.processes import running, serial_service
from fakes.serial_device import Acknowledging, SerialDevice

SESSION_S = 2 * 3600
BYTES_PER_S = 11_520
LINE = b"G1 X10.000 Y20.000 S500 F3000\n"
ANSWER = b"ok\r\n"
WINDOW_LINES = 100
WARM_UP = 0.2
MEMORY_GROWTH = 1.05


def exchange(port: int, lines: int) -> None:
    """Send lines and take an answer to each, a window at a time."""
    for _ in range(lines // WINDOW_LINES):
        data = LINE * WINDOW_LINES
        while data:
            data = data[os.write(port, data) :]
        left = len(ANSWER) * WINDOW_LINES
        while left:
            left -= len(os.read(port, left))


@pytest.mark.slow
def test_two_hours_of_full_line_rate_leave_memory_flat(tmp_path: Path) -> None:
    lines = SESSION_S * BYTES_PER_S // len(LINE)
    with SerialDevice(tmp_path / "tty", Acknowledging()) as device:
        config = tmp_path / "serial.toml"
        config.write_text(
            f'[ports.laser]\nsource = "{device.link}"\nprofile = "grbl"\nbaud = 12000000\n'
            'link_loss = "continue"\n'  # nobody is there to resume what a busy machine loses
        )
        with serial_service(tmp_path, "--config", str(config)) as (service, target):
            vcom = str(tmp_path / "COM10")
            with running(["bridge", "--target", target, "--vcom", vcom], tmp_path) as bridge:
                bridge.wait_for("ready: open")
                port = open_port(Path(vcom))
                start = time.monotonic()
                exchange(port, int(lines * WARM_UP))
                warm = footprint(service), footprint(bridge)
                exchange(port, lines - int(lines * WARM_UP))
                took_s = time.monotonic() - start
                last = tuple(
                    settled_footprint(process, before.descriptors)
                    for process, before in zip((service, bridge), warm, strict=True)
                )
                os.close(port)
    print(
        f"{lines} lines in {took_s:.0f} s; service, bridge after 20 %: {warm}, at the end: {last}"
    )
    for before, after in zip(warm, last, strict=True):
        assert after.resident_kib <= before.resident_kib * MEMORY_GROWTH
        assert after.descriptors <= before.descriptors
