"""TXT records: ours come back as they were, everybody's are read without harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.base.terminal_safe_text import clean_name, clean_text
from usbshare.hosts.instance import Endpoint, Instance, Kind
from usbshare.hosts.txt_record import from_properties, to_properties

_SITE = "0123456789abcdef" * 4
_LASER = Instance(
    "Laser-Workshop",
    ("192.168.1.20", "fe80::1%eth0"),
    (Endpoint(Kind.SERIAL, 50051), Endpoint(Kind.CAMERA, 50052), Endpoint(Kind.DISCOVERY, 50053)),
    host="laser.local",
    port_ids=("laser", "mill"),
    site=_SITE,
    version="0.1.0",
)


def wire(properties: dict[str, str]) -> dict[bytes, bytes | None]:
    return {key.encode(): value.encode() for key, value in properties.items()}


def read(
    properties: dict[bytes, bytes | None],
    name: str = "Laser",
    host: str = "laser.local.",
    addresses: tuple[str, ...] = ("10.0.0.1",),
    srv_port: int = 50051,
) -> Instance:
    instance = from_properties(name, host, addresses, srv_port, properties)
    assert instance is not None
    return instance


def test_the_announced_keys_are_the_documented_ones() -> None:
    assert to_properties(_LASER) == {
        "txtvers": "1",
        "version": "0.1.0",
        "tls": "1",
        "serial": "50051",
        "camera": "50052",
        "discovery": "50053",
        "ports": "laser,mill",
        "site": _SITE,
    }


def test_txtvers_comes_first() -> None:
    assert next(iter(to_properties(_LASER))) == "txtvers"  # RFC 6763, 6.7


def test_an_announcement_comes_back_as_it_was() -> None:
    read_back = from_properties(
        _LASER.name, "laser.local.", _LASER.addresses, 50051, wire(to_properties(_LASER))
    )
    assert read_back == _LASER


def test_port_ids_that_do_not_fit_are_left_out_whole() -> None:
    many = tuple(f"a-long-port-id-number-{each}" for each in range(64))
    told = to_properties(Instance("Laser", ("10.0.0.1",), (), port_ids=many))["ports"]
    assert len(f"ports={told}") <= 255
    assert tuple(told.split(",")) == many[: told.count(",") + 1]


def test_keys_are_read_in_any_case_and_the_first_counts() -> None:
    instance = read({b"SERIAL": b"1000", b"serial": b"2000", b"Camera": b"3000"})
    assert instance.endpoints == (Endpoint(Kind.SERIAL, 1000), Endpoint(Kind.CAMERA, 3000))


def test_without_a_service_the_srv_port_is_the_serial_one() -> None:
    assert read({}, srv_port=4242).endpoints == (Endpoint(Kind.SERIAL, 4242),)


def test_with_a_service_the_srv_port_counts_for_nothing() -> None:
    assert read({b"camera": b"50052"}).endpoints == (Endpoint(Kind.CAMERA, 50052),)


@pytest.mark.parametrize("version", [b"2", b"", b"\xff", None])
def test_of_another_version_the_known_fields_are_used(version: bytes | None) -> None:
    assert read({b"txtvers": version, b"serial": b"1"}).port_of(Kind.SERIAL) == 1


@pytest.mark.parametrize(
    "port",
    [b"0", b"70000", b"65536", b"-1", b"+1", b" 1", b"1e3", b"", b"9" * 200, "٣".encode(), None],
)
def test_a_wrong_port_is_as_if_it_were_not_there(port: bytes | None) -> None:
    instance = read({b"serial": port, b"camera": b"50052"})
    assert instance.endpoints == (Endpoint(Kind.CAMERA, 50052),)


@pytest.mark.parametrize("site", [b"", b"ab", _SITE.encode()[:-1], b"g" * 64, b"\xff" * 64, None])
def test_a_wrong_site_is_none(site: bytes | None) -> None:
    assert read({b"site": site}).site == ""


def test_a_site_in_capitals_is_the_same_site() -> None:
    assert read({b"site": _SITE.upper().encode()}).site == _SITE


@pytest.mark.parametrize(
    ("tls", "wants"), [(b"0", False), (b"1", True), (b"no", True), (None, True)]
)
def test_tls_is_wanted_unless_it_is_said_not_to_be(tls: bytes | None, wants: bool) -> None:
    assert read({b"tls": tls}).tls is wants


def test_wrong_and_doubled_port_ids_are_left_out() -> None:
    told = b"laser,,\x1b[31mred,mill,laser, x ,-a,\xff," + b"y" * 64
    assert read({b"ports": told}).port_ids == ("laser", "mill")


def test_no_more_than_64_port_ids_are_read() -> None:
    told = ",".join(f"{each:02}" for each in range(70)).encode()
    assert len(told) < 250
    assert len(read({b"ports": told}).port_ids) == 64


def test_an_overlong_pair_is_not_read() -> None:
    assert read({b"version": b"1" * 256}).version == ""


def test_a_record_of_64_kilobytes_is_read_no_further_than_1300_bytes() -> None:
    padding: dict[bytes, bytes | None] = {f"x{each}".encode(): b"y" * 250 for each in range(250)}
    instance = read({b"serial": b"1000", **padding, b"version": b"9"})
    assert instance.endpoints == (Endpoint(Kind.SERIAL, 1000),)
    assert instance.version == ""


@pytest.mark.parametrize(
    ("name", "host", "addresses", "srv_port"),
    [
        ("", "laser.local.", ("10.0.0.1",), 50051),
        ("\x1b[31m\u202e", "laser.local.", ("10.0.0.1",), 50051),
        ("Laser", "", (), 50051),
        ("Laser", "..", ("0.0.0.0", "224.0.0.251", "nonsense", "::"), 50051),
        ("Laser", "laser.local.", ("10.0.0.1",), 0),
        ("Laser", "laser.local.", ("10.0.0.1",), 70000),
    ],
)
def test_a_record_without_name_place_or_service_is_ignored(
    name: str, host: str, addresses: tuple[str, ...], srv_port: int
) -> None:
    assert from_properties(name, host, addresses, srv_port, {}) is None


def test_a_host_that_is_no_dns_name_is_none() -> None:
    assert read({}, host="\x1b[31mlaser.local.").host == ""
    assert read({}, host="läser.local.").host == ""


def test_a_scope_is_shown_only_where_it_is_the_name_of_an_interface() -> None:
    instance = read({}, addresses=("fe80::1%\x1b[31m", "fe80::2%eth0"))
    assert instance.addresses == ("fe80::2%eth0",)


def test_addresses_are_bounded_and_the_far_reaching_come_first() -> None:
    many = tuple(f"10.0.0.{each}" for each in range(1, 100))
    instance = read({}, addresses=("fe80::1%eth0", "127.0.0.1", *many))
    assert instance.addresses == many[:16]


_keys = st.sampled_from([b"serial", b"camera", b"tls", b"site", b"ports", b"VERSION", b"txtvers"])
_values = st.one_of(st.none(), st.binary(max_size=300), st.integers().map(lambda n: b"%d" % n))
_records = st.dictionaries(st.one_of(_keys, st.binary(max_size=20)), _values, max_size=40)
_texts = st.text(st.characters(), max_size=300)


@given(_texts, _texts, st.lists(_texts, max_size=5), st.integers(), _records)
def test_nothing_raw_comes_out_of_any_record(
    name: str,
    host: str,
    addresses: list[str],
    srv_port: int,
    properties: dict[bytes, bytes | None],
) -> None:
    instance = from_properties(name, host, [*addresses, "10.0.0.1"], srv_port, properties)
    if instance is None:
        return
    assert instance.name == clean_name(instance.name) != ""
    for text in (*instance.addresses, *instance.port_ids, instance.host, instance.site):
        assert text.isascii()
        assert text.isprintable()
    assert instance.version == clean_text(instance.version, 32)
    assert all(1 <= each.port <= 65535 for each in instance.endpoints)
    assert from_properties(
        instance.name, instance.host, instance.addresses, 1, wire(to_properties(instance))
    )


def test_kinds_that_are_not_known_here_are_ignored() -> None:
    found = read({b"serial": b"50051", b"job": b"50055", b"teleport": b"50099"})
    assert found.endpoints == (Endpoint(Kind.SERIAL, 50051), Endpoint(Kind.JOB, 50055))
