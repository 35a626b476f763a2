"""Uploads through a port whose firmware was recognised arrive byte for byte; a stop is still one.

The device is a pty that answers each block with ACK, as XMODEM has it, and keeps what it receives.
"""

from __future__ import annotations

import binascii
import os
import random
import select
import sys
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import serial

from fakes.processes import running, serial_service

DEADLINE_S = 60.0
BANNERS = {
    "grbl": b"\r\nGrbl 3.9 [FluidNC v3.9.1 (wifi) '$' for help]\r\n",
    "grblhal": b"\r\nGrblHAL 1.1f ['$' or '$HELP' for help]\r\n",
}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ptys of Linux")


class Device:
    """The far end of the line."""

    def __init__(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave
        self.received = b""

    def say(self, data: bytes) -> None:
        os.write(self.master, data)

    def receive(self, size: int) -> bytes:
        """Return the next bytes; fails when they do not come."""
        end = time.monotonic() + DEADLINE_S
        data = b""
        while len(data) < size:
            assert time.monotonic() < end, f"{len(data)} of {size} bytes came: {data!r}"
            if select.select([self.master], [], [], 1.0)[0]:
                data += os.read(self.master, size - len(data))
        self.received += data
        return data

    def close(self) -> None:
        os.close(self._slave)
        os.close(self.master)


def blocks(size: int) -> Iterator[bytes]:
    """Yield an upload by XMODEM: random, then text that is full of urgent bytes and lines."""
    chance = random.Random(7)
    payloads = [chance.randbytes(size) for _ in range(8)]
    payloads += [(b"!?~\x18\x84; what? stop!\nM112\nG1 X1\n" * size)[:size] for _ in range(3)]
    for number, payload in enumerate(payloads, 1):
        header = bytes((1 if size == 128 else 2, number, 255 - number))
        yield header + payload + binascii.crc_hqx(payload, 0).to_bytes(2, "big")


@pytest.fixture
def device() -> Iterator[Device]:
    made = Device()
    yield made
    made.close()


def recognised(
    home: Path, device: Device, firmware: str, use: Callable[[serial.Serial], None]
) -> None:
    """Serve the device with profile `auto`, let it greet, and use it through a virtual port."""
    config = home / "usbshare.toml"
    config.write_text(f'[ports.laser]\nsource = "{device.path}"\n')
    with (
        serial_service(home, "--config", str(config)) as (service, target),
        running(["usbshare-bridge", "--target", target, "--vcom", "COM10"], home) as bridge,
    ):
        bridge.wait_for("ready: open")
        with serial.Serial(str(home / "run/usbshare/COM10"), 115200, timeout=DEADLINE_S) as port:
            bridge.wait_for("a program opened")
            port.write(b"$I\n")  # what opening the port flushes is over once this has come
            assert device.receive(3) == b"$I\n"
            device.say(BANNERS[firmware])
            service.wait_for(f"speaks {firmware}")
            use(port)


@pytest.mark.parametrize(("firmware", "size"), [("grbl", 128), ("grblhal", 1024)])
def test_an_upload_by_xmodem_arrives_whole_and_the_stop_behind_it_too(
    tmp_path: Path, device: Device, firmware: str, size: int
) -> None:
    def upload(port: serial.Serial) -> None:
        for block in blocks(size):
            for part in (block[:3], block[3:70], block[70:]):
                port.write(part)
            assert device.receive(len(block)) == block
            device.say(b"\x06")
            assert port.read_until(b"\x06").endswith(b"\x06")
        port.write(b"\x04")
        assert device.receive(1) == b"\x04"
        port.write(b"$X\n!")
        assert sorted(device.receive(4)) == sorted(b"$X\n!")
        port.write(b"\x18")
        assert device.receive(1) == b"\x18"

    recognised(tmp_path, device, firmware, upload)


def test_a_stop_in_gcode_after_an_upload_is_taken_out_of_the_program(
    tmp_path: Path, device: Device
) -> None:
    lines = b"G1 X10 Y20 F600\n" * 100

    def use(port: serial.Serial) -> None:
        block = next(blocks(128))
        port.write(block)
        assert device.receive(len(block)) == block
        port.write(lines)
        assert device.receive(len(lines)) == lines
        port.write(b"G1 X1!0\n")
        assert device.receive(8).replace(b"!", b"") == b"G1 X10\n"

    recognised(tmp_path, device, "grbl", use)
