"""Whose beacons are remembered, and what a flood may take up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.clock import FakeClock
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import Endpoint, Instance, Kind, Source
from usbshare.hosts.sources.beacon_limits import (
    EXPIRY_S,
    MOST_ADDRESSES,
    MOST_IN_WINDOW,
    MOST_INSTANCES,
    MOST_OF_A_SENDER,
    WINDOW_S,
    BeaconRoll,
    FloodGate,
)
from usbshare.hosts.sources.beacon_message import BeaconMessage


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def catalogue(clock: FakeClock) -> Catalogue:
    return Catalogue(clock)


@pytest.fixture
def roll(catalogue: Catalogue) -> BeaconRoll:
    return BeaconRoll(catalogue)


def message(
    name: str, address: str = "10.0.0.1", sender_id: str = "ab", *, gone: bool = False
) -> BeaconMessage:
    instance = Instance(name, (address,), (Endpoint(Kind.SERIAL, 50051),))
    return BeaconMessage(instance, sender_id, gone)


def names(catalogue: Catalogue) -> list[str]:
    return [each.instance.name for each in catalogue.entries()]


def test_a_beacon_stays_in_the_catalogue_for_30_s(
    roll: BeaconRoll, catalogue: Catalogue, clock: FakeClock
) -> None:
    assert roll.take(message("Laser"), "10.0.0.1")
    assert names(catalogue) == ["Laser"]
    assert catalogue.next_expiry() == clock() + 30
    clock.advance(30)
    catalogue.expire()
    assert names(catalogue) == []


def test_a_goodbye_is_taken_at_once(roll: BeaconRoll, catalogue: Catalogue) -> None:
    roll.take(message("Laser"), "10.0.0.1")
    roll.take(message("Laser", gone=True), "10.0.0.1")
    assert names(catalogue) == []


def test_a_goodbye_from_a_stranger_is_ignored(roll: BeaconRoll, catalogue: Catalogue) -> None:
    roll.take(message("Laser"), "10.0.0.1")
    roll.take(message("Mill", gone=True), "10.0.0.2")
    assert names(catalogue) == ["Laser"]


def test_a_host_heard_at_two_addresses_is_one_entry_that_stays_as_it_is(
    roll: BeaconRoll, catalogue: Catalogue
) -> None:
    for address in ("10.0.0.1", "10.1.0.1", "10.0.0.1", "10.1.0.1"):
        roll.take(message("Laser", address), address)
        addresses = catalogue.entries()[0].instance.addresses
    assert len(catalogue.entries()) == 1
    assert addresses == ("10.0.0.1", "10.1.0.1")


def test_a_silent_address_is_removed_and_the_host_stays(
    roll: BeaconRoll, catalogue: Catalogue, clock: FakeClock
) -> None:
    roll.take(message("Laser", "10.0.0.1"), "10.0.0.1")
    for _ in range(20):
        clock.advance(2)
        roll.take(message("Laser", "10.1.0.1"), "10.1.0.1")
    assert catalogue.entries()[0].instance.addresses == ("10.1.0.1",)


def test_a_host_that_claims_every_address_is_believed_the_latest_few(
    roll: BeaconRoll, catalogue: Catalogue, clock: FakeClock
) -> None:
    for each in range(200):
        clock.advance(0.01)
        roll.take(message("Laser", f"10.0.0.{each + 1}"), "10.0.0.1")
    latest = tuple(f"10.0.0.{each + 1}" for each in range(200 - MOST_ADDRESSES, 200))
    assert catalogue.entries()[0].instance.addresses == latest


def test_a_host_that_was_found_dead_comes_back_with_its_next_message(
    roll: BeaconRoll, catalogue: Catalogue
) -> None:
    roll.take(message("Laser"), "10.0.0.1")
    catalogue.unreachable(catalogue.entries()[0].id)
    assert names(catalogue) == []
    roll.take(message("Laser"), "10.0.0.1")
    assert names(catalogue) == ["Laser"]


def test_a_flood_pushes_out_only_itself(roll: BeaconRoll, catalogue: Catalogue) -> None:
    roll.take(message("Laser"), "10.0.0.1")
    for each in range(3 * MOST_INSTANCES):
        assert roll.take(message(f"junk {each}"), "10.6.6.6")
    assert catalogue.count(Source.BEACON) == MOST_INSTANCES
    assert roll.take(message("Mill"), "10.0.0.2")
    assert {"Laser", "Mill"} <= set(names(catalogue))
    assert catalogue.count(Source.BEACON) == MOST_INSTANCES


def test_a_flood_of_many_senders_is_refused_until_others_are_silent(
    roll: BeaconRoll, catalogue: Catalogue, clock: FakeClock
) -> None:
    for each in range(MOST_INSTANCES):
        assert roll.take(message(f"junk {each}"), f"10.6.{each // 250}.{each % 250}")
    assert not roll.take(message("Laser"), "10.0.0.1")
    clock.advance(EXPIRY_S)
    assert roll.take(message("Laser"), "10.0.0.1")
    assert names(catalogue) == ["Laser"]


@given(
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 5), st.booleans(), st.integers(0, 9)))
)
def test_the_catalogue_never_has_more_than_the_bound(
    steps: list[tuple[int, int, bool, int]],
) -> None:
    clock = FakeClock()
    catalogue = Catalogue(clock)
    roll = BeaconRoll(catalogue)
    for name, sender, gone, seconds in steps:
        clock.advance(seconds)
        roll.take(message(f"{name}", f"10.0.0.{sender + 1}", gone=gone), f"10.0.0.{sender + 1}")
        catalogue.expire()
        assert catalogue.count(Source.BEACON) <= MOST_INSTANCES


def test_the_gate_admits_200_a_second(clock: FakeClock) -> None:
    gate = FloodGate(clock)
    admitted = 0
    for each in range(100_000):
        clock.advance(1 / 10_000)
        admitted += gate.admits(f"10.0.0.{each % 7}")
    assert admitted == pytest.approx(200 * 10, rel=0.25)


def test_the_gate_leaves_something_for_others_than_the_loudest(clock: FakeClock) -> None:
    gate = FloodGate(clock)
    assert sum(gate.admits("10.6.6.6") for _ in range(10_000)) == MOST_OF_A_SENDER
    assert gate.admits("10.0.0.1")


def test_the_gate_lets_a_burst_of_200_instances_through(clock: FakeClock) -> None:
    gate = FloodGate(clock)
    assert all(gate.admits("127.0.0.1") for _ in range(200))


def test_the_gate_is_open_again_in_the_next_window(clock: FakeClock) -> None:
    gate = FloodGate(clock)
    assert sum(gate.admits(f"{each}") for each in range(10_000)) == MOST_IN_WINDOW
    clock.advance(WINDOW_S)
    assert gate.admits("10.0.0.1")
