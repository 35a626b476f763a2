"""The client's bundle: every way it can be wrong is told in one line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.certificates import CLIENT, SERVER, issue, make_site, write_bundle, write_site
from usbshare.base.errors import ConfigError
from usbshare.rpc.tls import ClientBundle, server_credentials, ssl_context


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        ClientBundle.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_sites_own_bundle_is_good(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    bundle = ClientBundle.load(site.client_bundle)
    assert bundle.authorities == site.ca_certificate.read_bytes()
    assert bundle.warning is None
    assert bundle.is_consistent
    assert ssl_context(bundle).check_hostname


def test_a_bundle_never_shows_its_key(tmp_path: Path) -> None:
    assert "PRIVATE KEY" not in repr(ClientBundle.load(make_site(tmp_path).client_bundle))


def test_a_missing_bundle_is_reported_with_the_file_to_copy(tmp_path: Path) -> None:
    assert "have the host invite this computer" in refusal(tmp_path / "client.pem")


def test_a_folder_is_no_bundle(tmp_path: Path) -> None:
    assert "cannot read" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nx\n"])
def test_text_that_is_not_pem_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "client.pem"
    path.write_bytes(content)
    assert "is not a client bundle" in refusal(path)


def test_a_bundle_without_certificate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "client.pem"
    path.write_bytes(issue().key_pem)
    assert "is not a client bundle" in refusal(path)


def test_a_bundle_without_authority_is_refused(tmp_path: Path) -> None:
    assert "lacks the CA" in refusal(write_bundle(tmp_path / "client.pem", issue(issue())))


def test_a_key_of_another_certificate_is_refused(tmp_path: Path) -> None:
    ca = issue()
    path = tmp_path / "client.pem"
    path.write_bytes(issue(ca).key_pem + issue(ca).pem + ca.pem)
    assert "does not belong to the certificate" in refusal(path)


def test_an_expired_certificate_is_refused_with_its_date(tmp_path: Path) -> None:
    ca = issue()
    path = write_bundle(tmp_path / "client.pem", issue(ca, to_days=-0.5), ca)
    date = datetime.now(UTC) - timedelta(days=0.5)
    assert f"expired on {date:%Y-%m-%d}" in refusal(path)


def test_a_certificate_of_the_future_points_at_the_clock(tmp_path: Path) -> None:
    ca = issue()
    path = write_bundle(tmp_path / "client.pem", issue(ca, from_days=1), ca)
    assert "check this computer's clock" in refusal(path)


def test_a_servers_certificate_is_no_clients(tmp_path: Path) -> None:
    ca = issue()
    path = write_bundle(tmp_path / "client.pem", issue(ca, usage=SERVER), ca)
    assert "is not for clients" in refusal(path)


def test_a_bundle_that_others_may_read_is_used_with_a_warning(tmp_path: Path) -> None:
    ca = issue()
    path = write_bundle(tmp_path / "client.pem", issue(ca, usage=CLIENT), ca)
    path.chmod(0o644)
    assert ClientBundle.load(path).warning == (
        f"other users can read the private key in {path}: run `chmod 600 {path}`"
    )


def test_a_bundle_that_vanished_since_is_named(tmp_path: Path) -> None:
    bundle = ClientBundle.load(make_site(tmp_path).client_bundle)
    bundle.path.unlink()
    with pytest.raises(ConfigError, match=r"can no longer read .*client\.pem"):
        ssl_context(bundle)


def test_server_credentials_need_a_pair(tmp_path: Path) -> None:
    ca = issue()
    site = write_site(tmp_path, ca, issue(ca))
    site.server_key.write_bytes(ca.key_pem)
    with pytest.raises(ConfigError, match="does not belong"):
        server_credentials(site)
