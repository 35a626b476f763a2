"""A service keeps its site's certificates current, and renews those of its clients."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from fakes.certificates import make_site
from fakes.clock import FakeClock
from fakes.waiting import until
from usbshare.base.errors import (
    ConfigError,
    InvalidArgumentError,
    LimitError,
    PermissionDeniedError,
)
from usbshare.base.host_names import HostNames
from usbshare.base.paths import write_private
from usbshare.rpc.identity import Identity
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import authority_rollover, certificates, identities, site_renewal, successors
from usbshare.trust.authorities import load_authorities
from usbshare.trust.signing_requests import new_request
from usbshare.trust.site import Site, ensure_job_identity, ensure_site

NOW = datetime.now(UTC)
HOST = HostNames(("localhost",), ("127.0.0.1", "::1"))


class Calendar:
    """The time of day, which a test turns on."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> Calendar:
    monkeypatch.setattr(site_renewal, "LOOK_S", 0.01)
    monkeypatch.setattr(site_renewal, "host_names", lambda _: HOST)
    return Calendar()


@asynccontextmanager
async def kept(site: Site, calendar: Calendar) -> AsyncIterator[None]:
    task = asyncio.create_task(site_renewal.keep_current(site, now=calendar.now))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def begins(path: Path) -> datetime:
    return x509.load_pem_x509_certificates(path.read_bytes())[0].not_valid_before_utc


def ends(path: Path) -> datetime:
    return x509.load_pem_x509_certificates(path.read_bytes())[0].not_valid_after_utc


def all_end_after(site: Site, moment: datetime) -> Callable[[], bool]:
    paths = (site.server_certificate, site.client_bundle, site.host_bundle)
    return lambda: all(ends(path) > moment for path in paths)


async def test_certificates_due_while_the_service_runs_are_renewed(
    site: Site, calendar: Calendar
) -> None:
    async with kept(site, calendar):
        calendar.ahead = timedelta(days=70)
        await until(all_end_after(site, calendar.now() + timedelta(days=89)))


async def test_what_was_renewed_while_the_clock_was_ahead_is_made_anew_once_it_is_right(
    site: Site, calendar: Calendar
) -> None:
    ensure_job_identity(site)
    paths = (site.server_certificate, site.client_bundle, site.host_bundle, site.job_bundle)
    async with kept(site, calendar):
        calendar.ahead = timedelta(days=365)
        await until(all_end_after(site, calendar.now() + timedelta(days=89)))
        calendar.ahead = timedelta(0)
        await until(lambda: all(begins(path) < calendar.now() < ends(path) for path in paths))


def test_a_clock_that_is_before_the_site_makes_nothing_anew(site: Site) -> None:
    before = site.server_certificate.read_bytes(), site.client_bundle.read_bytes()
    ensure_site(site.folder, HOST, NOW - timedelta(days=400))
    assert (site.server_certificate.read_bytes(), site.client_bundle.read_bytes()) == before


async def test_a_change_of_authority_is_followed_at_once(site: Site, calendar: Calendar) -> None:
    async with kept(site, calendar):
        done = authority_rollover.roll(site.folder)
        await until(lambda: len(ClientBundle.load(site.client_bundle).sites) == 2)
        assert site_renewal.serving_fingerprint(site) == done.old_fingerprint
        calendar.ahead = timedelta(days=91)
        await until(lambda: site_renewal.serving_fingerprint(site) == done.new_fingerprint)


async def test_a_site_that_is_damaged_meanwhile_is_reported_once_and_ends_nothing(
    site: Site, calendar: Calendar, caplog: pytest.LogCaptureFixture
) -> None:
    authority = site.ca_certificate.read_bytes()
    async with kept(site, calendar):
        site.ca_certificate.write_bytes(b"damaged")
        await until(lambda: "cannot keep the certificates" in caplog.text)
        site.ca_certificate.write_bytes(authority)
        site.server_certificate.unlink()
        await until(site.server_certificate.exists)
    told = [each for each in caplog.records if "cannot keep" in each.message]
    assert len(told) == 1


async def test_an_authority_that_nears_its_end_is_reported(
    site: Site, calendar: Calendar, caplog: pytest.LogCaptureFixture
) -> None:
    calendar.ahead = timedelta(days=3650 - 100)
    async with kept(site, calendar):
        await until(lambda: "`serial-svc pki roll`" in caplog.text)


