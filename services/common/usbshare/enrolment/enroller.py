"""Exchanges an invitation for a certificate; every check is recorded, in order."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from usbshare.audit.recorder import Audit
from usbshare.authorization.policy import POLICY_FILE, load_policy
from usbshare.base.errors import (
    ConfigError,
    InvalidArgumentError,
    LimitError,
    PermissionDeniedError,
    UsbshareError,
)
from usbshare.enrolment.failed_attempts import FailedAttempts
from usbshare.enrolment.membership import (
    as_member,
    move,
    rehearse_move,
    require_usable_name,
    rights_in_words,
    role_of,
)
from usbshare.trust import certificates, invitations
from usbshare.trust.authorities import load_authorities
from usbshare.trust.identities import (
    note_issued,
    read_identities,
    registry_path,
    rehearse_issue,
)
from usbshare.trust.invitations import Given, invitations_path
from usbshare.trust.issuance import admit
from usbshare.trust.names import identity_uri
from usbshare.trust.signing_requests import requested_key
from usbshare.trust.site import Site

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What an enrolled computer gets; `role` is what it may do, in words."""

    certificate_pem: str
    authorities_pem: str
    uri: str
    role: str


class Enroller:
    """Enrols the holders of open invitations into one site; blocks for the site's files.

    `now` returns the aware time.
    """

    def __init__(
        self,
        site: Site,
        audit: Audit,
        attempts: FailedAttempts,
        now: Callable[[], datetime],
    ) -> None:
        self._site = site
        self._audit = audit
        self._attempts = attempts
        self._now = now
        self._invitations = invitations_path(site.folder)
        self._policy = site.folder / POLICY_FILE
        self._registry = registry_path(site.folder)

    def enrol(self, token: bytes, csr_pem: str, address: str) -> Enrolled:
        """Use up the token; the error says why not, and a wrong attempt is counted and recorded."""
        try:
            self._attempts.require_few(address)
            requested_key(csr_pem)
            given = invitations.find(self._invitations, token, self._now())
        except (InvalidArgumentError, LimitError, PermissionDeniedError) as error:
            self._refuse(address, error)
            raise
        return self._admit(given, token, csr_pem, address)

    def _admit(self, given: Given, token: bytes, csr_pem: str, address: str) -> Enrolled:
        # All that can fail comes before the token is spent.
        uri = identity_uri(self._site.id, given.name)
        former, role, rights = self._prepared(given, uri)
        issued = admit(self._site, uri, csr_pem, self._now())
        authorities = load_authorities(self._site.home, self._now())
        try:
            invitations.take(self._invitations, token, self._now(), address)
        except PermissionDeniedError as error:  # another was quicker
            self._refuse(address, error)
            raise
        move(self._policy, given.name, former, role)
        record = note_issued(self._registry, uri, issued, role=role, address=address)
        _log.info(
            "enrolled %s (%s) from %s: its key's fingerprint is %s",
            given.name,
            role,
            address,
            record.fingerprint,
        )
        self._audit.note(
            "enrolled",
            who=uri,
            address=address,
            role=role,
            fingerprint=record.fingerprint,
            expires=issued.not_valid_after_utc.isoformat(),
        )
        return Enrolled(
            certificates.certificate_pem(issued).decode("ascii"),
            authorities.pem.decode("ascii"),
            uri,
            f"{role}: {rights}",
        )

    def _prepared(self, given: Given, uri: str) -> tuple[str, str, str]:
        """Return its former role, the new one and its rights, once all files can be written."""
        try:
            known = read_identities(self._registry).get(uri)
            former = known.role if known else ""
            policy = load_policy(self._policy)
            require_usable_name(policy, given.name)
            role = role_of(policy, given.role)
            rehearse_move(self._policy, given.name, former, role)
            rehearse_issue(self._registry)
        except (ConfigError, InvalidArgumentError) as error:
            _log.warning("cannot enrol %s: %s", given.name, error)
            raise PermissionDeniedError(
                "this host cannot enrol anyone: its policy has a mistake or its files cannot "
                "be written; see its service's log. Once that is fixed, use the same "
                "invitation again"
            ) from error
        member = as_member(policy, given.name, former, role)
        return former, role, rights_in_words(member, uri, self._site.id, self._now())

    def _refuse(self, address: str, error: UsbshareError) -> None:
        if isinstance(error, LimitError) or not self._attempts.note_wrong(address):
            _log.debug("refused enrolment from %s: %s", address, error)
            return
        _log.warning("refused enrolment from %s: %s", address, error)
        self._audit.note("enrolment refused", address=address, reason=str(error))
