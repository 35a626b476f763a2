"""Which instances a filter lets through."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.hosts.filter import Filter
from usbshare.hosts.instance import Endpoint, Instance, Kind

_SITE = "ab12" + "0" * 60


def instance(name: str, *kinds: Kind, site: str = "") -> Instance:
    endpoints = tuple(Endpoint(kind, 50051) for kind in kinds or (Kind.SERIAL,))
    return Instance(name, ("10.0.0.1",), endpoints, site=site)


def test_an_empty_filter_lets_all_through() -> None:
    assert Filter().matches(instance("Laser"))


def test_a_kind_matches_hosts_that_offer_it() -> None:
    assert Filter(kind=Kind.CAMERA).matches(instance("Laser", Kind.SERIAL, Kind.CAMERA))
    assert not Filter(kind=Kind.CAMERA).matches(instance("Laser", Kind.SERIAL))


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("work", "Laser-Workshop", True),
        ("WORK", "Laser-Workshop", True),
        ("mill", "Laser-Workshop", False),
        ("laser*", "Laser-Workshop", True),
        ("work*", "Laser-Workshop", False),
        ("*-work?hop", "Laser-Workshop", True),
        ("[kl]aser-workshop", "Laser-Workshop", True),
        ("[!l]aser*", "Laser-Workshop", False),
        ("laser", "Laser-Workshop", True),
        ("[", "a[b", False),  # a glob whose bracket is itself, for all of the name
        ("[", "[", True),
        (".", "Laser", False),
        ("STRASSE", "Straße 7", True),
        ("Ka\u0308the", "Käthe", True),
        ("", "Laser", True),
        ("*", "two\nlines", True),
    ],
)
def test_a_name_matches_as_a_part_or_as_a_glob(pattern: str, name: str, matches: bool) -> None:
    assert Filter(name_pattern=pattern).matches(instance(name)) is matches


@pytest.mark.parametrize(
    ("asked", "matches"), [(_SITE, True), ("ab", True), ("AB12", True), ("b1", False), ("", True)]
)
def test_a_site_matches_by_its_beginning(asked: str, matches: bool) -> None:
    assert Filter(site=asked).matches(instance("Laser", site=_SITE)) is matches


def test_a_host_of_unknown_site_is_of_no_site_that_is_asked_for() -> None:
    assert not Filter(site="ab").matches(instance("Laser"))


def test_filters_that_ask_for_the_same_are_equal() -> None:
    assert Filter(Kind.SERIAL, "laser*") == Filter(Kind.SERIAL, "laser*")
    assert Filter(Kind.SERIAL, "laser*") != Filter(Kind.SERIAL, "mill*")


@pytest.mark.parametrize("make", [lambda text: f"*{text}*", lambda text: f"[{text}", str])
@given(text=st.text(st.characters(), max_size=400), name=st.text(max_size=63))
def test_no_pattern_raises(make: Callable[[str], str], text: str, name: str) -> None:
    Filter(name_pattern=make(text)).matches(instance(name))


def test_a_pattern_made_to_be_slow_is_not() -> None:
    assert not Filter(name_pattern="*a" * 120 + "b").matches(instance("a" * 63))
