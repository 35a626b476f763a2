"""The string of an invitation: whole, or refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.base.errors import InvalidArgumentError
from usbshare.trust.invitation import PREFIX, Invitation

EXAMPLE = Invitation(
    "office-pc",
    "operators",
    ("192.0.2.7", "fd00::7"),
    50054,
    bytes(range(16)),
    bytes(range(32)),
    datetime(2030, 1, 1, tzinfo=UTC),
)
LINES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=40)


def test_an_encoded_invitation_is_decoded() -> None:
    assert Invitation.decode(EXAMPLE.encode()) == EXAMPLE


@given(
    LINES,
    LINES,
    st.lists(LINES, min_size=1, max_size=5),
    st.integers(1, 65535),
    st.binary(min_size=16, max_size=16),
    st.binary(min_size=32, max_size=32),
    st.integers(1, 65535),
)
def test_every_invitation_comes_back(
    name: str,
    role: str,
    addresses: list[str],
    port: int,
    token: bytes,
    authority: bytes,
    service_port: int,
) -> None:
    # A port's line is no address; what the host puts there never begins like one.
    found = tuple(each for each in addresses if not each.startswith(":")) or ("192.0.2.7",)
    end = EXAMPLE.expires
    made = Invitation(name, role, found, port, token, authority, end, service_port)
    assert Invitation.decode(made.encode()) == made


@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_an_invalid_port_is_refused(port: int) -> None:
    with pytest.raises(InvalidArgumentError, match="not complete"):
        Invitation.decode(replace(EXAMPLE, service_port=port).encode())


def test_the_usual_port_makes_no_string_longer() -> None:
    usual = len(EXAMPLE.encode())
    assert usual < len(replace(EXAMPLE, service_port=50951).encode())


def test_spaces_and_line_ends_of_a_mail_do_no_harm() -> None:
    text = EXAMPLE.encode()
    assert Invitation.decode(f"  {text[:40]}\r\n {text[40:]}\n") == EXAMPLE
    assert Invitation.decode(f"\ufeff{text}\r\n") == EXAMPLE


def test_every_cut_string_is_refused() -> None:
    text = EXAMPLE.encode()
    for length in range(len(text)):
        with pytest.raises(InvalidArgumentError, match="copy the whole string"):
            Invitation.decode(text[:length])


def test_every_changed_character_is_noticed() -> None:
    text = EXAMPLE.encode()
    for index in range(len(PREFIX), len(text)):
        other = "A" if text[index] != "A" else "B"
        try:
            found = Invitation.decode(text[:index] + other + text[index + 1 :])
        except InvalidArgumentError:
            continue
        # The last character has bits that mean nothing.
        assert index == len(text) - 1
        assert found == EXAMPLE


@pytest.mark.parametrize(
    "text", ["", "x", "usbshare2.AAAA", "usbshare1.", "usbshare1.ä", PREFIX * 9]
)
def test_an_invalid_value_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="not a complete invitation") as caught:
        Invitation.decode(text)
    assert "\n" not in str(caught.value)


def test_a_huge_string_is_refused_unread() -> None:
    with pytest.raises(InvalidArgumentError, match="too long"):
        Invitation.decode(PREFIX + "A" * 1_000_000)


def test_the_token_is_in_no_log() -> None:
    assert repr(EXAMPLE.token) not in repr(EXAMPLE)


@pytest.mark.parametrize(
    "field", [{"name": "a\x1b[2Jb"}, {"role": "a\x9bb"}, {"addresses": ("h\u202eost",)}]
)
def test_terminal_control_characters_are_refused(field: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="not allowed in a name or address") as refused:
        Invitation.decode(replace(EXAMPLE, **field).encode())
    assert str(refused.value).isprintable()
