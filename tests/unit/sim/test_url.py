from __future__ import annotations

from pathlib import Path

import pytest

from usbshare.base.errors import InvalidArgumentError
from usbshare.sim.firmware import make_controller
from usbshare.sim.record import Record
from usbshare.sim.url import SimUrl, parse_sim_url


def test_a_bare_firmware_is_enough() -> None:
    assert parse_sim_url("sim://grbl") == SimUrl("grbl")
    assert parse_sim_url("sim://marlin") == SimUrl("marlin")


def test_options_are_read() -> None:
    url = "sim://grbl?record=/tmp/a%20b.jsonl&reset_on_dtr=1"
    assert parse_sim_url(url) == SimUrl("grbl", Path("/tmp/a b.jsonl"), reset_on_dtr=True)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("grbl", "sim://"),
        ("sim://", "sim://grbl or sim://marlin"),
        ("sim://ruida", "sim://grbl or sim://marlin"),
        ("sim://grbl/x", "sim://grbl or sim://marlin"),
        ("sim://grbl?speed=1", "record, reset_on_dtr"),
        ("sim://grbl?record=", "path"),
        ("sim://grbl?reset_on_dtr=maybe", "1, true, 0, false"),
    ],
)
def test_a_wrong_url_is_named_with_what_would_be_right(url: str, hint: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_sim_url(url)
    assert f"'{url}'" in str(caught.value)
    assert hint in str(caught.value)


def test_a_machine_with_home_switches_begins_in_alarm() -> None:
    assert parse_sim_url("sim://grbl?homing=1") == SimUrl("grbl", homing=True)
    controller = make_controller("grbl", Record(), homing=True)
    controller.receive(b"$$\n?", 1.0)
    said = controller.advance(2.0)
    assert b"$22=1\r\n" in said
    assert b"<Alarm|" in said


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sim://marlin?homing=1", "homing is an option of sim://grbl"),
        ("sim://grbl?homing=yes", "homing must be one of"),
    ],
)
def test_home_switches_are_grbls_and_there_or_not(url: str, reason: str) -> None:
    with pytest.raises(InvalidArgumentError, match=reason):
        parse_sim_url(url)
