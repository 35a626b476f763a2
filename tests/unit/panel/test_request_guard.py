from __future__ import annotations

from dataclasses import replace

import pytest

from usbshare.panel.request_guard import HEADERS, Asked, Guard

LOCAL = Guard()
TOKEN = "a-token-of-this-test"
SHARED = Guard(TOKEN, frozenset({"pc", "pc.local"}))
OWN = Asked("127.0.0.1:8080", "http://127.0.0.1:8080")
SOCKET = replace(OWN, needs_origin=True)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080"])
def test_this_computers_names_are_served(host: str) -> None:
    assert not LOCAL.why_refused(Asked(host))
    assert not LOCAL.why_refused(Asked(host, f"http://{host}", needs_origin=True))


@pytest.mark.parametrize(
    "host", [None, "", "evil.example:8080", "localhost.evil.example", "192.168.1.9:8080", "a:b:c"]
)
def test_another_host_is_refused(host: str | None) -> None:
    assert LOCAL.why_refused(Asked(host))


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "https://127.0.0.1:8080", "http://127.0.0.1:8081", "null", ""],
)
def test_another_origin_is_refused(origin: str) -> None:
    assert LOCAL.why_refused(replace(OWN, origin=origin))
    assert LOCAL.why_refused(replace(SOCKET, origin=origin))


def test_a_request_that_acts_needs_an_origin() -> None:
    assert "Origin" in LOCAL.why_refused(replace(SOCKET, origin=None))


def test_a_page_of_another_site_may_link_here_and_nothing_else() -> None:
    embedded = Asked("127.0.0.1:8080", fetch_site="cross-site", fetch_mode="no-cors")
    assert LOCAL.why_refused(embedded)
    assert LOCAL.why_refused(replace(embedded, fetch_site="same-site"))
    assert not LOCAL.why_refused(replace(embedded, fetch_mode="navigate"))
    assert LOCAL.why_refused(replace(SOCKET, fetch_site="cross-site", fetch_mode="navigate"))


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "\udcff"])
def test_a_wrong_token_is_refused_everywhere(token: str) -> None:
    for host in ("192.168.1.9:8080", "pc.local:8080", "127.0.0.1:8080"):
        assert "token" in SHARED.why_refused(Asked(host, token=token))


@pytest.mark.parametrize("host", ["192.168.1.9:8080", "pc:8080", "PC.local", "[fe80::1]:8080"])
def test_with_the_token_this_computers_other_names_are_served(host: str) -> None:
    assert not SHARED.why_refused(Asked(host, token=TOKEN))


def test_with_the_token_a_foreign_name_is_refused_all_the_same() -> None:
    assert SHARED.why_refused(Asked("evil.example", token=TOKEN))


def test_no_inline_script_and_no_frame_is_allowed() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
