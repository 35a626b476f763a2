"""Beacon messages: ours, those of other tools, and what only looks like one."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.base.terminal_safe_text import clean_name, clean_text
from usbshare.hosts.instance import Endpoint, Instance, Kind
from usbshare.hosts.sources.beacon_message import (
    MOST_BYTES,
    BeaconError,
    BeaconMessage,
    decode,
    encode,
)

_SITE = "0123456789abcdef" * 4
_LASER = Instance(
    "Käthes Laser",
    ("192.168.1.20",),
    (Endpoint(Kind.SERIAL, 50051), Endpoint(Kind.CAMERA, 50052)),
    port_ids=("laser", "mill"),
    site=_SITE,
    version="0.1.0",
)
_FOREIGN: dict[str, Any] = {
    "type": "grbl-server",
    "name": "Laser",
    "addr": "192.168.1.20:9000",
    "version": "3.1",
    "timestamp": 1763722000.25,
}


def foreign(**changes: Any) -> bytes:
    message = {**_FOREIGN, **changes}
    return json.dumps({key: value for key, value in message.items() if value is not ...}).encode()


def read(data: bytes, sender: str = "192.168.1.9") -> Instance:
    return decode(data, sender).instance


def test_the_five_fields_are_those_that_other_tools_read() -> None:
    message = json.loads(encode(_LASER, "192.168.1.20", 1763722000.9))
    assert message["type"] == "usb-share"
    assert message["name"] == "Käthes Laser"
    assert message["addr"] == "192.168.1.20:50051"
    assert message["version"] == "0.1.0"
    assert message["timestamp"] == 1763722000


def test_a_message_comes_back_as_it_was() -> None:
    data = encode(_LASER, "192.168.1.20", 0, sender_id="ab12")
    assert decode(data, "192.168.1.20") == BeaconMessage(_LASER, "ab12", is_goodbye=False)


def test_a_goodbye_comes_back_as_one() -> None:
    data = encode(_LASER, "192.168.1.20", 0, sender_id="ab12", gone=True)
    assert decode(data, "192.168.1.20").is_goodbye


def test_plaintext_is_reported() -> None:
    assert not read(encode(replace(_LASER, tls=False), "192.168.1.20", 0)).tls


def test_without_a_serial_service_the_first_one_is_the_address() -> None:
    camera = replace(_LASER, endpoints=(Endpoint(Kind.CAMERA, 50052),))
    assert json.loads(encode(camera, "10.0.0.1", 0))["addr"] == "10.0.0.1:50052"


def test_an_ipv6_address_comes_back_as_it_was() -> None:
    assert read(encode(_LASER, "fd00::1", 0)).addresses == ("fd00::1",)


def test_of_too_long_a_message_the_port_ids_are_left_out_first() -> None:
    many = tuple(f"a-long-port-id-number-{each}" for each in range(64))
    data = encode(replace(_LASER, port_ids=many), "10.0.0.1", 0)
    assert len(data) <= MOST_BYTES
    assert read(data) == replace(_LASER, addresses=("10.0.0.1",), port_ids=())


@given(
    st.builds(
        Instance,
        st.text(st.characters()),
        st.just(()),
        st.just(()),
        port_ids=st.lists(st.text(st.characters())).map(tuple),
        site=st.text(st.characters(), max_size=5000),
        version=st.text(st.characters(), max_size=5000),
    )
)
def test_every_announcement_fits_one_packet(instance: Instance) -> None:
    assert len(encode(instance, "10.0.0.1", 0, sender_id="ab")) <= MOST_BYTES


def test_a_message_of_another_tool_is_understood() -> None:
    assert read(foreign()) == Instance(
        "Laser", ("192.168.1.20",), (Endpoint(Kind.SERIAL, 9000),), version="3.1"
    )


@pytest.mark.parametrize(
    ("type_", "kind", "port"),
    [
        ("grbl-server", Kind.SERIAL, 50051),
        ("", Kind.SERIAL, 50051),
        ("IP-Camera", Kind.CAMERA, 50052),
        ("usb-discovery", Kind.DISCOVERY, 50053),
    ],
)
def test_the_type_says_what_kind_it_is_and_at_which_port(type_: str, kind: Kind, port: int) -> None:
    instance = read(foreign(type=type_, addr="192.168.1.20"))
    assert instance.endpoints == (Endpoint(kind, port),)


@pytest.mark.parametrize("timestamp", ["2025-11-21T11:00:00Z", -1, 1e300, None, [], ..., "\x1b"])
def test_the_timestamp_may_be_anything(timestamp: object) -> None:
    assert read(foreign(timestamp=timestamp)) == read(foreign())


@pytest.mark.parametrize(
    "addr",
    ["laser.local:9000", "0.0.0.0:9000", "127.0.0.1:9000", "[::1]:9000", "224.1.1.1:9000"],
)
def test_an_address_that_says_nothing_to_us_is_the_senders(addr: str) -> None:
    instance = read(foreign(addr=addr))
    assert instance.addresses == ("192.168.1.9",)
    assert instance.port_of(Kind.SERIAL) == 9000


@pytest.mark.parametrize("addr", [..., None, 5, [], {}, "", ":", "a:b:c", "x:70000", "\x1b[31m:1"])
def test_an_invalid_address_means_the_senders_at_the_usual_port(addr: object) -> None:
    instance = read(foreign(addr=addr))
    assert instance.addresses == ("192.168.1.9",)
    assert instance.port_of(Kind.SERIAL) == 50051


def test_a_loopback_address_is_taken_from_this_computer() -> None:
    assert read(foreign(addr="127.0.0.1:9000"), "127.0.0.1").addresses == ("127.0.0.1",)


@pytest.mark.parametrize("port", [0, 70000, -1, True, "50052", 50052.0, None, [], 10**400])
def test_a_wrong_port_is_as_if_it_were_not_there(port: object) -> None:
    instance = read(foreign(services={"camera": port, "discovery": 50053}))
    assert instance.endpoints == (Endpoint(Kind.DISCOVERY, 50053),)


@pytest.mark.parametrize(
    "value", [None, 5, "text", [], {}, [[]], [None, 5, {}], {"serial": []}, True]
)
@pytest.mark.parametrize("key", ["services", "site", "ports", "tls", "gone", "id", "version", "x"])
def test_a_value_of_another_type_is_as_if_it_were_not_there(key: str, value: object) -> None:
    if (key, value) in [("gone", True), ("version", "text")]:
        return
    expected = replace(read(foreign()), version="" if key == "version" else "3.1")
    message = decode(foreign(**{key: value}), "192.168.1.9")
    assert message == BeaconMessage(expected)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b"{",
        b"{}",
        b'{"type": "x", "name": NaN}',
        b'{"type": "x", "name": "Laser", "timestamp": Infinity}',
        b'{"type": "x", "name": "Laser", "timestamp": ' + b"9" * 1300 + b"}x",
        b"[" * 1400,
        b'{"a":' * 280,
        b" " * 1401,
        foreign() + b"\0" * 10,
        foreign(version="x" * 1400),
        foreign(type=...),
        foreign(type=5),
        foreign(name=...),
        foreign(name=["Laser"]),
        foreign(name=""),
        foreign(name="\x1b[31m\u202e\ud800"),
    ],
    ids=lambda data: ascii(data[:20]),
)
def test_an_invalid_message_is_an_error_that_quotes_nothing_of_it(data: bytes) -> None:
    with pytest.raises(BeaconError) as caught:
        decode(data, "192.168.1.9")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 80


@pytest.mark.parametrize("length", [0, 63, 64, 300])
def test_a_name_of_any_length_is_cut_or_refused(length: int) -> None:
    data = foreign(name="x" * length)
    if not length:
        with pytest.raises(BeaconError):
            read(data)
    else:
        assert read(data).name == "x" * min(length, 63)


def test_one_host_at_two_addresses_has_one_key() -> None:
    first, second = (
        decode(encode(_LASER, address, 0, sender_id="ab12"), address)
        for address in ("10.0.0.1", "10.1.0.1")
    )
    assert first.key == second.key


def test_two_hosts_of_one_name_have_two_keys() -> None:
    ours = (decode(encode(_LASER, "10.0.0.1", 0, sender_id=each), "10.0.0.1") for each in "ab")
    theirs = (decode(foreign(addr=each), each) for each in ("10.0.0.1", "10.0.0.2"))
    assert len({each.key for each in (*ours, *theirs)}) == 4


_json = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters(), max_size=80)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=9), inner, max_size=4)
    ),
    max_leaves=8,
)
_KEYS = ["type", "name", "addr", "version", "timestamp", "id", "services", "site", "tls", "ports"]


def assert_harmless(message: BeaconMessage) -> None:
    instance = message.instance
    assert instance.name == clean_name(instance.name) != ""
    for text in (*instance.addresses, *instance.port_ids, instance.site, message.sender_id):
        assert text.isascii()
        assert text.isprintable()
    assert instance.version == clean_text(instance.version, 32)
    assert instance.endpoints
    assert all(type(each.port) is int and 1 <= each.port <= 65535 for each in instance.endpoints)
    assert len(instance.port_ids) <= 64


@given(st.dictionaries(st.sampled_from([*_KEYS, "gone"]), _json))
def test_nothing_raw_comes_out_of_any_object(changes: dict[str, Any]) -> None:
    with suppress(BeaconError):
        assert_harmless(decode(foreign(**changes), "192.168.1.9"))


@given(st.one_of(st.binary(max_size=3000), _json.map(lambda value: json.dumps(value).encode())))
def test_nothing_but_the_declared_error_is_raised(data: bytes) -> None:
    with suppress(BeaconError):
        assert_harmless(decode(data, "fe80::1%eth0"))


def test_kinds_that_are_not_known_here_are_ignored() -> None:
    services = {"serial": 50051, "job": 50055, "teleport": 50099}
    expected = (Endpoint(Kind.SERIAL, 50051), Endpoint(Kind.JOB, 50055))
    assert read(foreign(services=services)).endpoints == expected
