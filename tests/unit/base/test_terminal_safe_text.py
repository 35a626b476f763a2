"""Text from strangers: nothing that acts on a terminal comes out, whatever goes in."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.base.terminal_safe_text import MOST_NAME_BYTES, clean_name, clean_text

_ESCAPES = [
    "\x1b[31m",
    "\x1b]0;",
    "\x07",
    "\x1b\\",
    "\x9b2J",
    "\x9d",
    "\x9c",
    "\x1bP",
    "\x1bc",
    "\r",
]
_TRICKS = ["\u202e", "\u2066", "\u200b", "\u2028", "\ufeff", "\ud800", "\udfff", "\u3164", "\ufe0f"]

# Every code point, lone surrogates too, with what does harm more often than chance would have it.
anything = st.text(st.characters(), max_size=80)
hostile = st.lists(st.one_of(anything, st.sampled_from(_ESCAPES + _TRICKS))).map("".join)


def assert_harmless(text: str, most_bytes: int) -> None:
    assert len(text.encode()) <= most_bytes  # and no lone surrogate in it
    assert unicodedata.is_normalized("NFC", text)
    assert text == " ".join(text.split())
    assert not any(unicodedata.category(each)[0] == "C" for each in text)
    assert not any(unicodedata.category(each) in ("Zl", "Zp") for each in text)


@given(hostile)
def test_nothing_that_acts_on_a_terminal_comes_out(text: str) -> None:
    assert_harmless(clean_name(text), MOST_NAME_BYTES)


@given(hostile, st.integers(0, 300))
def test_any_bound_is_kept(text: str, most_bytes: int) -> None:
    assert_harmless(clean_text(text, most_bytes), most_bytes)


@given(hostile)
def test_clean_text_stays_as_it_is(text: str) -> None:
    once = clean_name(text)
    assert clean_name(once) == once


@given(st.binary(max_size=400))
def test_bytes_that_are_no_utf_8_are_harmless(raw: bytes) -> None:
    assert_harmless(clean_name(raw.decode(errors="surrogateescape")), MOST_NAME_BYTES)
    assert_harmless(clean_name(raw.decode("latin-1")), MOST_NAME_BYTES)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Laser-Workshop", "Laser-Workshop"),
        ("Käthes Fräse 2.0", "Käthes Fräse 2.0"),
        ("レーザー", "レーザー"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;new title\x07laser", "laser"),
        ("\x1b]8;;http://evil\x1b\\laser\x1b]8;;\x1b\\", "laser"),
        ("\x9b2Jlaser", "laser"),
        ("las\x08\x7fer", "laser"),
        ("\u202eresal", "resal"),
        ("lab\u200b\u2060\ufeff1", "lab1"),
        (" one\r\ntwo\t\u2029three ", "one two three"),
        ("Ka\u0308the", "Käthe"),
        ("laser\ud83d", "laser"),
        ("laser\ue000\U0010ffff", "laser"),
        ("\u3164\u2800\u115f", ""),
        ("\x1b[31m\x1b[0m", ""),
        ("", ""),
    ],
)
def test_readable_characters_stay_and_others_are_removed(text: str, clean: str) -> None:
    assert clean_name(text) == clean


def test_a_name_of_300_bytes_is_cut_to_63() -> None:
    assert clean_name("x" * 300) == "x" * 63


def test_a_character_is_never_cut_in_two() -> None:
    assert clean_name("é" * 40) == "é" * 31


def test_no_space_is_left_where_it_was_cut() -> None:
    assert clean_text("laser workshop", 6) == "laser"


@pytest.mark.parametrize(
    "part", ["\x1b]", "\x9d", "\x1b[", "\x1b[0;", "\x1bPx", "\u0301", "\x1b\x1b]\x9d"]
)
def test_a_text_of_a_million_characters_costs_no_more_than_a_short_one(part: str) -> None:
    assert_harmless(clean_name(part * 1_000_000), MOST_NAME_BYTES)
