"""The enroller: who is let in, who is not, and what is kept of both."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from fakes.enrolment import (
    TEN_MINUTES,
    Noted,
    enroller_of,
    invited,
    make_site,
    request_pem,
    utc_now,
)
from usbshare.authorization.policy import load_policy
from usbshare.base.errors import InvalidArgumentError, LimitError, PermissionDeniedError
from usbshare.enrolment.failed_attempts import MOST_OF_ONE
from usbshare.trust import certificates, identities, issuance
from usbshare.trust.signing_requests import new_request
from usbshare.trust.site import Site

ADDRESS = "192.0.2.7"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


def test_an_invitation_gets_a_certificate_for_its_name_and_the_key_shown(site: Site) -> None:
    key, token = certificates.new_key(), invited(site).token
    enrolled = enroller_of(site).enrol(token, new_request(key, "whoever"), ADDRESS)
    issued = x509.load_pem_x509_certificate(enrolled.certificate_pem.encode())
    assert certificates.is_pair(issued, key)
    assert certificates.uris(issued) == [f"usbshare://{site.id}/office-pc"] == [enrolled.uri]
    assert enrolled.role == "operators: view, stop, control"
    assert enrolled.authorities_pem.encode() == site.ca_certificate.read_bytes()


def test_the_role_and_the_registry_know_of_it(site: Site) -> None:
    audit = Noted()
    enroller_of(site, audit).enrol(invited(site).token, request_pem(), ADDRESS)
    assert load_policy(site.folder / "policy.toml").groups["operators"] == ["office-pc"]
    registry = identities.read_identities(identities.registry_path(site.folder))
    record = registry[f"usbshare://{site.id}/office-pc"]
    assert (record.role, record.address) == ("operators", ADDRESS)
    (entry,) = audit.entries
    assert (entry["event"], entry["fingerprint"]) == ("enrolled", record.fingerprint)


def test_a_replayed_token_is_refused_and_noted(site: Site) -> None:
    audit = Noted()
    enroller, token = enroller_of(site, audit), invited(site).token
    enroller.enrol(token, request_pem(), ADDRESS)
    with pytest.raises(PermissionDeniedError, match="already used"):
        enroller.enrol(token, request_pem(), "192.0.2.8")
    assert audit.events == ["enrolled", "enrolment refused"]
    assert audit.entries[-1]["address"] == "192.0.2.8"


def test_an_expired_token_is_refused(site: Site) -> None:
    token = invited(site).token
    with pytest.raises(PermissionDeniedError, match="expired"):
        enroller_of(site, now=utc_now() + TEN_MINUTES).enrol(token, request_pem(), ADDRESS)


def test_a_bad_request_leaves_the_invitation_open(site: Site) -> None:
    enroller, token = enroller_of(site), invited(site).token
    with pytest.raises(InvalidArgumentError):
        enroller.enrol(token, "nonsense", ADDRESS)
    enroller.enrol(token, request_pem(), ADDRESS)


def test_a_bad_policy_leaves_the_invitation_open(site: Site) -> None:
    enroller, token = enroller_of(site), invited(site).token
    policy = site.folder / "policy.toml"
    policy.write_text("nonsense = 1\n")
    with pytest.raises(PermissionDeniedError, match="its policy has a mistake"):
        enroller.enrol(token, request_pem(), ADDRESS)
    policy.unlink()
    enroller.enrol(token, request_pem(), ADDRESS)


def test_a_policy_without_groups_admits_no_one_and_restores_no_lost_right(
    site: Site,
) -> None:
    policy = site.folder / "policy.toml"
    policy.write_text("[limits]\nconnections = 9\n")
    enroller, token = enroller_of(site), invited(site).token
    with pytest.raises(PermissionDeniedError, match="its policy has a mistake"):
        enroller.enrol(token, request_pem(), ADDRESS)
    assert policy.read_text() == "[limits]\nconnections = 9\n"
    policy.unlink()
    enroller.enrol(token, request_pem(), ADDRESS)


def test_a_policy_that_cannot_be_written_leaves_the_invitation_open(site: Site) -> None:
    enroller, token = enroller_of(site), invited(site).token
    policy = site.folder / "policy.toml"
    policy.symlink_to(site.folder / "not mounted" / "policy.toml")
    with pytest.raises(PermissionDeniedError, match="cannot be written"):
        enroller.enrol(token, request_pem(), ADDRESS)
    policy.unlink()
    enroller.enrol(token, request_pem(), ADDRESS)


@pytest.mark.parametrize("damage", ["damaged", "a folder"])
def test_a_registry_that_cannot_be_used_leaves_the_invitation_open(site: Site, damage: str) -> None:
    enroller, token = enroller_of(site), invited(site).token
    registry = identities.registry_path(site.folder)
    before = registry.read_bytes()
    registry.write_text(damage)
    if damage == "a folder":
        registry.unlink()
        registry.mkdir()
    with pytest.raises(PermissionDeniedError, match="cannot be written"):
        enroller.enrol(token, request_pem(), ADDRESS)
    if registry.is_dir():
        registry.rmdir()
    registry.write_bytes(before)
    enroller.enrol(token, request_pem(), ADDRESS)


def test_a_name_that_became_a_group_is_not_let_in(site: Site) -> None:
    token = invited(site, name="crew").token
    (site.folder / "policy.toml").write_text("[groups]\noperators = []\ncrew = []\n")
    with pytest.raises(PermissionDeniedError):
        enroller_of(site).enrol(token, request_pem(), ADDRESS)


def test_wrong_tokens_are_limited_and_another_address_is_not(site: Site) -> None:
    audit = Noted()
    enroller, token = enroller_of(site, audit), invited(site).token
    for _ in range(MOST_OF_ONE):
        with pytest.raises(PermissionDeniedError, match="does not know"):
            enroller.enrol(b"wrong", request_pem(), ADDRESS)
    for _ in range(3):
        with pytest.raises(LimitError):
            enroller.enrol(token, request_pem(), ADDRESS)
    assert audit.events == ["enrolment refused"] * MOST_OF_ONE
    enroller.enrol(token, request_pem(), "192.0.2.8")


def test_a_revoked_identity_is_readmitted_with_a_valid_certificate(site: Site) -> None:
    enroller = enroller_of(site)
    uri = enroller.enrol(invited(site).token, request_pem(), ADDRESS).uri
    registry = identities.registry_path(site.folder)
    identities.revoke(registry, uri, "", utc_now())
    enroller.enrol(invited(site, role="viewers").token, request_pem(), ADDRESS)
    assert not identities.read_identities(registry)[uri].is_revoked
    groups = load_policy(site.folder / "policy.toml").groups
    assert (groups["operators"], groups["viewers"]) == ([], ["office-pc"])


def test_a_revoked_identity_cannot_renew_itself(site: Site) -> None:
    uri = enroller_of(site).enrol(invited(site).token, request_pem(), ADDRESS).uri
    identities.revoke(identities.registry_path(site.folder), uri, "", utc_now())
    with pytest.raises(PermissionDeniedError, match="revoked"):
        issuance.issue_for(site, uri, request_pem(), utc_now() + timedelta(seconds=5))


def test_a_renewal_that_a_revocation_overtakes_is_revoked_too(site: Site) -> None:
    uri = enroller_of(site).enrol(invited(site).token, request_pem(), ADDRESS).uri
    before = utc_now()
    issued = issuance.issue_for(site, uri, request_pem(), before)
    moment = identities.revoke(identities.registry_path(site.folder), uri, "", utc_now()).revoked_at
    assert moment is not None
    assert certificates.issue_moment(issued) <= moment