def test_a_certificate_that_is_late_is_reported_once_a_day(
    site: Site, calendar: Calendar, caplog: pytest.LogCaptureFixture
) -> None:
    clock = FakeClock()
    keeper = site_renewal._Keeper(site, (), clock, calendar.now)
    (site.home / "ca.key").write_text("damaged")

    def told_after(days: int) -> int:
        caplog.clear()
        calendar.ahead = timedelta(days=days)
        for _ in range(24):
            clock.advance(3600)
            calendar.ahead += timedelta(hours=1)
            keeper.look()
        return sum("this host cannot be renewed" in each.message for each in caplog.records)

    assert told_after(65) == 0
    assert [told_after(days) for days in (76, 77, 95)] == [1, 1, 1]
    assert "ca.key is not a private key" in caplog.text


def test_a_clock_that_is_behind_is_reported(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        ensure_site(site.folder, HOST, NOW - timedelta(days=400))
    assert "set the clock" in caplog.text


def test_no_site_is_made_with_a_clock_of_1970(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this computer's clock says 1970-01-02"):
        ensure_site(tmp_path, HOST, datetime(1970, 1, 2, tzinfo=UTC))


def test_the_life_of_certificates_is_as_configured(tmp_path: Path) -> None:
    site = ensure_site(tmp_path, HOST, life=timedelta(days=7))
    assert ends(site.server_certificate) < NOW + timedelta(days=8)
    assert ends(site.client_bundle) < NOW + timedelta(days=8)


def test_a_bundle_of_another_identity_in_the_operators_place_is_not_renewed(site: Site) -> None:
    authority = load_authorities(site.home, NOW)
    key = certificates.new_key()
    long_ago = NOW - timedelta(days=80)
    uri = f"usbshare://{site.id}/office-pc"
    issued = certificates.issue_client(authority.clients, key, uri, long_ago)
    parts = (certificates.key_pem(key), certificates.certificate_pem(issued), authority.pem)
    write_private(site.client_bundle, b"".join(parts))
    make_site(site.folder)
    assert ClientBundle.load(site.client_bundle).certificate == issued


def test_a_revoked_operator_stays_revoked(site: Site) -> None:
    identities.revoke(identities.registry_path(site.folder), site.operator_uri, "", NOW)
    before = site.client_bundle.read_bytes()
    make_site(site.folder, now=NOW + timedelta(days=80))
    assert site.client_bundle.read_bytes() == before


# What clients ask for.


def caller(
    site: Site, name: str = "office-pc", *, days_ago: float = 70, serial: int = 7
) -> Identity:
    """Return who calls with a certificate of 90 days that was issued so long ago."""
    issued = NOW - timedelta(days=days_ago)
    end = issued + timedelta(days=90)
    return Identity(f"usbshare://{site.id}/{name}", "192.0.2.7:40000", issued, end, serial)


def renewed(site: Site, who: Identity, now: datetime = NOW) -> site_renewal.Renewed:
    return site_renewal.renew(site, who, new_request(certificates.new_key(), "x"), now)


def registry(site: Site) -> Path:
    return identities.registry_path(site.folder)


def test_a_client_gets_a_certificate_for_its_own_identity(site: Site) -> None:
    key = certificates.new_key()
    got = site_renewal.renew(site, caller(site), new_request(key, "somebody-else"))
    issued = x509.load_pem_x509_certificate(got.certificate_pem.encode())
    assert certificates.uris(issued) == [caller(site).name]
    assert certificates.is_pair(issued, key)
    assert got.authorities_pem.encode() == site.ca_certificate.read_bytes()
    record = identities.read_identities(identities.registry_path(site.folder))[caller(site).name]
    assert record.expires == issued.not_valid_after_utc


def test_while_an_authority_changes_clients_get_the_new_one_and_trust_both(site: Site) -> None:
    done = authority_rollover.roll(site.folder)
    # Though it is not due: it is to know both in time.
    got = renewed(site, caller(site, days_ago=1))
    new, old = x509.load_pem_x509_certificates(got.authorities_pem.encode())
    assert certificates.fingerprint(new.public_key()) == done.new_fingerprint
    assert certificates.fingerprint(old.public_key()) == done.old_fingerprint
    assert certificates.is_issued_by(
        x509.load_pem_x509_certificate(got.certificate_pem.encode()), new
    )


@pytest.mark.parametrize("name", ["insecure", "usbshare://0123456789ab/operator"])
def test_a_caller_from_another_site_gets_none(site: Site, name: str) -> None:
    request = new_request(certificates.new_key(), "x")
    with pytest.raises(PermissionDeniedError, match="of this site"):
        site_renewal.renew(site, Identity(name, "192.0.2.7:1"), request)


def test_the_services_own_certificate_is_renewed_from_its_files_only(site: Site) -> None:
    before = site.host_bundle.read_bytes()
    request = new_request(certificates.new_key(), "host")
    with pytest.raises(PermissionDeniedError, match="from its files"):
        site_renewal.renew(site, caller(site, "host"), request)
    assert site.host_bundle.read_bytes() == before


def test_an_invalid_request_is_refused(site: Site) -> None:
    with pytest.raises(InvalidArgumentError, match="certificate_request"):
        site_renewal.renew(site, caller(site), "nonsense")


@pytest.mark.parametrize(("days_ago", "is_due"), [(0, False), (57, False), (60, True), (89, True)])
def test_a_certificate_is_renewed_in_the_last_third_of_its_life_and_no_sooner(
    site: Site, days_ago: float, is_due: bool
) -> None:
    who = caller(site, days_ago=days_ago)
    if is_due:
        renewed(site, who)
        return
    with pytest.raises(PermissionDeniedError, match="not due for renewal"):
        renewed(site, who)


def test_while_an_authority_changes_one_of_the_new_one_is_not_renewed_again(site: Site) -> None:
    authority_rollover.roll(site.folder)
    with pytest.raises(PermissionDeniedError, match="not due"):
        renewed(site, caller(site, days_ago=-1 / 24), NOW + timedelta(hours=2))


def test_once_the_new_one_is_used_the_old_one_is_void_and_gets_no_other(site: Site) -> None:
    old = caller(site)
    new = renewed(site, old)
    standing = identities.read_standing(registry(site))
    assert standing.awaited == {f"{new.serial:x}"}
    assert standing.void == {}
    renewed(site, old)  # the answer may have been lost
    identities.note_use(registry(site), old.name, f"{new.serial:x}", NOW)
    standing = identities.read_standing(registry(site))
    assert standing.void[f"{old.serial:x}"] == NOW + successors.GRACE
    assert standing.awaited == frozenset()
    with pytest.raises(PermissionDeniedError, match=r"was already renewed.*its file was copied"):
        renewed(site, old)


def test_of_two_that_were_got_for_one_the_first_that_is_used_counts(site: Site) -> None:
    old = caller(site)
    one, two = renewed(site, old), renewed(site, old)
    identities.note_use(registry(site), old.name, f"{two.serial:x}", NOW)
    later = NOW + timedelta(minutes=1)
    identities.note_use(registry(site), old.name, f"{one.serial:x}", later)
    standing = identities.read_standing(registry(site))
    assert standing.void[f"{one.serial:x}"] == NOW
    assert f"{two.serial:x}" not in standing.void


def test_only_so_many_are_made_for_one_that_are_not_used(site: Site) -> None:
    old = caller(site)
    for _ in range(successors.MOST_UNUSED):
        renewed(site, old)
    with pytest.raises(LimitError, match="never used"):
        renewed(site, old)


def test_renewing_the_operators_certificate_voids_copies_of_the_old_one(site: Site) -> None:
    def serial() -> int:
        return x509.load_pem_x509_certificates(site.client_bundle.read_bytes())[0].serial_number

    before = serial()
    make_site(site.folder, now=NOW + timedelta(days=80))
    after = serial()
    assert after != before
    identities.note_use(registry(site), site.operator_uri, f"{after:x}", NOW)
    assert f"{before:x}" in identities.read_standing(registry(site)).void


def test_expired_renewals_are_forgotten(site: Site) -> None:
    first = renewed(site, caller(site))
    later = NOW + timedelta(days=200)
    who = replace(caller(site, serial=8), issued=later - timedelta(days=70))
    renewed(site, replace(who, expires=later + timedelta(days=20)), later)
    record = identities.read_identities(registry(site))[who.name]
    assert [each.old for each in record.renewals] == ["8"]
    assert first.serial not in {int(each.new, 16) for each in record.renewals}
