"""What the programs of one host register, together and one after the other, and no others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from fakes.clock import FakeClock
from usbshare.base.errors import InvalidArgumentError, LimitError, PermissionDeniedError
from usbshare.discovery_svc import registrations
from usbshare.discovery_svc.registrations import (
    MOST_LEASES,
    Offer,
    Registrations,
    require_own_host,
)
from usbshare.hosts.instance import Endpoint, Kind

SERIAL = Offer((Endpoint(Kind.SERIAL, 50051),), ("laser", "mill"))
CAMERA = Offer((Endpoint(Kind.CAMERA, 50052),))
OTHER_SERIAL = Offer((Endpoint(Kind.SERIAL, 60051),), ("engraver",))


class Desk:
    """Registrations, and all that they said is offered."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.offers: list[Offer] = []
        self.registrations = Registrations(self.clock, self.offers.append)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_the_same_service_of_several_programs_is_one_offer(desk: Desk) -> None:
    desk.registrations.take("serial", SERIAL, 30)
    desk.registrations.take("camera", CAMERA, 30)
    both = Offer((*SERIAL.endpoints, *CAMERA.endpoints), SERIAL.port_ids)
    assert desk.offers == [SERIAL, both]


def test_a_registration_that_ended_is_no_longer_offered(desk: Desk) -> None:
    serial = desk.registrations.take("serial", SERIAL, 30)
    camera = desk.registrations.take("camera", CAMERA, 30)
    desk.registrations.end(serial)
    desk.registrations.end(camera)
    assert desk.offers[2:] == [CAMERA, Offer()]
    assert len(desk.registrations) == 0


def test_the_older_of_two_for_a_kind_stays_and_the_newer_follows_it(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    first = desk.registrations.take("first", SERIAL, 30)
    desk.registrations.take("second", OTHER_SERIAL, 30)
    assert desk.registrations.offer == SERIAL
    assert "second offers a serial service at port 60051" in caplog.text
    desk.registrations.end(first)
    assert desk.offers == [SERIAL, OTHER_SERIAL]


def test_an_empty_offer_renews_the_current_one(desk: Desk) -> None:
    lease = desk.registrations.take("serial", SERIAL, 30)
    desk.clock.advance(29)
    assert desk.registrations.left_s(lease) == 1
    desk.registrations.renew(lease, Offer(), 10)
    assert desk.registrations.left_s(lease) == 10
    assert desk.offers == [SERIAL]


def test_another_offer_replaces_the_previous_one(desk: Desk) -> None:
    lease = desk.registrations.take("serial", SERIAL, 30)
    fewer = Offer(SERIAL.endpoints, ("laser",))
    desk.registrations.renew(lease, fewer, 30)
    assert desk.offers == [SERIAL, fewer]


def test_a_lease_that_was_not_renewed_leaves_nothing(desk: Desk) -> None:
    lease = desk.registrations.take("serial", SERIAL, 30)
    desk.clock.advance(31)
    assert desk.registrations.left_s(lease) == 0


def test_a_registration_without_a_service_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidArgumentError, match="endpoints"):
        desk.registrations.take("nobody", Offer(), 30)
    lease = desk.registrations.take("serial", SERIAL, 30)
    with pytest.raises(InvalidArgumentError, match="endpoints"):
        desk.registrations.renew(lease, Offer((), ("laser",)), 30)
    assert desk.registrations.offer == SERIAL


def test_registrations_are_bounded(desk: Desk) -> None:
    for _ in range(MOST_LEASES):
        desk.registrations.take("serial", SERIAL, 30)
    with pytest.raises(LimitError, match="64 programs"):
        desk.registrations.take("one more", SERIAL, 30)
    assert len(desk.registrations) == MOST_LEASES


# Who may register.


@dataclass
class Ip:
    ip: str | tuple[str, int, int]


@dataclass
class Adapter:
    ips: Sequence[Ip]


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have two addresses beside loopback."""
    adapters = [Adapter([Ip("192.0.2.1"), Ip(("fe80::1", 0, 2))])]
    monkeypatch.setattr("ifaddr.get_adapters", lambda: adapters)


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize(
    "peer",
    [
        "127.0.0.1:4000",
        "127.9.9.9:4000",
        "[::1]:4000",
        "[::ffff:127.0.0.1]:4000",
        "192.0.2.1:4000",
        "[::ffff:192.0.2.1]:4000",
        "[fe80::1%eth0]:4000",
    ],
)
def test_a_program_of_this_host_may(peer: str) -> None:
    require_own_host(peer)


@pytest.mark.usefixtures("addresses")
@pytest.mark.parametrize(
    "peer",
    ["192.0.2.2:4000", "[::ffff:192.0.2.2]:4000", "[fd00::1]:4000", "[fe80::2%eth0]:4000", "", "x"],
)
def test_any_other_user_may_not(peer: str) -> None:
    with pytest.raises(PermissionDeniedError, match="only programs on this computer"):
        require_own_host(peer)


def test_the_addresses_of_this_host_are_looked_up() -> None:
    assert any(str(each).startswith("127.") for each in registrations._own_addresses())
