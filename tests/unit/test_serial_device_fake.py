"""The misbehaving device misbehaves as asked, and only then."""

from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from fakes.serial_device import Acknowledging, SerialDevice, echo, plugged_in

NON_BLOCKING = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK


def test_the_fake_remembers_received_bytes_and_answers(tmp_path: Path) -> None:
    with plugged_in(tmp_path / "tty", Acknowledging()) as device:
        descriptor = os.open(device.link, os.O_RDWR | os.O_NOCTTY)
        os.write(descriptor, b"G0 X1\n")
        assert os.read(descriptor, 100) == b"ok\r\n"
        os.close(descriptor)
        device.wait_for(b"G0 X1\n")


def test_unplugged_it_hangs_up_and_replugged_it_is_another_pty(tmp_path: Path) -> None:
    with plugged_in(tmp_path / "tty", echo) as device:
        descriptor, first = os.open(device.link, os.O_RDWR | os.O_NOCTTY), device.link.readlink()
        device.unplug()
        assert not device.link.is_symlink()
        with pytest.raises(OSError, match="Input/output error"):
            os.write(descriptor, b"x")
        held = os.openpty()  # takes the number that has become free
        device.plug_in(tmp_path / "other")
        assert device.link == tmp_path / "other"
        assert device.link.readlink() != first
        again = os.open(device.link, os.O_RDWR | os.O_NOCTTY)
        os.write(again, b"hello")
        assert os.read(again, 5) == b"hello"
        for each in (descriptor, again, *held):
            os.close(each)


def test_an_unread_device_blocks_the_writer_until_it_reads_again(tmp_path: Path) -> None:
    with plugged_in(tmp_path / "tty") as device:
        device.stop_reading()
        descriptor, written = os.open(device.link, NON_BLOCKING), 0
        while select.select([], [descriptor], [], 0.1)[1]:
            written += os.write(descriptor, b"x" * 1000)
        assert written
        device.read_again()
        device.wait_for(b"x" * written)
        os.close(descriptor)


def test_cycles_leave_no_descriptors(tmp_path: Path) -> None:
    device = SerialDevice(tmp_path / "tty")
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        device.plug_in()
        device.say(b"\xff\x00garbage")
        device.unplug()
    assert len(os.listdir("/dev/fd")) == before
