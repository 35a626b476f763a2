"""Targets as people type them, and what every connection promises."""

from __future__ import annotations

import os

import pytest

from usbshare.base.errors import InvalidArgumentError
from usbshare.rpc.channel import KEEPALIVE, Target, parse_target
from usbshare.rpc.grpc_environment import prepare_grpc


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("laser", "laser", 50051),
        ("laser:1", "laser", 1),
        (" laser.local:65535 ", "laser.local", 65535),
        ("192.0.2.7", "192.0.2.7", 50051),
        ("192.0.2.7:50052", "192.0.2.7", 50052),
        ("[::1]:50052", "::1", 50052),
        ("[fd00::2]", "fd00::2", 50051),
        ("fd00::2", "fd00::2", 50051),
        ("raspberry_pi-4:50051", "raspberry_pi-4", 50051),
        ("laser.local.:1", "laser.local", 1),
        ("müller.local:50051", "xn--mller-kva.local", 50051),
        ("l\u00e5s:1", "xn--ls-yia", 1),
    ],
)
def test_hosts_and_ports_are_read(text: str, host: str, port: int) -> None:
    assert parse_target(text) == Target(host, port)


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", ":50051", "laser:", "laser:abc", "laser:0", "laser:65536", "laser:-1"),
        *("laser:\u0661", "http://laser:50051", "laser/port", "[laser]:50051", "[::1", "::1]:5"),
        *(
            "1.2.3",
            "a b",
            "-laser",
            "l\u00e5s",
            "laser..local",
            "laser..",
            ".",
            "laser..:1",
            ".:1",
            "1:2:3",
            "x" * 300,
        ),
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_target(text)


def test_a_refusal_quotes_the_text_and_shows_how() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'laser:abc'.*'abc' is not a number from 1"):
        parse_target("laser:abc")
    with pytest.raises(InvalidArgumentError, match="is a URL: give host:port, as in laser:50051"):
        parse_target("http://laser")


def test_the_default_port_is_the_callers() -> None:
    assert parse_target("laser", default_port=50052).port == 50052


@pytest.mark.parametrize("text", ["laser:50051", "[fd00::2]:50051", "192.0.2.7:1"])
def test_targets_are_written_as_they_are_read(text: str) -> None:
    assert str(parse_target(text)) == text


def test_grpcs_environment_is_set_only_if_it_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"GRPC_VERBOSITY": "debug"})
    prepare_grpc()
    assert os.environ["GRPC_DNS_RESOLVER"] == "native"
    assert os.environ["GRPC_VERBOSITY"] == "debug"


def test_the_keepalive_set_is_whole() -> None:
    assert dict(KEEPALIVE) == {
        "grpc.keepalive_time_ms": 1000,
        "grpc.keepalive_timeout_ms": 6000,
        "grpc.http2.ping_timeout_ms": 10_000,
        "grpc.http2.max_pings_without_data": 0,
        "grpc.keepalive_permit_without_calls": 1,
    }


@pytest.mark.parametrize("text", ["laser.local.", "müller.local", "Müller"])
def test_a_name_that_must_be_looked_up_is_no_address(text: str) -> None:
    # So a stop, which asks nobody about an address, has it looked up as everything else does.
    with pytest.raises(InvalidArgumentError):
        parse_target(text)
