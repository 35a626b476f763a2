"""Programs as they are on a USB port of the bridge, in a real kernel: picocom, avrdude, pyserial.

Run by `tests/vm/run`.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from fakes.loop_plug import LoopPlug
from fakes.optiboot import FLASH_BYTES, Optiboot
from fakes.rfc2217_controller import Controller, rfc2217_server
from usbshare.usbip.vhci.helper import Vhci
from vm.real_kernel import DEADLINE_S, open_when_there, shared, until

pytestmark = [
    pytest.mark.vm,
    pytest.mark.timeout(4 * 3600),
    pytest.mark.skipif(not Vhci().may_attach, reason="no vhci_hcd, or not root"),
]

ATTEMPTS = 8
SKETCH = random.Random(0).randbytes(2048)
# picocom's keys after C-a.
_EXIT, _BREAK, _DTR, _RTS = b"\x18", b"\x1c", b"\x14", b"\x07"


@contextmanager
def usb_port(home: Path, device: Controller, profile: str) -> Iterator[str]:
    """Give the path of a USB port whose other end is this device."""
    with rfc2217_server(device) as url, shared(home, url, profile) as used, used.bridge() as joined:
        yield joined[1]


class Terminal:
    """A program at a terminal, with what it showed."""

    def __init__(self, words: list[str]) -> None:
        self._keyboard, screen = os.openpty()
        self.shown = bytearray()
        self.process = subprocess.Popen(words, stdin=screen, stdout=screen, stderr=screen)
        os.close(screen)
        os.set_blocking(self._keyboard, False)

    def press(self, keys: bytes) -> None:
        """Type."""
        os.write(self._keyboard, keys)

    def shows(self, text: bytes) -> bool:
        """Return whether it has shown this."""
        with suppress(OSError):  # nothing new, or it has ended
            self.shown += os.read(self._keyboard, 4096)
        return text in self.shown

    def end(self) -> None:
        """End the program, however it is."""
        self.process.kill()
        self.process.wait(DEADLINE_S)
        os.close(self._keyboard)


@contextmanager
def picocom(*arguments: str) -> Iterator[Terminal]:
    made = Terminal(["picocom", *arguments])
    try:
        yield made
    finally:
        made.end()


@pytest.mark.skipif(shutil.which("picocom") is None, reason="picocom is not installed")
def test_picocom_sets_the_device_moves_its_lines_and_sends_a_break(tmp_path: Path) -> None:
    device = Controller()
    settings = ["--baud", "250000", "--parity", "e", "--databits", "7", "--stopbits", "2"]
    with usb_port(tmp_path, device, "grbl") as path, picocom(*settings, path) as terminal:
        until(lambda: terminal.shows(b"Terminal ready"), f"it is ready: {terminal.shown!r}")
        until(lambda: (device.baudrate, device.parity) == (250000, "E"), "baud rate and parity")
        until(lambda: (device.bytesize, device.stopbits) == (7, 2), "data and stop bits")
        terminal.press(b"$I\n")
        until(lambda: terminal.shows(b"[VER:1.1h"), "the answer")
        until(lambda: device.dtr and device.rts, "both lines are up")
        terminal.press(b"\x01" + _DTR)
        until(lambda: not device.dtr, "DTR falls")
        terminal.press(b"\x01" + _RTS)
        until(lambda: not device.rts, "RTS falls")
        terminal.press(b"\x01" + _BREAK)
        until(lambda: ("break", False) in device.changes, "a break begins and ends")
        terminal.press(b"\x01" + _EXIT)
        assert terminal.process.wait(DEADLINE_S) == 0


@pytest.mark.skipif(shutil.which("avrdude") is None, reason="avrdude is not installed")
def test_avrdude_programs_a_board_and_reads_back_what_it_wrote(tmp_path: Path) -> None:
    device = Optiboot()
    image = tmp_path / "sketch.bin"
    image.write_bytes(SKETCH)
    chip = ["avrdude", "-c", "arduino", "-p", "atmega328p", "-b", "115200", "-D"]
    with usb_port(tmp_path, device, "raw") as path:
        done = upload([*chip, "-P", path, "-U", f"flash:w:{image}:r"], device)
    assert done.returncode == 0, done.stderr
    assert "2048 bytes of flash verified" in done.stderr
    assert device.flash[: len(SKETCH)] == SKETCH
    assert device.flash[len(SKETCH) :] == b"\xff" * (FLASH_BYTES - len(SKETCH))


def upload(words: list[str], device: Optiboot) -> subprocess.CompletedProcess[str]:
    """Run avrdude until it got in step with the boot loader, as a person would.

    It waits 250 ms for late answers to its first two greetings: too short for a busy virtual
    machine, where it takes them for answers to what it asks then.
    """
    for _ in range(ATTEMPTS):
        resets, sketches = device.resets, device.sketches
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        assert device.resets > resets  # it resets again where the loader did not answer in time
        if done.returncode == 0:
            assert device.sketches == sketches + 1
            break
    return done


def test_every_byte_and_setting_returns_from_a_loop_plug(tmp_path: Path) -> None:
    device = LoopPlug()
    every = bytes(range(256)) * 16
    with usb_port(tmp_path, device, "raw") as path, open_when_there(path) as port:
        assert port.in_waiting == 0
        port.write(every)
        assert port.read(len(every)) == every
        for level in (False, True):
            port.dtr = level
            until(lambda at=level: port.dsr == at, f"DSR follows DTR: {level}")  # type: ignore[misc]
        for baudrate in (300, 9600, 250000, 1000000):
            port.baudrate = baudrate
            until(lambda at=baudrate: device.baudrate == at, f"{baudrate} baud")  # type: ignore[misc]
        for bytesize, parity, stopbits in ((5, "N", 1), (7, "O", 2), (8, "E", 1), (8, "N", 1)):
            port.bytesize, port.parity, port.stopbits = bytesize, parity, stopbits
            wanted = (bytesize, parity, stopbits)
            until(
                lambda at=wanted: (device.bytesize, device.parity, device.stopbits) == at,  # type: ignore[misc]
                f"{wanted}",
            )
        port.write(b"after all that")
        assert port.read(14) == b"after all that"
