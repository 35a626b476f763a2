"""Times and addresses as people write them, and the notice that is drawn here."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import click
import pytest
from PIL import Image

from usbshare.base.errors import ConfigError
from usbshare.base.http_address import http_address
from usbshare.bridge.commands.camera import HttpAddressType, IntervalType
from usbshare.client.camera.placeholder import notice


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("500ms", 0.5), ("2m", 120), ("1h", 3600), ("7", 7), ("1.5 s", 1.5), ("3M", 180)],
)
def test_times(text: str, seconds: float) -> None:
    assert IntervalType().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1s", "10d", "s", "1s2", "nan", "inf", "50ms"])
def test_an_invalid_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="not a time"):
        IntervalType().convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "host", "port", "is_loopback"),
    [
        ("127.0.0.1", "127.0.0.1", 8081, True),
        ("localhost:9", "127.0.0.1", 9, True),
        ("[::1]:9", "::1", 9, True),
        ("0.0.0.0:9", "0.0.0.0", 9, False),
        ("[::]:9", "::", 9, False),
        ("192.168.1.5", "192.168.1.5", 8081, False),
    ],
)
def test_addresses(text: str, host: str, port: int, is_loopback: bool) -> None:
    address = HttpAddressType().convert(text, None, None)
    assert (address.host, address.port, address.is_loopback) == (host, port, is_loopback)


@pytest.mark.parametrize("text", ["", "a b", "127.0.0.1:x", "127.0.0.1:70000", "no.such.invalid"])
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        HttpAddressType().convert(text, None, None)


def test_an_address_in_use_is_one_clear_error() -> None:
    with http_address("127.0.0.1:0").listen() as listening:
        port = listening.getsockname()[1]
        with pytest.raises(ConfigError, match="another program listens there"):
            http_address(f"127.0.0.1:{port}").listen()


def test_the_address_to_open_carries_the_token() -> None:
    assert http_address("127.0.0.1").url(5, "abc") == "http://127.0.0.1:5/?token=abc"
    assert http_address("[::1]").url(5) == "http://[::1]:5/"
    assert "0.0.0.0" not in http_address("0.0.0.0").url(5)


@pytest.mark.parametrize("size", [(1280, 720), (640, 480), (0, 0), (100_000, 3), (1080, 1920)])
def test_a_notice_has_the_size_of_the_pictures_within_bounds(size: tuple[int, int]) -> None:
    text = "nothing listens at laser:50052 … is the service running? " * 20
    image = Image.open(io.BytesIO(notice(*size, text, datetime.now(UTC))))
    image.load()
    assert image.size == (min(max(size[0], 320), 3840), min(max(size[1], 240), 2160))


def test_a_notice_is_not_empty_without_words() -> None:
    image = Image.open(io.BytesIO(notice(640, 480, "", None))).convert("L")
    assert max(image.tobytes()) > 200
