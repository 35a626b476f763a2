"""What `bridge doctor` makes of what it measured."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.remote import REMOTE
from usbshare.base.checkup import Verdict
from usbshare.bridge.checkup import driver, driver_com0com, driver_pty
from usbshare.bridge.checkup.multicast import judge_heard
from usbshare.bridge.checkup.reach import judge_skew
from usbshare.bridge.checkup.service import judge_line, judge_state, shown_settings
from usbshare.bridge.checkup.speed import counting_rate, judge_rates, judge_times, waiting_rate
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress
from usbshare.client.serial.messages import Hold
from usbshare.hosts.settings import DiscoveryTable
from usbshare.line.name_link import NameLink
from usbshare.line.settings import FlowControl, LineSettings, Parity
from usbshare.rpc.channel import Target

SETTINGS = LineSettings()
TABLE = DiscoveryTable()
TARGET = Target("laser", 50051)
OWN = ("192.168.1.5", "127.0.0.1")
PAIR = {"CNCA0": "COM10", "CNCB0": "CNCB0"}


# Multicast.


def test_packets_of_another_computer_are_fine() -> None:
    found = judge_heard(Counter({"192.168.1.20": 3, "192.168.1.5": 9}), OWN, TABLE)
    assert found.verdict is Verdict.OK
    assert found.measured == "3 packets within 2 s, from 192.168.1.20"


def test_many_computers_are_not_all_listed() -> None:
    heard = Counter({f"10.0.0.{number}": 1 for number in range(1, 8)})
    assert judge_heard(heard, (), TABLE).measured == (
        "7 packets within 2 s, from 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4 and 3 more"
    )


def test_only_own_packets_are_warned_of() -> None:
    found = judge_heard(Counter({"192.168.1.5": 9}), OWN, TABLE)
    assert found.verdict is Verdict.WARNING
    assert found.measured == "only this computer's own packets heard within 2 s"


def test_silence_is_warned_of_with_what_to_do_without_multicast() -> None:
    found = judge_heard(Counter(), OWN, TABLE)
    assert (found.verdict, found.measured) == (Verdict.WARNING, "nothing heard within 2 s")
    assert "give the host's address" in found.remedy
    assert "UDP 5353 and 5004" in found.remedy


def test_a_port_that_cannot_be_listened_at_is_warned_of() -> None:
    found = judge_heard(Counter(), OWN, TABLE, "UDP 5353: Address already in use")
    assert found.verdict is Verdict.WARNING
    assert "UDP 5353: Address already in use" in found.measured


# Clocks.


@pytest.mark.parametrize(
    ("ahead", "measured"),
    [
        (timedelta(milliseconds=40), "the host's clock is 40 ms ahead of this computer's"),
        (timedelta(seconds=-5), "the host's clock is 5.0 s behind this computer's"),
    ],
)
def test_clocks_that_are_near_each_other_are_fine(ahead: timedelta, measured: str) -> None:
    found = judge_skew(ahead)
    assert (found.verdict, found.measured) == (Verdict.OK, measured)


@pytest.mark.parametrize(
    ("ahead", "words"),
    [
        (timedelta(seconds=6), "6.0 s ahead of"),
        (timedelta(minutes=-10), "10.0 minutes behind"),
        (timedelta(hours=5), "5.0 hours ahead of"),
        (timedelta(days=-400), "400.0 days behind"),
    ],
)
def test_clocks_that_are_apart_are_warned_of(ahead: timedelta, words: str) -> None:
    found = judge_skew(ahead)
    assert found.verdict is Verdict.WARNING
    assert words in found.measured
    assert "timedatectl" in found.remedy


# The port.


@pytest.mark.parametrize("state", ["open", "available"])
def test_a_free_port_is_fine(state: str) -> None:
    found = judge_state(replace(REMOTE, state=state), TARGET, is_own=False)
    assert (found.verdict, found.measured) == (Verdict.OK, f"port 'laser' is {state} and free")


@pytest.mark.parametrize("state", ["absent", "failed"])
def test_a_port_without_its_device_fails_with_the_hosts_reason(state: str) -> None:
    port = replace(REMOTE, state=state, reason="/dev/ttyUSB0 is not there: is it plugged in?")
    found = judge_state(port, TARGET, is_own=False)
    assert found.verdict is Verdict.FAILURE
    assert found.measured == f"port 'laser' is {state} (/dev/ttyUSB0 is not there)"
    assert found.remedy == "is it plugged in?; run `serial-svc doctor` on the host"


def test_a_latched_port_fails_and_rearming_is_reported() -> None:
    found = judge_state(replace(REMOTE, latched=True), TARGET, is_own=False)
    assert found.verdict is Verdict.FAILURE
    assert "`usbshare-bridge stop --rearm --target laser:50051 --port laser`" in found.remedy


def test_a_held_port_fails_and_names_its_holder() -> None:
    found = judge_state(
        replace(REMOTE, holder="ann (bridge ann@pc) at 10.0.0.7:1"), TARGET, is_own=False
    )
    assert found.verdict is Verdict.FAILURE
    assert found.measured == "port 'laser' is held by ann (bridge ann@pc) at 10.0.0.7:1"
    assert "--observe" in found.remedy


def test_a_port_that_the_bridge_here_holds_is_a_warning_only() -> None:
    found = judge_state(
        replace(REMOTE, holder="me (bridge me@pc) at 10.0.0.7:1"), TARGET, is_own=True
    )
    assert found.verdict is Verdict.WARNING
    assert "the bridge running on this computer" in found.measured


def test_a_port_where_a_lost_job_waits_is_warned_of() -> None:
    hold = Hold("link loss", "link-loss policy", datetime.now(UTC), "resume")
    found = judge_state(replace(REMOTE, held=True, hold=hold), TARGET, is_own=False)
    assert found.verdict is Verdict.WARNING
    assert "`usbshare-bridge stop --resume --target laser:50051 --port laser`" in found.remedy


# Its settings.


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        (SETTINGS, "115200 8N1"),
        (LineSettings(9600, 7, Parity.EVEN, 2, FlowControl.RTS_CTS), "9600 7E2 rts/cts"),
        (LineSettings(stop_bits=1.5), "115200 8N1.5"),
    ],
)
def test_settings_are_shown_as_people_write_them(settings: LineSettings, shown: str) -> None:
    assert shown_settings(settings) == shown


def test_an_adapter_that_hands_over_at_once_is_fine() -> None:
    found = judge_line(replace(REMOTE, low_latency=True))
    assert (found.verdict, found.measured) == (
        Verdict.OK,
        "115200 8N1, low latency on, profile raw",
    )


def test_an_adapter_that_keeps_bytes_back_is_warned_of() -> None:
    found = judge_line(replace(REMOTE, low_latency=False, device="/dev/ttyUSB3"))
    assert found.verdict is Verdict.WARNING
    assert "low latency off" in found.measured
    assert "`echo 1 | sudo tee /sys/class/tty/ttyUSB3/device/latency_timer`" in found.remedy


def test_of_a_line_that_is_not_open_the_configured_settings_are_reported() -> None:
    found = judge_line(replace(REMOTE, state="available"))
    assert found.measured == "115200 8N1, profile raw (not open yet)"


# Speed.


def test_short_round_trips_are_fine() -> None:
    found = judge_times([0.001, 0.003, 0.002])
    assert found.verdict is Verdict.OK
    assert found.measured == "median 2.00 ms over 3 calls, jitter 1.50 ms, longest 3.00 ms"


def test_long_round_trips_are_warned_of() -> None:
    assert judge_times([0.15] * 20).verdict is Verdict.WARNING


def test_one_very_late_answer_is_warned_of() -> None:
    found = judge_times([0.002] * 19 + [0.6])
    assert found.verdict is Verdict.WARNING
    assert "counts as lost" in found.remedy


def test_a_short_round_trip_lets_a_counting_sender_fill_the_line() -> None:
    assert counting_rate(0.001, SETTINGS) == SETTINGS.bytes_per_s == 11520
    assert judge_rates(0.001, SETTINGS).verdict is Verdict.OK


def test_a_waiting_sender_loses_a_round_trip_a_line() -> None:
    line_s = 28 / 11520
    assert waiting_rate(0.01, SETTINGS) == pytest.approx(24 / (0.01 + line_s))


def test_a_network_that_is_slower_than_the_line_is_warned_of() -> None:
    found = judge_rates(0.05, SETTINGS)
    assert found.verdict is Verdict.WARNING
    assert found.measured == (
        "2422 B/s counting characters, 458 B/s waiting for each ok; the line carries 11520 B/s "
        "at 115200 baud (127 or 24 B each round trip and line time)"
    )
    assert "cable" in found.remedy


# The virtual port.


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    tmp_path.chmod(0o700)
    return iter([tmp_path / "usbshare"])


def test_a_free_name_is_fine_and_nothing_is_left_behind(tmp_path: Path) -> None:
    found = driver_pty.judge_driver("COM10")
    assert found.verdict is Verdict.OK
    assert found.measured == f"ptys work, and {tmp_path}/usbshare/COM10 is free"
    assert not os.path.lexists(tmp_path / "usbshare" / "COM10")


def test_without_a_name_the_runtime_folder_is_tried(tmp_path: Path) -> None:
    found = driver_pty.judge_driver("")
    assert found.measured == f"ptys work, and {tmp_path}/usbshare can be written"


def test_a_name_that_another_bridge_offers_fails() -> None:
    link = NameLink("COM10")
    link.claim()
    try:
        found = driver_pty.judge_driver("COM10")
    finally:
        link.remove()
    assert found.verdict is Verdict.FAILURE
    assert found.measured.startswith("another usbshare program (process ")


def test_a_name_that_a_file_has_fails(tmp_path: Path) -> None:
    file = tmp_path / "taken"
    file.touch()
    found = driver_pty.judge_driver(str(file))
    assert found.verdict is Verdict.FAILURE
    assert "is not a link that usbshare made" in found.measured


def test_a_path_in_no_folder_fails(tmp_path: Path) -> None:
    found = driver_pty.judge_driver(str(tmp_path / "none" / "laser"))
    assert found.measured == f"the folder {tmp_path}/none does not exist"


def test_a_folder_that_cannot_be_written_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    found = driver_pty.judge_driver("COM10")
    assert found.verdict is Verdict.FAILURE
    assert "(No space left on device)" in found.measured


def test_a_system_without_ptys_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> tuple[int, int]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "openpty", none_left)
    found = driver_pty.judge_driver("COM10")
    assert found.verdict is Verdict.FAILURE
    assert "no pty can be created" in found.measured


def test_an_address_for_programs_is_tried() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        address = LoopbackAddress("127.0.0.1", held.getsockname()[1])
        found = driver.judge_address(address)
        assert found.verdict is Verdict.FAILURE
        assert found.measured == f"cannot listen at {address} (address already in use)"
    assert driver.judge_address(address).verdict is Verdict.OK


def test_a_pair_of_com0com_is_fine() -> None:
    found = driver_com0com.judge_pairs("COM10", PAIR)
    assert (found.verdict, found.measured) == (Verdict.OK, "com0com pairs COM10 with CNCB0")


def test_a_port_that_com0com_does_not_have_fails_with_the_command() -> None:
    found = driver_com0com.judge_pairs("COM11", PAIR)
    assert found.verdict is Verdict.FAILURE
    assert found.measured == "com0com has no port COM11; it has COM10, CNCB0"
    assert "`setupc install PortName=COM11 -`" in found.remedy


def test_without_com0com_it_fails() -> None:
    found = driver_com0com.judge_pairs("COM10", {})
    assert (found.verdict, found.measured) == (Verdict.FAILURE, "com0com is not installed")


def test_without_a_name_com0coms_ports_are_shown() -> None:
    assert driver_com0com.judge_pairs("", PAIR).verdict is Verdict.WARNING
