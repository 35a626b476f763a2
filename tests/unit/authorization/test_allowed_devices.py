"""Which USB devices may be offered, how people name them, and what is said of the others."""

from __future__ import annotations

from typing import Any

import pytest

from usbshare.authorization.devices import Quarantine, is_allowed
from usbshare.authorization.policy import Policy
from usbshare.base.errors import DeviceError, InvalidArgumentError
from usbshare.line.usb.device import DeviceSelector, UsbDevice, parse_selector

LASER = UsbDevice(0x1A86, 0x7523, "X1", "1-1.2")
NAMELESS = UsbDevice(0x1A86, 0x7523, "", "1-1.3")


def policy(*entries: dict[str, str], devices: str = "listed") -> Policy:
    return Policy.model_validate({"devices": devices, "allowed_devices": list(entries)})


class Notes:
    """An audit log with a memory."""

    trouble = ""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []

    def note(
        self, event: str, *, who: str = "", address: str = "", port: str = "", **fields: Any
    ) -> None:
        self.taken.append((event, fields))


class Rules:
    """A policy that changes."""

    def __init__(self, now: Policy) -> None:
        self.now = now
        self.notes = Notes()
        self.quarantine = Quarantine(lambda: self.now, self.notes, "serial-svc", "serial port")


def test_any_device_may_be_offered_unless_only_listed_ones_may() -> None:
    assert is_allowed(policy(devices="any"), LASER)
    assert not is_allowed(policy(), LASER)


@pytest.mark.parametrize(
    "entry",
    [
        {"vid": "1a86"},
        {"vid": "1A86", "pid": "7523"},
        {"serial": "x1"},
        {"path": "1-1.2"},
        {"vid": "1a86", "pid": "7523", "serial": "X1", "path": "1-1.2", "note": "laser"},
    ],
)
def test_a_device_that_fits_every_key_of_an_entry_is_allowed(entry: dict[str, str]) -> None:
    assert is_allowed(policy({"vid": "0403"}, entry), LASER)


@pytest.mark.parametrize(
    "entry",
    [
        {"vid": "0403"},
        {"vid": "1a86", "pid": "0001"},
        {"vid": "1a86", "pid": "7523", "serial": "X2"},
        {"vid": "1a86", "serial": "X1", "path": "1-1.20"},
        {"path": "1-1"},
    ],
)
def test_one_key_that_does_not_match_excludes_a_device(entry: dict[str, str]) -> None:
    assert not is_allowed(policy(entry), LASER)


def test_a_device_without_a_serial_number_does_not_pass_for_one_with() -> None:
    assert not is_allowed(policy({"vid": "1a86", "serial": "X1"}), NAMELESS)


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("1a86:7523", DeviceSelector("1a86", "7523")),
        ("403:1", DeviceSelector("0403", "0001")),
        ("1A86:7523:A B:c", DeviceSelector("1a86", "7523", "A B:c")),
        ("1a86:7523@1-1.2", DeviceSelector("1a86", "7523", path="1-1.2")),
        ("1a86:7523:X1@1-1.2", DeviceSelector("1a86", "7523", "X1", "1-1.2")),
        ("1a86", DeviceSelector("1a86")),
        ("*:7523", DeviceSelector("", "7523")),
        ("*:*:X1", DeviceSelector(serial="X1")),
        ("@20-3", DeviceSelector(path="20-3")),
    ],
)
def test_a_selector_is_read(text: str, selector: DeviceSelector) -> None:
    assert parse_selector(text) == selector
    assert parse_selector(str(selector)) == selector


@pytest.mark.parametrize("text", ["", "*", "*:*", "laser", "@", "12345:1", ":X1", "1a86:"])
def test_a_selector_without_a_device_is_refused_with_a_valid_one(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="VID:PID:SERIAL"):
        parse_selector(text)


@pytest.mark.parametrize(
    ("device", "text"),
    [
        (LASER, "1a86:7523:X1"),
        (NAMELESS, "1a86:7523@1-1.3"),
        (UsbDevice(0x1A86, 0x7523), "1a86:7523"),
        (UsbDevice(0x1A86, 0x7523, "`reboot`; x", "1-1"), "1a86:7523@1-1"),
    ],
)
def test_a_device_is_named_as_narrowly_as_lasts(device: UsbDevice, text: str) -> None:
    assert str(device.selector) == text
    assert parse_selector(text) == device.selector
    assert is_allowed(policy(device.selector.keys()), device)


def test_a_quarantined_device_is_reported_with_the_command_that_allows_it() -> None:
    with pytest.raises(DeviceError) as caught:
        Rules(policy()).quarantine.admit(LASER)
    assert str(caught.value) == (
        "quarantined: USB device 1a86:7523, serial number X1, in socket 1-1.2 is not allowed here; "
        "`serial-svc devices allow 1a86:7523:X1` allows it"
    )


def test_an_allowed_device_is_admitted() -> None:
    Rules(policy({"serial": "X1"})).quarantine.admit(LASER)


def test_each_quarantined_device_is_noted_once_while_it_stays() -> None:
    rules = Rules(policy({"serial": "X1"}))
    for _ in range(3):
        rules.quarantine.saw([LASER, NAMELESS])
    assert rules.notes.taken == [
        (
            "quarantined",
            {
                "device": "serial port",
                "vid": "1a86",
                "pid": "7523",
                "serial": "",
                "path": "1-1.3",
            },
        )
    ]


def test_a_device_that_is_plugged_in_again_or_withdrawn_is_noted_again() -> None:
    rules = Rules(policy({"serial": "X1"}))
    for seen in ([NAMELESS], [], [NAMELESS, LASER]):
        rules.quarantine.saw(seen)
    rules.now = policy()
    rules.quarantine.saw([NAMELESS, LASER])
    assert [fields["path"] for _, fields in rules.notes.taken] == ["1-1.3", "1-1.3", "1-1.2"]


def test_texts_of_a_device_cannot_forge_a_line(caplog: pytest.LogCaptureFixture) -> None:
    rules = Rules(policy())
    rules.quarantine.saw([UsbDevice(1, 2, "X\nERROR forged\x1b[2J" + "y" * 500)])
    ((_, fields),) = rules.notes.taken
    for text in (fields["serial"], caplog.messages[0]):
        assert text.isprintable()
        assert len(text) < 300
