"""Which ports a `KEY=PATTERN` means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes.remote import REMOTE
from usbshare.base.errors import InvalidArgumentError
from usbshare.bridge.hosts.match_filter import KEYS, Facts, facts_of, fits_all, parse_criterion
from usbshare.line.profiles import GRBL

LASER = replace(
    REMOTE,
    vendor_id=0x1A86,
    product_id=0x7523,
    serial_number="A50285BI",
    description="USB2.0-Serial",
    profile=GRBL,
    holder="usbshare://666043a70272/operator (bridge me@pc) at 192.168.1.30:41056",
)
NAMES = ("Laser-Workshop", "laser.local", "192.168.1.20")


def fits(text: str, facts: Facts | None = None) -> bool:
    return parse_criterion(text).fits(facts or facts_of(LASER, NAMES))


@pytest.mark.parametrize(
    "text",
    [
        "host=laser",
        "host=*workshop",
        "host=192.168.1.*",
        "kind=port",
        "id=las",
        "ID=LASER",
        "id=l?ser",
        "id=[kl]aser",
        "vid=1a86",
        "vid=1A86",
        "vid=0x1A86",
        "pid=7523",
        "pid=75*",
        "usb=1a86:7523",
        "usb=0x1a86:0x7523",
        "usb=*:7523",
        "serial=a5028",
        "description=usb2.0",
        "state=open",
        "holder=me@pc",
        "profile=grbl",
        " vid = 1a86 ",
    ],
)
def test_a_part_or_a_glob_without_case_fits(text: str) -> None:
    assert fits(text)


@pytest.mark.parametrize(
    "text",
    ["host=mill", "kind=camera", "id=ase?", "vid=0403", "serial=a50285bi?", "state=*ope", "pid=0x"],
)
def test_a_different_value_does_not_match(text: str) -> None:
    assert not fits(text)


def test_an_id_with_leading_zeros_is_found_without_them() -> None:
    assert fits("vid=0x403", facts_of(replace(LASER, vendor_id=0x403), NAMES))


def test_an_empty_pattern_fits_only_what_is_empty() -> None:
    assert not fits("holder=")
    free = facts_of(replace(LASER, holder="", vendor_id=None), NAMES)
    assert fits("holder=", free)
    assert fits("vid=", free)
    assert fits("usb=", free)


def test_a_latched_port_is_found_by_its_state_and_by_its_latch() -> None:
    latched = facts_of(replace(LASER, latched=True), NAMES)
    assert fits("state=open", latched)
    assert fits("state=latched", latched)
    assert not fits("state=latched")


def test_all_criteria_must_hold() -> None:
    facts = facts_of(LASER, NAMES)
    vid, laser, mill = map(parse_criterion, ("vid=1a86", "id=laser", "id=mill"))
    assert fits_all([vid, laser], facts)
    assert not fits_all([vid, mill], facts)
    assert fits_all([], facts)


def test_every_key_is_a_fact() -> None:
    assert set(facts_of(LASER, NAMES)) == set(KEYS)


@pytest.mark.parametrize("text", ["vendor=1a86", "1a86", "", "=1a86", "hos t=x"])
def test_an_unknown_criterion_is_refused_with_the_keys(text: str) -> None:
    with pytest.raises(InvalidArgumentError) as refused:
        parse_criterion(text)
    assert repr(text) in str(refused.value)
    assert all(key in str(refused.value) for key in KEYS)


def test_a_pattern_may_hold_an_equals_sign() -> None:
    assert str(parse_criterion("description=a=b")) == "description=a=b"
    assert fits("description=a=b", facts_of(replace(LASER, description="xa=bx"), NAMES))
