"""What `serial-svc doctor` says of certificates, keys and authorities."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fakes.certificates import (
    LOOPBACK,
    SERVER,
    Issued,
    issue,
    make_site,
    write_bundle,
    write_site,
)
from usbshare.base.checkup import Verdict
from usbshare.service.checkup import host
from usbshare.trust import authority_rollover
from usbshare.trust.certificate_checks import judge_key_rights
from usbshare.trust.site import Site

NOW = datetime.now(UTC)


def test_a_new_site_is_fine(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    assert host.judge_authority(site, NOW).verdict is Verdict.OK
    certificate = host.judge_host_certificate(site, LOOPBACK, NOW)
    assert certificate.verdict is Verdict.OK
    assert "days left" in certificate.measured
    assert host.judge_own_bundle(site.client_bundle, site, NOW).verdict is Verdict.OK


def test_before_the_first_start_there_is_nothing_to_blame(tmp_path: Path) -> None:
    site = Site(tmp_path, "")
    for judgement in (
        host.judge_authority(site, NOW),
        host.judge_host_certificate(site, (), NOW),
        host.judge_own_bundle(site.client_bundle, site, NOW),
        judge_key_rights([site.server_key]),
    ):
        assert judgement.verdict is Verdict.OK


@pytest.mark.parametrize(
    ("from_days", "to_days", "expected", "words"),
    [
        (-100, -10, Verdict.FAILURE, "10 days ago"),
        (-80, 10, Verdict.WARNING, "9 days left"),
        (1, 90, Verdict.FAILURE, "valid only from"),
    ],
    ids=["expired", "long due", "not valid yet"],
)
def test_dates_of_the_host_certificate(
    tmp_path: Path, from_days: float, to_days: float, expected: Verdict, words: str
) -> None:
    authority = issue(name="ca")
    server = issue(authority, usage=SERVER, from_days=from_days, to_days=to_days)
    site = write_site(tmp_path, authority, server)
    found = host.judge_host_certificate(site, (), datetime.now(UTC))
    assert found.verdict is expected
    assert words in found.measured
    assert found.remedy


def test_a_certificate_that_is_due_is_fine_since_it_renews_itself(tmp_path: Path) -> None:
    authority = issue(name="ca")
    site = write_site(
        tmp_path, authority, issue(authority, usage=SERVER, from_days=-72, to_days=24)
    )
    assert host.judge_host_certificate(site, (), datetime.now(UTC)).verdict is Verdict.OK


def test_during_a_rollover_all_is_fine_and_the_end_of_the_old_authority_is_reported(
    tmp_path: Path,
) -> None:
    site = make_site(tmp_path)
    done = authority_rollover.roll(tmp_path)
    make_site(tmp_path)
    found = host.judge_authority(site, NOW)
    assert found.verdict is Verdict.OK
    assert f"is still trusted until {done.overlap_end:%Y-%m-%d}" in found.measured
    assert host.judge_host_certificate(site, (), NOW).verdict is Verdict.OK
    assert host.judge_own_bundle(site.client_bundle, site, NOW).verdict is Verdict.OK


def test_an_authority_that_nears_its_end_is_to_be_changed(tmp_path: Path) -> None:
    found = host.judge_authority(make_site(tmp_path), NOW + timedelta(days=3500))
    assert found.verdict is Verdict.WARNING
    assert "serial-svc pki roll" in found.remedy


def test_a_host_certificate_of_another_site_fails(tmp_path: Path) -> None:
    site = write_site(tmp_path, issue(name="ca"), issue(issue(name="other"), usage=SERVER))
    found = host.judge_host_certificate(site, (), NOW)
    assert found.verdict is Verdict.FAILURE
    assert "belongs to another site" in found.measured


def test_a_name_that_the_host_certificate_lacks_is_warned_of(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    found = host.judge_host_certificate(site, ("localhost", "192.168.7.7"), NOW)
    assert found.verdict is Verdict.WARNING
    assert found.measured.endswith("; not for 192.168.7.7")


def test_an_authority_without_its_key_fails(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    site.ca_certificate.with_name("ca.key").unlink()
    assert host.judge_authority(site, NOW).verdict is Verdict.FAILURE


def test_an_authority_that_has_expired_fails(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    found = host.judge_authority(site, NOW + timedelta(days=4000))
    assert found.verdict is Verdict.FAILURE
    assert "expired on" in found.measured


def test_a_damaged_certificate_fails(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    site.server_certificate.write_text("-----BEGIN CERTIFICATE-----\nxx\n")
    assert "is not a certificate" in host.judge_host_certificate(site, (), NOW).measured


def test_a_client_bundle_that_has_expired_fails(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    found = host.judge_own_bundle(site.client_bundle, site, NOW + timedelta(days=100))
    assert found.verdict is Verdict.FAILURE
    assert "its log says why" in found.remedy


def test_a_file_that_this_user_cannot_read_is_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    site = make_site(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", denied)  # root, who runs the tests, may read all
    found = host.judge_authority(site, NOW)
    assert found.verdict is Verdict.WARNING
    assert found.remedy == "run the doctor as the service's user"


def test_a_client_bundle_of_another_site_is_warned_of(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    other = issue(name="other")
    client: Issued = issue(other)
    write_bundle(site.client_bundle, client, other)
    found = host.judge_own_bundle(site.client_bundle, site, NOW)
    assert "belongs to another site" in found.measured


def test_a_key_that_others_may_read_is_warned_of(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    assert judge_key_rights([site.server_key]).verdict is Verdict.OK
    site.server_key.chmod(0o644)
    found = judge_key_rights([site.server_key, site.client_bundle])
    assert found.verdict is Verdict.WARNING
    assert found.remedy == f"run `chmod 600 {site.server_key}`"
