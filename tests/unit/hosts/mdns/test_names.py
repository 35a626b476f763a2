from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.hosts.instance import Kind
from usbshare.hosts.mdns.names import candidates, full_name, label_of, subtype


def first(wanted: str, count: int = 3) -> list[str]:
    return list(islice(candidates(wanted), count))


def test_a_taken_name_is_numbered_from_two() -> None:
    assert first("Laser") == ["Laser", "Laser (2)", "Laser (3)"]


def test_a_number_that_is_there_counts_on() -> None:
    assert first("Laser (7)") == ["Laser (7)", "Laser (8)", "Laser (9)"]


@pytest.mark.parametrize("wanted", ["Laser (0)", "Laser (1)", "Laser (07)", "Laser(2)", "(2)"])
def test_a_number_that_we_did_not_add_stays_in_the_name(wanted: str) -> None:
    assert first(wanted)[1] == f"{wanted} (2)"


def test_after_many_numbers_names_are_random() -> None:
    names = first("Laser", 30)
    assert names[20] == "Laser (21)"
    assert len(set(names)) == 30
    assert len(names[-1]) == len("Laser (abcdef)")


@given(st.text(min_size=1, max_size=63).filter(lambda text: 0 < len(text.encode()) <= 63))
def test_numbered_names_fit_and_differ(wanted: str) -> None:
    names = first(wanted, 25)
    assert all(len(name.encode()) <= 63 for name in names)
    assert all(one != other for one, other in pairwise(names))


def test_cut_names_end_at_a_character() -> None:
    assert first("ü" * 31 + "x")[1] == "ü" * 29 + " (2)"


@pytest.mark.parametrize("label", ["Laser", "v1.5 ..", "_usb-share._tcp", "ä" * 31, "LASER"])
def test_the_label_of_a_full_name_is_the_name(label: str) -> None:
    assert label_of(full_name(label)) == label


def test_the_type_may_be_in_capitals() -> None:
    assert label_of("Laser._USB-Share._TCP.LOCAL.") == "Laser"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "_usb-share._tcp.local.",
        "Laser._other._tcp.local.",
        "Laser._usb-share._tcp.local",
        full_name("ä" * 32),
        full_name("�" * 63),
        subtype(Kind.CAMERA),
    ],
)
def test_a_name_that_is_not_an_instance_of_ours_has_no_label(name: str) -> None:
    assert label_of(name) == ""
