"""Who may see the pictures."""

from __future__ import annotations

import pytest

from usbshare.base.errors import ConfigError
from usbshare.base.http_access import Access, checked_token, new_token

TOKEN = "correct-horse-battery"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8081", "localhost", "[::1]:80", "[::1]"])
def test_without_a_token_names_of_this_computer_are_served(host: str) -> None:
    assert Access().why_refused(host, "", "") == ""


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example:8081",
        "127.0.0.1.evil.example",
        "192.168.1.20:8081",
        "0.0.0.0",
        "127.0.0.1:99999",
        "[::1",
        "a" * 10_000,
    ],
)
def test_without_a_token_other_names_are_refused(host: str) -> None:
    assert Access().why_refused(host, "", "") != ""


def test_a_program_that_names_no_host_is_served_except_for_the_token() -> None:
    assert Access().why_refused(None, "", "") == ""
    assert Access(TOKEN).why_refused(None, "", "") != ""
    assert Access(TOKEN).why_refused(None, TOKEN, "") == ""


def test_a_token_is_taken_from_the_query_or_the_header() -> None:
    access = Access(TOKEN)
    assert access.why_refused("laser.local", TOKEN, "") == ""
    assert access.why_refused("laser.local", "", f"bearer {TOKEN}") == ""


@pytest.mark.parametrize("given", ["", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "é", "\udc80"])
def test_any_other_token_is_refused(given: str) -> None:
    access = Access(TOKEN)
    assert access.why_refused("127.0.0.1", given, "") != ""
    assert access.why_refused("127.0.0.1", "", f"Bearer {given}") != ""


def test_the_reason_does_not_reveal_the_token() -> None:
    assert TOKEN not in Access(TOKEN).why_refused("", "wrong", "")


def test_made_tokens_differ_and_may_be_chosen_too() -> None:
    assert new_token() != new_token()
    assert checked_token(new_token())


@pytest.mark.parametrize(
    "text", ["", "short", "with spaces in it", "and&more=than-a-token", "é" * 20]
)
def test_a_token_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--token"):
        checked_token(text)
