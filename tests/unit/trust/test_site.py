"""The site's authority: made once, never overwritten, its certificates renewed in time."""

from __future__ import annotations

import logging
import multiprocessing
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fakes.certificates import LOOPBACK, issue, make_site, write_bundle
from usbshare.base.errors import ConfigError
from usbshare.base.file_lock import file_lock
from usbshare.base.host_names import HostNames
from usbshare.trust import certificates
from usbshare.trust.identities import registry_path, revoke
from usbshare.trust.site import Site, ensure_job_identity, ensure_site

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def contents(site: Site) -> dict[str, bytes]:
    files = [path for path in site.folder.rglob("*") if path.is_file()]
    return {path.name: path.read_bytes() for path in files}


def server_certificate(site: Site) -> x509.Certificate:
    return x509.load_pem_x509_certificate(site.server_certificate.read_bytes())


def client_certificate(site: Site) -> x509.Certificate:
    return certificates.load_bundle(site.client_bundle.read_bytes()).certificate


def ensure_in_child(folder: Path, start: object, results: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    results.put(ensure_site(folder, LOOPBACK).fingerprint)  # type: ignore[attr-defined]


def test_first_start_makes_everything(tmp_path: Path) -> None:
    site = make_site(tmp_path / "home", now=NOW)
    assert site.is_new
    assert set(contents(site)) == {
        *("ca.crt", "ca.key", "id", "server.crt", "server.key", "host.pem", "client.pem"),
        *("identities.json", ".lock", ".identities.lock"),
    }


def test_keys_and_folders_are_the_owners_only(tmp_path: Path) -> None:
    site = make_site(tmp_path / "home")
    for path in (site.server_key, site.client_bundle, tmp_path / "home" / "site" / "ca.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "home" / "site").stat().st_mode) == 0o700


def test_second_start_changes_nothing(tmp_path: Path) -> None:
    first = make_site(tmp_path, now=NOW)
    before = contents(first)
    second = make_site(tmp_path, now=NOW + timedelta(days=50))
    assert contents(second) == before
    assert second.fingerprint == first.fingerprint
    assert not second.is_new


def test_server_certificate_is_for_every_name_of_the_host(tmp_path: Path) -> None:
    names = HostNames(("laser", "laser.local"), ("127.0.0.1", "fd00::2"))
    certificate = server_certificate(make_site(tmp_path, names, NOW))
    assert certificates.subject_names(certificate) == (set(names.dns), set(names.addresses))
    assert certificates.is_for(certificate, ExtendedKeyUsageOID.SERVER_AUTH)
    assert not certificates.is_for(certificate, ExtendedKeyUsageOID.CLIENT_AUTH)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=90)


def test_client_certificate_names_the_operator_of_the_site(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    certificate = client_certificate(site)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    uris = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert uris == [f"usbshare://{site.id}/operator"]
    (common_name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert common_name.value == "operator"
    assert certificates.is_for(certificate, ExtendedKeyUsageOID.CLIENT_AUTH)


def test_fingerprint_is_that_of_the_authoritys_key(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    authority = x509.load_pem_x509_certificate(site.ca_certificate.read_bytes())
    assert site.fingerprint == certificates.fingerprint(authority.public_key())
    assert site.fingerprint.startswith(site.id)


def test_certificates_past_two_thirds_of_their_life_are_issued_again(tmp_path: Path) -> None:
    old = make_site(tmp_path, now=NOW)
    old_server, old_client = server_certificate(old), client_certificate(old)
    new = make_site(tmp_path, now=NOW + timedelta(days=65))
    assert server_certificate(new).not_valid_after_utc > old_server.not_valid_after_utc
    assert client_certificate(new).not_valid_after_utc > old_client.not_valid_after_utc
    assert new.fingerprint == old.fingerprint


def test_a_new_name_of_the_host_issues_its_certificate_again(tmp_path: Path) -> None:
    client = client_certificate(make_site(tmp_path))
    site = make_site(tmp_path, HostNames(("laser", "localhost"), ("127.0.0.1", "::1")))
    assert "laser" in certificates.subject_names(server_certificate(site))[0]
    assert client_certificate(site) == client


def test_a_name_that_went_away_stays_until_renewal(tmp_path: Path) -> None:
    site = make_site(tmp_path, HostNames(("laser", "localhost"), ("127.0.0.1", "::1")))
    before = contents(site)
    make_site(tmp_path)
    assert contents(site) == before


@pytest.mark.parametrize("name", ["server.crt", "server.key"])
@pytest.mark.parametrize("damage", [b"", b"-----BEGIN nonsense", None])
def test_an_unreadable_server_file_is_made_again(
    tmp_path: Path, name: str, damage: bytes | None
) -> None:
    path = make_site(tmp_path).folder / "site" / name
    path.unlink() if damage is None else path.write_bytes(damage)
    site = make_site(tmp_path)
    pair = certificates.load_bundle(
        site.server_key.read_bytes() + site.server_certificate.read_bytes()
    )
    authority = x509.load_pem_x509_certificate(site.ca_certificate.read_bytes())
    assert certificates.is_issued_by(pair.certificate, authority)


def test_a_server_certificate_of_another_authority_is_issued_again(tmp_path: Path) -> None:
    site, other = make_site(tmp_path / "one"), make_site(tmp_path / "two")
    for path in ("site/server.crt", "site/server.key"):
        (site.folder / path).write_bytes((other.folder / path).read_bytes())
    make_site(site.folder)
    authority = x509.load_pem_x509_certificate(site.ca_certificate.read_bytes())
    assert certificates.is_issued_by(server_certificate(site), authority)


@pytest.mark.parametrize("name", ["site/ca.crt", "site/ca.key", "client.pem"])
def test_a_damaged_file_that_cannot_be_made_again_is_named(tmp_path: Path, name: str) -> None:
    path = make_site(tmp_path).folder / name
    path.write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=rf"{path} .*remove"):
        make_site(tmp_path)
    assert path.read_bytes() == b"damaged"


def test_an_authority_without_its_key_is_refused(tmp_path: Path) -> None:
    make_site(tmp_path)
    (tmp_path / "site" / "ca.key").unlink()
    with pytest.raises(ConfigError, match=r"ca\.key is missing: restore it from a backup"):
        make_site(tmp_path)


def test_an_authority_with_another_key_is_refused(tmp_path: Path) -> None:
    make_site(tmp_path)
    (tmp_path / "site" / "ca.key").write_bytes(issue().key_pem)
    with pytest.raises(ConfigError, match=r"ca\.crt does not belong to ca\.key"):
        make_site(tmp_path)


def test_an_expired_authority_is_refused(tmp_path: Path) -> None:
    make_site(tmp_path, now=NOW)
    with pytest.raises(ConfigError, match=r"ca\.crt has expired"):
        make_site(tmp_path, now=NOW + timedelta(days=3651))


def test_a_first_start_that_was_cut_short_is_completed(tmp_path: Path) -> None:
    first = make_site(tmp_path)
    first.ca_certificate.unlink()
    second = make_site(tmp_path)
    assert second.fingerprint == first.fingerprint
    authority = x509.load_pem_x509_certificate(second.ca_certificate.read_bytes())
    assert certificates.is_issued_by(client_certificate(second), authority)


def test_a_bundle_of_another_site_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = issue()
    path = write_bundle(tmp_path / "client.pem", issue(other), other)
    before = path.read_bytes()
    with caplog.at_level(logging.WARNING):
        make_site(tmp_path)
    assert path.read_bytes() == before
    assert "belongs to another site" in caplog.text


def test_an_authoritys_key_that_others_may_read_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_site(tmp_path)
    (tmp_path / "site" / "ca.key").chmod(0o644)
    with caplog.at_level(logging.WARNING):
        make_site(tmp_path)
    assert "chmod 600" in caplog.text


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot use .*file"):
        make_site(tmp_path / "file" / "home")


def test_processes_that_start_at_once_agree_on_one_site(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(3), context.Queue()
    arguments = (tmp_path, start, results)
    children = [context.Process(target=ensure_in_child, args=arguments) for _ in range(3)]
    for child in children:
        child.start()
    fingerprints = {results.get(timeout=60) for _ in children}
    for child in children:
        child.join(timeout=60)
    assert fingerprints == {make_site(tmp_path).fingerprint}


def test_a_held_lock_is_waited_for_and_then_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with (
        file_lock(path),
        pytest.raises(ConfigError, match=rf"another process has held {path}"),
        file_lock(path, timeout_s=0),
    ):
        pass
    with file_lock(path, timeout_s=0):
        pass


def test_the_job_services_identity_is_made_when_it_starts_and_renewed_with_the_others(
    tmp_path: Path,
) -> None:
    site = make_site(tmp_path / "home", now=NOW)
    assert not site.job_bundle.exists()
    path = ensure_job_identity(site, NOW)
    bundle = certificates.load_bundle(path.read_bytes())
    assert certificates.uris(bundle.certificate) == [f"usbshare://{site.id}/job-svc"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ensure_job_identity(site, NOW + timedelta(days=1)).read_bytes() == path.read_bytes()
    before = path.read_bytes()
    make_site(tmp_path / "home", now=NOW + timedelta(days=80))
    assert path.read_bytes() != before


def test_a_job_service_that_was_shut_out_stays_so(tmp_path: Path) -> None:
    site = make_site(tmp_path / "home", now=NOW)
    before = ensure_job_identity(site, NOW).read_bytes()
    revoke(registry_path(site.folder), site.job_uri, "", NOW)
    later = NOW + timedelta(days=80)
    assert ensure_job_identity(site, later).read_bytes() == before
