"""`pki invite --wait`: what the person is told of the computer that came in."""

from __future__ import annotations

import threading
from pathlib import Path

from fakes.enrolment import enroller_of, invited, make_site, request_pem
from fakes.job_rig import until
from usbshare.service.commands.pki_invite import wait_until_used
from usbshare.trust.identities import _changing, read_identities, registry_path
from usbshare.trust.invitations import Given, invitations_path, read_invitations
from usbshare.trust.names import identity_uri

ADDRESS = "192.0.2.7"


def test_the_fingerprint_is_that_of_the_key_that_came_in(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    registry = registry_path(site.folder)
    enroller_of(site).enrol(invited(site).token, request_pem(), ADDRESS)
    uri = identity_uri(site.id, "office-pc")
    former = read_identities(registry)[uri]
    invitation = invited(site)
    told: list[str] = []
    waiting = threading.Thread(target=wait_until_used, args=(told.append, site, invitation))
    entering = threading.Thread(
        target=enroller_of(site).enrol, args=(invitation.token, request_pem(), ADDRESS)
    )
    waiting.start()
    with _changing(registry):  # the invitation is taken, and nobody can be recorded yet
        entering.start()
        until(lambda: all(each.used_at for each in known(site.folder)), "the invitation is taken")
        waiting.join(0.5)
        assert told == []
    waiting.join()
    entering.join()
    record = read_identities(registry)[uri]
    assert record.fingerprint != former.fingerprint
    assert told[0].endswith(f"fingerprint of its key {record.fingerprint}")


def known(folder: Path) -> list[Given]:
    return read_invitations(invitations_path(folder))
