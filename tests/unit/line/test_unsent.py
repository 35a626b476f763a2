"""A driver's count of unsent bytes is believed up to what it was given."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.line.posix.linux_tty import takes_at_own_rate
from usbshare.line.unsent import Unsent
from usbshare.line.usb import windows_ports


def after(*writes: int) -> Unsent:
    unsent = Unsent()
    for size in writes:
        unsent.wrote(size)
    return unsent


def test_one_byte_counts_as_one_even_if_the_driver_counts_a_buffer() -> None:
    assert after(1).believed(10240) == 1


def test_each_buffer_is_one_write() -> None:
    unsent = after(1)
    assert unsent.believed(1280) == 1
    unsent.wrote(20)
    unsent.wrote(30)
    assert unsent.believed(3 * 1280) == 51
    assert unsent.believed(2 * 1280) == 50
    assert unsent.believed(1280) == 30
    assert unsent.believed(0) == 0


def test_a_count_of_bytes_is_taken_as_it_is() -> None:
    unsent = after(34, 17, 17)
    for answer in (68, 67, 34, 20, 3, 0):
        assert unsent.believed(answer) == answer


def test_headers_do_not_make_bytes_into_buffers() -> None:
    unsent = after(34)
    assert unsent.believed(35) == 34
    unsent.wrote(34)
    assert unsent.believed(70) == 68
    assert unsent.believed(36) == 36


def test_unsent_bytes_of_earlier_programs_are_not_counted() -> None:
    assert after().believed(4096) == 0
    assert after(10).believed(4096) == 10


def test_a_negative_answer_is_none() -> None:
    assert after(10).believed(-1) == 0


def test_a_write_of_several_buffers_leaves_bit_by_bit() -> None:
    unsent = after(3000)
    assert unsent.believed(3840) == 3000
    assert unsent.believed(2560) == 2560
    assert unsent.believed(1280) == 1280


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 1 << 31)), max_size=200))
def test_never_more_than_was_handed_over_since_it_said_nothing(
    steps: list[tuple[int, int]],
) -> None:
    unsent, handed = Unsent(), 0
    for size, answer in steps:
        unsent.wrote(size)
        handed += size
        believed = unsent.believed(answer)
        assert 0 <= believed <= min(answer, handed)
        handed = 0 if answer == 0 else handed


@pytest.mark.parametrize(("driver", "own"), [("cdc_acm", True), ("ftdi_sio", False)])
def test_linux_reports_which_driver_a_terminal_has(tmp_path: Path, driver: str, own: bool) -> None:
    (tmp_path / "166:0" / "device").mkdir(parents=True)
    (tmp_path / "166:0" / "device" / "driver").symlink_to(f"/sys/bus/usb/drivers/{driver}")
    number = 166 << 8
    assert takes_at_own_rate(number, tmp_path) is own
    assert not takes_at_own_rate(number + 1, tmp_path)


class _Registry(SimpleNamespace):
    """The part of Windows' registry that lists the serial ports."""

    HKEY_LOCAL_MACHINE = object()
    ports = (r"\Device\USBSER000", "COM5", 1), (r"\Device\VCP0", "COM7", 1)

    def OpenKey(self, root: object, path: str) -> _Registry:
        assert root is self.HKEY_LOCAL_MACHINE
        assert path == r"HARDWARE\DEVICEMAP\SERIALCOMM"
        return self

    def __enter__(self) -> _Registry:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def QueryInfoKey(self, _: object) -> tuple[int, int, int]:
        return 0, len(self.ports), 0

    def EnumValue(self, _: object, index: int) -> tuple[str, str, int]:
        return self.ports[index]


@pytest.mark.parametrize(
    ("url", "own"),
    [("COM5", True), ("com5", True), (r"\\.\COM5", True), ("COM7", False), ("socket://a:1", False)],
)
def test_windows_reports_which_ports_are_of_usbser(
    monkeypatch: pytest.MonkeyPatch, url: str, own: bool
) -> None:
    monkeypatch.setitem(sys.modules, "winreg", _Registry())
    assert windows_ports.takes_at_own_rate(url) is own


def test_elsewhere_no_url_takes_bytes_at_its_own_rate() -> None:
    assert windows_ports.takes_at_own_rate("socket://a:1") is False
