"""What Linux tells of an adapter's latency timer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from usbshare.line.posix.linux_tty import timer_is_short
from usbshare.line.posix.open_port import open_line
from usbshare.line.posix.tty_control import system_tty
from usbshare.line.settings import LineSettings


@pytest.fixture
def pty() -> Iterator[str]:
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


@pytest.mark.parametrize(("text", "is_short"), [("1\n", True), ("16\n", False), ("?", None)])
def test_the_timer_of_an_adapter_shows_whether_it_waits(
    tmp_path: Path, text: str, is_short: bool | None
) -> None:
    folder = tmp_path / "ttyUSB0" / "device"
    folder.mkdir(parents=True)
    (folder / "latency_timer").write_text(text)
    assert timer_is_short("ttyUSB0", tmp_path) is is_short


def test_of_an_adapter_without_a_timer_nothing_is_claimed(tmp_path: Path) -> None:
    assert timer_is_short("ttyACM0", tmp_path) is None


def test_of_a_pty_nothing_is_claimed(pty: str) -> None:
    line = open_line(pty, LineSettings(), system_tty(), dtr=None, rts=None)
    os.close(line.tty.descriptor)
    assert line.low_latency is None
