"""Where an invitation says that the host is."""

from __future__ import annotations

import pytest

from usbshare.base.errors import InvalidArgumentError
from usbshare.enrolment import invitation_maker
from usbshare.enrolment.invitation_maker import checked_addresses, own_addresses
from usbshare.hosts.interfaces import Interface

WIFI = Interface("wlan0", 2, ("192.0.2.7",), ("fd00::7", "fe80::7%wlan0"))
CABLE = Interface("eth0", 3, (), ("fe80::1%eth0",))


@pytest.mark.parametrize(
    ("interfaces", "addresses"),
    [
        ([WIFI, CABLE], ["192.0.2.7", "fd00::7"]),
        ([CABLE], ["fe80::1"]),  # each computer has its own names of interfaces
        ([], ["127.0.0.1"]),
    ],
)
def test_own_addresses_are_those_that_others_can_use(
    interfaces: list[Interface], addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitation_maker, "interfaces_up", lambda chosen: interfaces)
    assert own_addresses("[::]:50054") == addresses


def test_an_address_that_is_listened_at_has_no_scope_elsewhere() -> None:
    assert own_addresses("[fe80::1%eth0]:50054") == ["fe80::1"]
    assert checked_addresses(["fe80::1%eth0", "laser.local"]) == ["fe80::1", "laser.local"]


def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'a b' is neither"):
        checked_addresses(["a b"])
