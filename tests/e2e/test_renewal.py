"""Certificates are renewed while a job runs: nothing is lost, nothing stops."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from fakes.exchange import OneWay
from fakes.exchange_rig import Rig, rig
from fakes.processes import run, serial_service
from usbshare.base.paths import write_private
from usbshare.rpc.tls import ClientBundle
from usbshare.trust import certificates
from usbshare.trust.authorities import load_authorities


def host_folder(home: Path) -> Path:
    return home / "config" / "usbshare"


def bundle_path(home: Path) -> Path:
    """Where the bridge has its certificate: not where the service keeps the operator's current."""
    return home / "pc.pem"


def make_site(home: Path) -> None:
    """Let the service make its site, and give the bridge a certificate of its own."""
    with serial_service(home):
        pass
    shutil.copy(host_folder(home) / "client.pem", bundle_path(home))
    (host_folder(home) / "usbshare.toml").write_text(f'[bridge]\nbundle = "{bundle_path(home)}"\n')


def reissue(home: Path, *, days_ago: float = 0, life_days: float = 90) -> None:
    """Replace the bridge's certificate by one of its identity that was issued so long ago."""
    path, now = bundle_path(home), datetime.now(UTC)
    bundle = ClientBundle.load(path)
    (uri,) = certificates.uris(bundle.certificate)
    authority = load_authorities(host_folder(home) / "site", now).clients
    key = certificates.new_key()
    start, life = now - timedelta(days=days_ago), timedelta(days=life_days)
    issued = certificates.issue_client(authority, key, uri, start, life)
    pem = certificates.certificate_pem(issued)
    write_private(path, certificates.key_pem(key) + pem + bundle.authorities)


def exchanging(made: Rig, size: int) -> tuple[OneWay, OneWay]:
    there = OneWay(made.program, made.device, size, seed=1)
    back = OneWay(made.device, made.program, size, seed=2)
    for way in (there, back):
        way.start()
    return there, back


def check_nothing_was_lost(made: Rig, *ways: OneWay) -> None:
    for way in ways:
        way.check()
    made.check_ends()
    for name in ("lost", "not_resumed", "hung_up", "closed", "losing", "not_renewed"):
        assert made.events(name) == []
    assert made.wait_for("status", 1)[-1]["lost_bytes"] == 0


def test_a_certificate_that_is_due_is_renewed_during_a_job_that_loses_no_byte(
    tmp_path: Path,
) -> None:
    make_site(tmp_path)
    reissue(tmp_path, days_ago=80)
    old_key = ClientBundle.load(bundle_path(tmp_path)).key
    with rig(tmp_path) as made:
        ways = exchanging(made, 4_000_000)
        made.wait_for("renewed", 1)
        made.wait_for("resumed", 1)
        check_nothing_was_lost(made, *ways)
        renewed = ClientBundle.load(bundle_path(tmp_path))
        assert renewed.expires > datetime.now(UTC) + timedelta(days=89)
        assert renewed.key != old_key
        assert bundle_path(tmp_path).stat().st_mode & 0o777 == 0o600


def test_a_certificate_renewed_by_hand_is_taken_over_by_a_bridge_that_runs(tmp_path: Path) -> None:
    make_site(tmp_path)
    with rig(tmp_path) as made:
        ways = exchanging(made, 4_000_000)
        by_hand = ["bridge", "--target", made.target, "renew", "--force"]
        code, output = run(by_hand, tmp_path)
        assert code == 1
        assert "not due for renewal" in output
        assert run(["serial-svc", "pki", "roll"], tmp_path)[0] == 0
        code, output = run(by_hand, tmp_path)
        assert code == 0, output
        assert "valid until" in output
        made.wait_for("resumed", 1)
        check_nothing_was_lost(made, *ways)


def test_a_session_that_moves_again_and_again_loses_no_byte(tmp_path: Path) -> None:
    make_site(tmp_path)
    with rig(tmp_path) as made:
        ways = exchanging(made, 8_000_000)
        for count in range(1, 4):
            reissue(tmp_path, life_days=90 + count)
            made.wait_for("resumed", count)
        check_nothing_was_lost(made, *ways)
