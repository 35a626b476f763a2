"""Who sends too much is found by its address, and only the connections that do it are ended."""

from __future__ import annotations

import pytest

from usbshare.rpc import byte_rates
from usbshare.rpc.byte_rates import BURST_S, MODEST_BYTES, ByteRates, Connection

LIMIT = 1_000_000.0


class Wire:
    """Connections whose bytes are counted as the system counts them."""

    def __init__(self) -> None:
        self.rates = ByteRates()
        self.now = 0.0
        self.received: dict[tuple[str, int], int] = {}

    def pass_s(self, seconds: float, **sent: int) -> set[str]:
        """Let `a1=700` send 700 bytes from port 1 of host a; return who must be ended."""
        self.now += seconds
        for name, count in sent.items():
            key = self._key(name)
            self.received[key] = self.received.get(key, 0) + count
        found = [Connection(9, *key, count) for key, count in self.received.items()]
        ended = self.rates.over_limit(found, LIMIT, self.now)
        for each in ended:
            del self.received[each.host, each.port]
        return {f"{'abc'[int(each.host[-1]) - 1]}{each.port}" for each in ended}

    @staticmethod
    def _key(name: str) -> tuple[str, int]:
        return f"192.0.2.{'abc'.index(name[0]) + 1}", int(name[1:])


def test_the_allowed_rate_may_continue_for_ever() -> None:
    wire = Wire()
    assert not any(wire.pass_s(1.0, a1=1000000) for _ in range(100))


def test_a_burst_after_a_pause_is_allowed() -> None:
    wire = Wire()
    wire.pass_s(1.0)
    assert not wire.pass_s(0.25, a1=int(BURST_S * LIMIT))


def test_a_connection_that_sends_more_is_ended() -> None:
    wire = Wire()
    ended = [wire.pass_s(0.25, a1=1000000, b1=100000) for _ in range(4)]
    assert ended[-1] == {"a1"}
    assert not any("b1" in each for each in ended)


def test_of_one_address_only_the_greedy_connection_is_ended() -> None:
    wire = Wire()
    ended = [wire.pass_s(0.25, a1=1000000, a2=20000) for _ in range(8)]
    assert {"a1"} in ended
    assert not any("a2" in each for each in ended)


def test_several_connections_of_one_address_share_what_it_may_send() -> None:
    wire = Wire()
    ended = [wire.pass_s(0.25, a1=400000, a2=400000, a3=400000) for _ in range(8)]
    assert {"a1", "a2", "a3"} in ended


def test_a_client_that_reconnects_at_once_has_no_new_allowance() -> None:
    wire = Wire()
    while not wire.pass_s(0.25, a1=10_000_000):
        continue
    assert wire.pass_s(0.02, a2=500000) == {"a2"}
    assert not wire.pass_s(10.0)
    assert not wire.pass_s(0.25, a3=1000000)


def test_a_port_that_is_used_again_counts_from_nothing() -> None:
    wire = Wire()
    wire.pass_s(1.0, a1=1900000)
    del wire.received["192.0.2.1", 1]
    assert not wire.pass_s(1.0, a1=900000)


def test_an_address_with_ipv6_is_a_network_of_one_site() -> None:
    rates = ByteRates()
    for turn in range(1, 5):
        found = [Connection(9, f"2001:db8::{n}", 1, 400_000 * turn) for n in range(1, 4)]
        ended = rates.over_limit(found, LIMIT, 0.25 * turn)
    assert len(ended) == 3


def test_a_peer_that_sent_little_stays_whatever_its_neighbours_do() -> None:
    wire = Wire()
    while not wire.pass_s(0.25, a1=10_000_000):
        continue
    assert wire.pass_s(0.02, a2=MODEST_BYTES, a3=MODEST_BYTES + 1) == {"a3"}


def test_remembered_senders_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_rates, "MOST_SOURCES", 100)
    rates = ByteRates()
    for n in range(250):
        rates.over_limit([Connection(9, f"10.0.0.{n}", 1, 1_500_000)], LIMIT, 0.0)
    assert len(rates._spare) == 100
