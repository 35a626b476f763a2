"""The registry: newest certificates, and revocations that none of them slips past."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fakes.certificates import make_site
from usbshare.base.errors import ConfigError
from usbshare.trust import certificates, identities
from usbshare.trust.authorities import load_authorities
from usbshare.trust.site import Site

NOW = datetime(2030, 1, 1, 12, 0, 0, 300_000, tzinfo=UTC)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "policy.toml").unlink(missing_ok=True)
    return make_site(tmp_path, now=NOW - timedelta(days=1))


@pytest.fixture
def registry(site: Site) -> Path:
    return identities.registry_path(site.folder)


def uri_of(site: Site, name: str = "office-pc") -> str:
    return f"usbshare://{site.id}/{name}"


def note(site: Site, now: datetime, **more: Any) -> identities.IdentityRecord:
    authority = load_authorities(site.home, now).clients
    issued = certificates.issue_client(authority, certificates.new_key(), uri_of(site), now)
    path = identities.registry_path(site.folder)
    return identities.note_issued(path, uri_of(site), issued, **more)


def test_the_newest_certificate_is_kept_with_what_was_known(site: Site, registry: Path) -> None:
    note(site, NOW, role="operators", address="192.0.2.7")
    later = note(site, NOW + timedelta(days=60))
    assert identities.read_identities(registry)[uri_of(site)] == later
    assert (later.name, later.role, later.address) == ("office-pc", "operators", "192.0.2.7")
    assert later.expires == (NOW + timedelta(days=150)).replace(microsecond=0)
    assert not later.is_revoked


def test_only_the_owner_may_read_the_registry(site: Site, registry: Path) -> None:
    note(site, NOW)
    assert stat.S_IMODE(registry.stat().st_mode) == 0o600


def test_no_registry_means_no_one_is_known_or_revoked(tmp_path: Path) -> None:
    assert identities.read_identities(tmp_path / "none.json") == {}
    assert identities.read_revocations(tmp_path / "none.json") == {}


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"identities": [{"name": "x"}]}', '{"identities": [{"uri": "u"}]}']
)
def test_a_damaged_registry_is_an_error_and_not_an_empty_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "identities.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="cannot be read"):
        identities.read_revocations(path)


def test_a_certificate_of_the_same_second_is_revoked_too(site: Site, registry: Path) -> None:
    issued = note(site, NOW).issued
    identities.revoke(registry, uri_of(site), "stolen", NOW)
    moment = identities.read_revocations(registry)[uri_of(site)]
    assert issued is not None
    assert issued <= moment
    assert moment >= NOW
    assert identities.read_identities(registry)[uri_of(site)].is_revoked


def test_a_certificate_after_a_revocation_counts_even_within_its_second(
    site: Site, registry: Path
) -> None:
    note(site, NOW)
    revoked = identities.revoke(registry, uri_of(site), "", NOW).revoked_at
    moment = identities.moment_to_issue(registry, uri_of(site), NOW)
    issued = note(site, moment).issued
    assert issued is not None
    assert revoked is not None
    assert issued > revoked
    assert not identities.read_identities(registry)[uri_of(site)].is_revoked


def test_certificates_issued_while_the_clock_was_ahead_are_revoked_too(
    site: Site, registry: Path
) -> None:
    ahead = NOW + timedelta(days=3)
    note(site, ahead)
    identities.revoke(registry, uri_of(site), "", NOW)
    assert identities.read_identities(registry)[uri_of(site)].is_revoked
    assert note(site, identities.moment_to_issue(registry, uri_of(site), NOW)).is_revoked is False


def test_an_older_one_of_a_clock_that_was_ahead_is_revoked_too(site: Site, registry: Path) -> None:
    def barred() -> frozenset[str]:
        return identities.read_standing(registry).barred

    ahead = note(site, NOW + timedelta(days=30)).certificates[-1].serial
    newer = note(site, NOW).certificates[-1].serial
    identities.revoke(registry, uri_of(site), "", NOW)
    assert barred() == {ahead}
    moment = identities.moment_to_issue(registry, uri_of(site), NOW)
    assert moment <= NOW + timedelta(seconds=2), "who is invited again can use it at once"
    again = note(site, moment)
    assert not again.is_revoked
    assert barred() == {ahead}
    assert newer not in barred()


def test_a_revocation_by_a_clock_that_is_behind_misses_nothing(site: Site, registry: Path) -> None:
    serial = note(site, NOW).certificates[-1].serial
    identities.revoke(registry, uri_of(site), "", NOW - timedelta(days=400))
    assert identities.read_standing(registry).barred == {serial}
    assert identities.read_identities(registry)[uri_of(site)].is_revoked


def test_an_unrecorded_identity_can_be_revoked(site: Site, registry: Path) -> None:
    identities.revoke(registry, uri_of(site, "older-pc"), "", NOW)
    assert uri_of(site, "older-pc") in identities.read_revocations(registry)


def test_other_identities_get_certificates_at_once(site: Site, registry: Path) -> None:
    identities.revoke(registry, uri_of(site), "", NOW + timedelta(days=1))
    assert identities.moment_to_issue(registry, uri_of(site, "other"), NOW) == NOW
