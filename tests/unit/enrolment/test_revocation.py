"""Who is shut out stays out, whatever is open or used while that is done."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fakes.enrolment import enroller_of, invited, make_site, request_pem, utc_now
from usbshare.base.errors import PermissionDeniedError
from usbshare.enrolment.revocation import shut_out
from usbshare.service.commands.pki import pki_group
from usbshare.trust import identities, invitations
from usbshare.trust.site import Site

ADDRESS = "192.0.2.7"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("USBSHARE_HOME", str(tmp_path))
    return make_site(tmp_path)


def is_revoked(site: Site) -> bool:
    known = identities.read_identities(identities.registry_path(site.folder))
    return known[f"usbshare://{site.id}/office-pc"].is_revoked


def revoke_command() -> Result:
    return CliRunner().invoke(pki_group("serial-svc"), ["revoke", "office-pc"])


def test_open_invitations_of_the_name_count_no_more(site: Site) -> None:
    enroller = enroller_of(site)
    uri = enroller.enrol(invited(site).token, request_pem(), ADDRESS).uri
    token = invited(site).token
    assert shut_out(site.folder, uri, "", utc_now()).withdrawn == ("office-pc",)
    with pytest.raises(PermissionDeniedError, match="withdrawn"):
        enroller.enrol(token, request_pem(), ADDRESS)
    assert is_revoked(site)


def test_an_identity_enrolled_during_the_withdrawal_is_revoked_too(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = enroller_of(site).enrol(invited(site).token, request_pem(), ADDRESS).uri
    token, withdraw = invited(site).token, invitations.withdraw

    def overtaken(*arguments: object, **named: object) -> list[str]:
        enroller_of(site).enrol(token, request_pem(), ADDRESS)
        assert not is_revoked(site)
        return withdraw(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(invitations, "withdraw", overtaken)
    assert shut_out(site.folder, uri, "", utc_now()).withdrawn == ()
    assert is_revoked(site)


def test_damaged_invitations_stop_no_revocation(site: Site) -> None:
    uri = enroller_of(site).enrol(invited(site).token, request_pem(), ADDRESS).uri
    path = invitations.invitations_path(site.folder)
    path.write_text("damaged")
    assert str(path) in shut_out(site.folder, uri, "", utc_now()).trouble
    assert is_revoked(site)


def test_the_command_reports_both_and_fails(site: Site) -> None:
    enroller_of(site).enrol(invited(site).token, request_pem(), ADDRESS)
    invitations.invitations_path(site.folder).write_text("damaged")
    result = revoke_command()
    assert result.exit_code == 1
    assert "office-pc is revoked" in result.output
    assert "revoke again" in result.output
    assert is_revoked(site)


def test_the_command_withdraws_what_is_open(site: Site) -> None:
    enroller_of(site).enrol(invited(site).token, request_pem(), ADDRESS)
    invited(site)
    result = revoke_command()
    assert (result.exit_code, is_revoked(site)) == (0, True)
    assert "the invitation for that name is no longer valid" in result.output


def test_invitations_of_a_revoked_administrator_are_void(site: Site) -> None:
    uri = enroller_of(site).enrol(invited(site).token, request_pem(), ADDRESS).uri
    given = invited(site, "laptop", given_by=uri).token
    others = invited(site, "tablet", given_by=f"{uri}-2").token
    by_command = invited(site, "bench-pc").token
    result = revoke_command()
    assert (result.exit_code, is_revoked(site)) == (0, True)
    assert "the invitations that it made are no longer valid: laptop" in result.output
    log = (site.folder / "state/audit/pki.jsonl").read_text()
    assert f"usbshare://{site.id}/laptop" in log
    with pytest.raises(PermissionDeniedError, match="withdrawn"):
        enroller_of(site).enrol(given, request_pem(), ADDRESS)
    for token in (others, by_command):
        enroller_of(site).enrol(token, request_pem(), ADDRESS)


def test_the_command_withdraws_an_invitation_for_an_unused_name(site: Site) -> None:
    token = invited(site).token
    result = revoke_command()
    assert result.exit_code == 0, result.output
    assert "the invitation for that name is no longer valid" in result.output
    with pytest.raises(PermissionDeniedError, match="withdrawn"):
        enroller_of(site).enrol(token, request_pem(), ADDRESS)


def test_the_command_knows_names_and_invitations_and_no_others(site: Site) -> None:
    result = CliRunner().invoke(pki_group("serial-svc"), ["revoke", "office-cp"])
    assert "no identity here is called 'office-cp'" in str(result.exception)


def test_a_twice_revoked_identity_is_readmitted(site: Site) -> None:
    enroller = enroller_of(site)
    uri = enroller.enrol(invited(site).token, request_pem(), ADDRESS).uri
    for _ in range(2):
        shut_out(site.folder, uri, "", utc_now() + timedelta(seconds=1))
    enroller.enrol(invited(site).token, request_pem(), ADDRESS)
    assert not is_revoked(site)
