"""Where an invitation says that the host is, and by whom its own certificate is signed."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.certificates import make_site
from usbshare.base.errors import ConfigError, InvalidArgumentError
from usbshare.enrolment import invitation_maker
from usbshare.enrolment.invitation_maker import authority, checked_addresses, own_addresses
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


def test_an_invalid_address_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="'a b' is neither"):
        checked_addresses(["a b"])


def test_a_certificate_of_another_site_is_named_with_what_helps(tmp_path: Path) -> None:
    site, other = make_site(tmp_path / "site"), make_site(tmp_path / "other")
    site.server_certificate.write_bytes(other.server_certificate.read_bytes())
    with pytest.raises(ConfigError, match=r"server\.crt is signed by no authority in .*: restart"):
        authority(site)
    site.server_certificate.write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="is not a certificate"):
        authority(site)
