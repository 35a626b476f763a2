"""Eight viewers at full rate take nothing from the serial port but time."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.camera_crowd import Crowd, crowd
from fakes.job_rig import open_port
from fakes.processes import camera_service, run, running, serial_service
from fakes.serial_device import Acknowledging, SerialDevice

VIEWERS = 8
FPS = 30
LINES = 500
STOPS = 5
ANSWER = b"ok\r\n"
REPORTS = re.compile(rb"<[^>]*>\r\n")
DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class Scene:
    """A virtual port on a device, and viewers of a camera on the same computer."""

    home: Path
    serial_target: str
    device: SerialDevice
    port: int
    viewers: Crowd

    def round_trip(self, line: bytes) -> float:
        """Send a line, take its whole answer; returns how long it took."""
        start = time.monotonic()
        os.write(self.port, line)
        answer = b""
        # After a stop the host asks the machine how it is: reports may come before the answer.
        while (answer := REPORTS.sub(b"", answer)) != ANSWER:
            assert answer.startswith(b"<") or ANSWER.startswith(answer), answer
            answer += os.read(self.port, 1)
        return time.monotonic() - start


@contextmanager
def scene(home: Path) -> Iterator[Scene]:
    config = home / "usbshare.toml"
    config.write_text(
        f'[ports.laser]\nsource = "{home / "tty"}"\nprofile = "grbl"\nlink_timeout_s = 30\n'
        f'[cameras.bed]\nsource = "sim://bed?width=1280&height=720&fps={FPS}"\n'
    )
    vcom = home / "COM10"
    with (
        SerialDevice(home / "tty", Acknowledging()) as device,
        serial_service(home, "--config", str(config)) as (_, serial_target),
        camera_service(home, "--config", str(config)) as (_, camera_target),
        running(["bridge", "--target", serial_target, "--vcom", str(vcom)], home) as bridge,
        crowd(camera_target, home) as viewers,
    ):
        bridge.wait_for("ready: open")
        port = open_port(vcom)
        try:
            yield Scene(home, serial_target, device, port, viewers)
        finally:
            os.close(port)


def line(number: int) -> bytes:
    return f"G1 X{number:04d} Y20.0000\n".encode()


def test_every_line_is_answered_in_order_while_eight_watch(tmp_path: Path) -> None:
    with scene(tmp_path) as it:
        it.viewers.come(VIEWERS)
        for number in range(LINES):
            it.round_trip(line(number))
        assert it.viewers.seen() > VIEWERS
        sent = b"".join(map(line, range(LINES)))
        assert bytes(it.device.received).replace(b"?", b"").endswith(sent)


def test_a_stop_reaches_the_device_while_eight_watch(tmp_path: Path) -> None:
    with scene(tmp_path) as it:
        it.viewers.come(VIEWERS)
        it.round_trip(line(0))
        arguments = ["bridge", "stop", "--target", it.serial_target, "--hold"]
        for number in range(1, STOPS + 1):
            code, output = run(arguments, tmp_path)
            assert code == 0, output
            it.device.wait_for(b"!", times=number)
            assert it.device.received.count(b"!") == number
            it.round_trip(line(number))
        before = it.viewers.seen()
        it.device.wait_for(line(STOPS))
        end = time.monotonic() + DEADLINE_S
        while it.viewers.seen() <= before:
            assert time.monotonic() < end


def quantiles_ms(times_s: list[float]) -> str:
    ordered = sorted(times_s)
    shares = (0.5, 0.9, 0.99)
    found = [ordered[int(len(ordered) * share)] * 1000 for share in shares]
    return " ".join(f"p{share * 100:.0f} {ms:.2f}" for share, ms in zip(shares, found, strict=True))


@pytest.mark.slow
def test_figures_with_and_without_viewers(tmp_path: Path) -> None:
    def asked(it: Scene) -> list[float]:
        found = []
        for number in range(LINES):
            found.append(it.round_trip(line(number)))
            time.sleep(random.uniform(0, 0.02))
        return found

    with scene(tmp_path) as it:
        for _ in range(3):
            alone = asked(it)
            it.viewers.come(VIEWERS)
            seen, start = it.viewers.seen(), time.monotonic()
            beside = asked(it)
            took_s = time.monotonic() - start
            fps = (it.viewers.seen() - seen) / took_s / VIEWERS
            it.viewers.leave()
            print(
                f"alone {quantiles_ms(alone)} ms, beside {quantiles_ms(beside)} ms; {fps:.1f} fps"
            )
    assert alone
    assert beside
