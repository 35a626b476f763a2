from __future__ import annotations

import socket

import click
import pytest

from usbshare.base.errors import ConfigError
from usbshare.base.http_address import PANEL, HttpAddress, http_address
from usbshare.bridge.commands.panel import _address, _guard, _urls
from usbshare.panel.request_guard import Asked

LOCAL = http_address(PANEL.usual, PANEL)
ANY = HttpAddress("0.0.0.0", 8080, PANEL)


def test_on_loopback_no_token_is_needed() -> None:
    assert HttpAddress("127.0.0.1", 8080, PANEL) == LOCAL
    assert not _guard(LOCAL, None).token


def test_beyond_this_computer_a_token_is_made_and_printed() -> None:
    guard, other = _guard(ANY, None), _guard(ANY, None)
    assert len(guard.token) >= 20
    assert guard.token != other.token
    here, *others = _urls(ANY, 8080, guard.token)
    assert here == f"http://127.0.0.1:8080/?token={guard.token}"
    assert all(each.endswith(f"/?token={guard.token}") for each in others)
    assert not any("0.0.0.0" in each for each in others)


def test_this_computers_name_is_served_beyond_loopback() -> None:
    guard = _guard(ANY, "a-token-of-this-test")
    for host in (socket.gethostname(), f"{socket.gethostname().partition('.')[0]}.local"):
        assert not guard.why_refused(Asked(f"{host}:8080", token="a-token-of-this-test"))


def test_a_token_that_is_too_short_is_refused() -> None:
    with pytest.raises(ConfigError, match="12"):
        _guard(LOCAL, "short")


def test_a_wrong_address_is_an_error_of_usage() -> None:
    with pytest.raises(click.BadParameter):
        _address("no such host:8080")
    assert _address("127.0.0.1").port == 8080
