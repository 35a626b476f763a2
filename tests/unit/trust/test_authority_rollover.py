"""A site's authority is changed: both count for a while, and no step leaves it unusable."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from fakes.certificates import make_site
from usbshare.base.errors import ConfigError
from usbshare.base.paths import write_private
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import authority_rollover, certificates
from usbshare.trust.authorities import OVERLAP_FILE, load_authorities
from usbshare.trust.site import Site

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=91)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path, now=NOW)


def again(site: Site, now: datetime = NOW) -> Site:
    """Return the site as a service that starts then finds it."""
    return make_site(site.folder, now=now)


def authorities_of(path: Path) -> list[str]:
    found = x509.load_pem_x509_certificates(path.read_bytes())
    return [certificates.fingerprint(each.public_key()) for each in found]


def server_is_of(site: Site, fingerprint: str) -> bool:
    server = x509.load_pem_x509_certificate(site.server_certificate.read_bytes())
    trusted = x509.load_pem_x509_certificates(site.ca_certificate.read_bytes())
    issuer = next(each for each in trusted if certificates.is_issued_by(server, each))
    return certificates.fingerprint(issuer.public_key()) == fingerprint


def test_both_authorities_are_trusted_the_new_one_first(site: Site) -> None:
    done = authority_rollover.roll(site.folder, now=NOW)
    assert done.old_fingerprint == site.fingerprint != done.new_fingerprint
    assert done.overlap_end == NOW + timedelta(days=90)
    assert authorities_of(site.ca_certificate) == [done.new_fingerprint, done.old_fingerprint]


def test_the_host_keeps_its_certificate_until_the_overlap_ends(site: Site) -> None:
    before = site.server_certificate.read_bytes()
    done = authority_rollover.roll(site.folder, now=NOW)
    rolling = again(site)
    assert rolling.fingerprint == site.fingerprint
    assert site.server_certificate.read_bytes() == before
    after = again(site, LATER)
    assert after.fingerprint == done.new_fingerprint
    assert server_is_of(after, done.new_fingerprint)
    assert authorities_of(site.ca_certificate) == [done.new_fingerprint]
    assert not (site.home / OVERLAP_FILE).exists()


def test_clients_get_certificates_of_the_new_authority_that_trust_both(site: Site) -> None:
    done = authority_rollover.roll(site.folder, now=NOW)
    again(site)
    for path in (site.client_bundle, site.host_bundle):
        bundle = ClientBundle.load(path, NOW)
        assert bundle.sites == (done.new_fingerprint, done.old_fingerprint)
        assert bundle.is_consistent
        new = x509.load_pem_x509_certificates(bundle.authorities)[0]
        assert certificates.is_issued_by(bundle.certificate, new)
    again(site, LATER)
    assert ClientBundle.load(site.client_bundle, LATER).sites == (done.new_fingerprint,)


def test_the_sites_id_and_its_identities_stay(site: Site) -> None:
    authority_rollover.roll(site.folder, now=NOW)
    after = again(site, LATER)
    assert after.id == site.id
    assert not after.fingerprint.startswith(site.id)
    certificate = ClientBundle.load(after.client_bundle, LATER).certificate
    assert certificates.uris(certificate) == [site.operator_uri]


def test_a_site_of_before_gets_the_id_that_it_had(site: Site) -> None:
    (site.home / "id").unlink()
    assert again(site).id == site.fingerprint[:12]


def test_a_change_can_be_finished_at_once(site: Site) -> None:
    done = authority_rollover.roll(site.folder, now=NOW)
    finished = authority_rollover.finish(site.folder, NOW + timedelta(days=1))
    assert finished.new_fingerprint == done.new_fingerprint
    assert authorities_of(site.ca_certificate) == [done.new_fingerprint]
    assert again(site, NOW + timedelta(days=1)).fingerprint == done.new_fingerprint


def test_without_an_overlap_the_old_one_counts_no_more(site: Site) -> None:
    done = authority_rollover.roll(site.folder, timedelta(0), NOW)
    assert authorities_of(site.ca_certificate) == [done.new_fingerprint]
    assert again(site).fingerprint == done.new_fingerprint


def test_one_change_at_a_time(site: Site) -> None:
    authority_rollover.roll(site.folder, now=NOW)
    with pytest.raises(ConfigError, match="already in progress, until 2030-04-01"):
        authority_rollover.roll(site.folder, now=NOW)


def test_nothing_is_finished_that_has_not_begun(site: Site, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`pki roll` starts one"):
        authority_rollover.finish(site.folder, NOW)
    with pytest.raises(ConfigError, match="there is no site"):
        authority_rollover.roll(tmp_path / "nowhere")


def test_an_old_authority_that_ends_first_ends_the_overlap(site: Site) -> None:
    near_its_end = NOW + timedelta(days=3649)
    done = authority_rollover.roll(site.folder, now=near_its_end)
    assert done.overlap_end == NOW + timedelta(days=3650)
    assert again(site, NOW + timedelta(days=3651)).fingerprint == done.new_fingerprint


class CutShortError(Exception):
    """The machine lost its power."""


def breaking_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the power fail before a file is written, after so many have been."""
    left = iter(range(step))

    def write_or_break(path: Path, content: bytes) -> None:
        if next(left, None) is None:
            raise CutShortError
        write_private(path, content)

    monkeypatch.setattr(authority_rollover, "write_private", write_or_break)


@pytest.mark.parametrize("step", range(6))
def test_a_power_cut_at_any_step_leaves_a_site_that_continues(
    site: Site, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_client = ClientBundle.load(site.client_bundle, NOW)
    with monkeypatch.context() as patch:
        breaking_at(step, patch)
        try:
            authority_rollover.roll(site.folder, now=NOW)
            authority_rollover.finish(site.folder, NOW)
        except CutShortError:
            pass
    found = again(site, NOW)
    assert found.id == site.id
    trusted = load_authorities(site.home, NOW)
    assert server_is_of(found, found.fingerprint)
    if found.fingerprint == site.fingerprint:
        assert any(
            certificates.is_issued_by(old_client.certificate, each) for each in trusted.trusted
        )
    if trusted.overlap_end is None and found.fingerprint == site.fingerprint:
        authority_rollover.roll(site.folder, now=NOW)
    after = again(site, LATER)
    assert after.fingerprint != site.fingerprint
    assert len(authorities_of(site.ca_certificate)) == 1
