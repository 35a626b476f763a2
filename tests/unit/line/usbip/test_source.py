"""How a device of another computer's USB/IP server is named."""

from __future__ import annotations

import pytest

from usbshare.base.errors import ConfigError
from usbshare.line.usbip.source import UsbipSource, is_remote, parse_source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("usbip://pi4/1-1.2", UsbipSource("pi4", 3240, "1-1.2")),
        ("usbip://pi4:4000/1-1.2", UsbipSource("pi4", 4000, "1-1.2")),
        ("usbip://[fe80::1]:4000/2-1", UsbipSource("fe80::1", 4000, "2-1")),
        ("usbip://192.168.1.4/2341:0043", UsbipSource("192.168.1.4", 3240, "", 0x2341, 0x43)),
        ("usbip://pi4/2341:0043:85734", UsbipSource("pi4", 3240, "", 0x2341, 0x43, "85734")),
        ("usbip://pi4/1-1#2", UsbipSource("pi4", 3240, "1-1", interface=2)),
        ("usbip://pi4/16c0:0483:a%2Fb%23c", UsbipSource("pi4", 3240, "", 0x16C0, 0x483, "a/b#c")),
    ],
)
def test_a_source_is_read(text: str, source: UsbipSource) -> None:
    assert is_remote(text)
    assert parse_source(text) == source
    assert parse_source(str(source)) == source


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("usbip://pi4", "is not usbip://host[:port]/busid"),
        ("usbip:///1-1", "is not usbip://host[:port]/busid"),
        ("usbip://pi4/", "is not usbip://host[:port]/busid"),
        ("usbip://pi4/1 1", "is not usbip://host[:port]/busid"),
        ("usbip://pi4/1-1/2", "is not usbip://host[:port]/busid"),
        ("usbip://pi4/xyz:0043", "is not usbip://host[:port]/busid"),
        ("usbip://pi4:99999/1-1", "99999"),
        ("usbip://pi4/1-1#256", "interface 256 is not 0 to 255"),
    ],
)
def test_a_source_without_a_device_is_refused(text: str, named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_source(text)
    assert named in str(refused.value)
