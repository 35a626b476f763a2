"""Administers a site over the network, as the `pki` commands do on the host.

Blocks on the site's files, so it is used in a thread. Every change is recorded with the identity
that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from usbshare.audit.recorder import Audit
from usbshare.authorization.policy import POLICY_FILE, Policy, load_policy
from usbshare.authorization.policy_tables import GrantTable
from usbshare.authorization.rights import SERVICE, SITE, Right
from usbshare.base.addresses import split_host_port
from usbshare.base.errors import (
    ConfigError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    WrongStateError,
)
from usbshare.base.file_lock import file_lock
from usbshare.base.usual_ports import ENROLMENT_PORT
from usbshare.enrolment.identity_report import Entry, roll_call
from usbshare.enrolment.invitation_maker import (
    authority,
    checked_addresses,
    invite,
    own_addresses,
)
from usbshare.enrolment.invitation_warnings import InvitationPlace, warnings
from usbshare.enrolment.membership import as_member, require_usable_name, rights_in_words, role_of
from usbshare.enrolment.revocation import ShutOut, shut_out
from usbshare.rpc.identity import Identity
from usbshare.trust import certificates, invitations
from usbshare.trust.identities import IdentityRecord, read_identities, registry_path, short_name
from usbshare.trust.invitation import Invitation
from usbshare.trust.invitations import Given, invitations_path, read_invitations
from usbshare.trust.names import identity_uri
from usbshare.trust.site import Site
from usbshare.trust.successors import in_hex

SHORTEST = timedelta(minutes=1)
LONGEST = timedelta(days=7)
USUAL_LIFETIME = timedelta(minutes=10)
MOST_ADDRESSES = 8
LONGEST_REASON = 200
MOST_NAME_LETTERS = 63


@dataclass(frozen=True, slots=True)
class Member:
    """An identity and its certificates, as far as known."""

    entry: Entry
    is_revoked: bool
    has_alarm: bool


@dataclass(frozen=True, slots=True)
class RoleOffer:
    """A group of the policy: what it grants, in words, and whether the caller may give it."""

    name: str
    grants: tuple[str, ...]
    can_be_given: bool


@dataclass(frozen=True, slots=True)
class MadeInvitation:
    """An invitation with its secret; never logged."""

    invitation: Invitation = field(repr=False)
    rights: str
    authority_fingerprint: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """What a revocation did to certificates and invitations."""

    identity: str
    done: ShutOut


class SiteAdministration:
    """Lists and changes who is in a site; `now` returns the aware time.

    Raises WrongStateError where a file of the site is wrong, InvalidArgumentError, NotFoundError
    and PermissionDeniedError otherwise.
    """

    def __init__(
        self, site: Site, state_folder: Path, audit: Audit, now: Callable[[], datetime]
    ) -> None:
        self._site = site
        self._state_folder = state_folder
        self._audit = audit
        self._now = now
        self._registry = registry_path(site.folder)
        self._invitations = invitations_path(site.folder)

    def members(self) -> list[Member]:
        """Return the identities, by name."""
        with _files_in_words():
            records = read_identities(self._registry)
            entries = roll_call(self._site.folder, self._state_folder, self._site.id, self._now())
        known = ((each, records.get(each.identity)) for each in entries)
        return [
            Member(entry, record.is_revoked, record.alarm_at is not None)
            for entry, record in known
            if record is not None
        ]

    def roles(self, caller: Identity) -> list[RoleOffer]:
        """Return the groups of the policy, by name."""
        with _files_in_words():
            policy = self._policy()
        return [self._offer(policy, name, caller) for name in sorted(policy.groups)]

    def open_invitations(self) -> list[Given]:
        """Return the invitations that can still be used, by name."""
        now = self._now()
        with _files_in_words():
            given = read_invitations(self._invitations)
        return sorted((each for each in given if each.is_open(now)), key=lambda each: each.name)

    def invite(
        self,
        caller: Identity,
        name: str,
        role: str,
        lifetime: timedelta,
        addresses: Sequence[str],
        place: InvitationPlace,
    ) -> MadeInvitation:
        """Create an invitation; raises InvalidArgumentError, WrongStateError. See `warnings`."""
        if not SHORTEST <= lifetime <= LONGEST:
            raise InvalidArgumentError("lifetime must be 1 minute to 7 days")
        if len(addresses) > MOST_ADDRESSES:
            raise InvalidArgumentError(f"at most {MOST_ADDRESSES} addresses are allowed")
        if not place.enrolment:
            raise WrongStateError(
                'enrolment is switched off on this host: [tls] enrolment = "" in its configuration'
            )
        where = checked_addresses(addresses) or own_addresses(place.enrolment, place.interfaces)
        port = split_host_port(place.enrolment, ENROLMENT_PORT)[1]
        with _files_in_words():  # everything that can fail comes before the invitation
            own = certificates.short_fingerprint(authority(self._site).public_key())
        now = self._now()
        with self._changing(caller):
            group, rights = self._require_invitable(caller, name, role)
            lasting = (now, now + lifetime)
            invitation = invite(
                *(self._site, name, group, where, port, *lasting, place.serial_port),
                given_by=caller.name,
            )
            self._take_back_of_revoked(caller, name)
        self._note(
            caller,
            "invited",
            identity=identity_uri(self._site.id, name),
            role=group,
            expires=invitation.expires.isoformat(),
        )
        return MadeInvitation(invitation, rights, own)

    def warnings(self, invitation: Invitation, place: InvitationPlace) -> tuple[str, ...]:
        """Return what prevents an invitation from being used; waits a while for the listener.

        A failed check is a warning too: the invitation exists, and its string must arrive.
        """
        return warnings(self._site, invitation, place)

    def withdraw(self, caller: Identity, name: str) -> int:
        """Withdraw the open invitations for a name; NotFoundError if there is none."""
        with self._changing(caller):
            count = len(invitations.withdraw(self._invitations, name, self._now()))
        if not count:
            raise NotFoundError(f"no invitation for {_shown(name)} is open")
        uri = identity_uri(self._site.id, name)
        self._note(caller, "invitation withdrawn", identity=uri)
        return count

    def revoke(self, caller: Identity, name: str, reason: str) -> Revoked:
        """Refuse an identity from now on.

        InvalidArgumentError for one that may not be revoked here.
        """
        if len(reason) > LONGEST_REASON or not reason.isprintable():
            raise InvalidArgumentError(
                f"reason must be one line of at most {LONGEST_REASON} characters"
            )
        with self._changing(caller):
            uri = self._require_revocable(caller, name)
            done = shut_out(self._site.folder, uri, reason, self._now())
        self._note(caller, "revoked", identity=uri, reason=reason)
        for each in sorted({*done.withdrawn} - {short_name(uri)}):
            self._note(caller, "invitation withdrawn", identity=identity_uri(self._site.id, each))
        return Revoked(uri, done)

    # Preconditions of changes.

    def _require_invitable(self, caller: Identity, name: str, role: str) -> tuple[str, str]:
        """Return the group and what it may do, in words."""
        policy, now = self._policy(), self._now()
        if max(len(name), len(role)) > MOST_NAME_LETTERS:  # both are repeated in refusals
            raise InvalidArgumentError(
                f"name and role may have at most {MOST_NAME_LETTERS} characters each"
            )
        require_usable_name(policy, name)
        group = role_of(policy, role)
        uri = identity_uri(self._site.id, name)
        record = read_identities(self._registry).get(uri)
        if record is not None and _counts(record, now):
            raise WrongStateError(
                f"{name} has a valid certificate: choose another name, or revoke it first"
            )
        if any(each.name == name for each in self.open_invitations()):
            raise WrongStateError(
                f"an invitation for {name} is open: withdraw it first, or choose another name"
            )
        member = as_member(policy, name, record.role if record else "", group)
        if beyond := member.exceeds(uri, caller.name, self._site.id, now):
            missing = ", ".join(
                self._beyond_in_words(policy, caller, right) for right in Right if right in beyond
            )
            raise PermissionDeniedError(
                f"{name} as {group} would have rights that {short_name(caller.name)} lacks "
                f"({missing}): nobody can grant more than they have"
            )
        return group, rights_in_words(member, uri, self._site.id, now)

    def _beyond_in_words(self, policy: Policy, caller: Identity, right: Right) -> str:
        own = policy.decide(caller.name, self._site.id, right, SERVICE, self._now())
        return right.value if own.confirm_for_s is None else f"{right.value} with fewer codes"

    def _require_revocable(self, caller: Identity, name: str) -> str:
        uri = identity_uri(self._site.id, name)
        records = read_identities(self._registry)
        if uri == self._site.host_uri:
            raise WrongStateError(
                f"the services of the host share the identity '{name}': to replace its key, stop "
                f"them there, remove {self._site.host_bundle}, and start them again"
            )
        if uri in (self._site.job_uri, self._site.operator_uri):
            raise WrongStateError(
                f"{name} is the host's own identity: it can be revoked only there, with "
                f"`serial-svc pki revoke {name}`"
            )
        if uri == caller.name:
            raise WrongStateError(
                f"{name} cannot revoke itself: another administrator can, or `serial-svc pki "
                f"revoke {name}` on the host"
            )
        is_invited = any(each.name == name for each in self.open_invitations())
        if uri not in records and not is_invited:
            raise NotFoundError(f"no identity of this site is called {_shown(name)}")
        self._require_another_administrator(uri, caller, records)
        return uri

    def _require_another_administrator(
        self, uri: str, caller: Identity, records: dict[str, IdentityRecord]
    ) -> None:
        """Raise WrongStateError if no other identity administers the site permanently."""
        policy, now = self._policy(), self._now()

        def administers(each: str) -> bool:
            decision = policy.decide(each, self._site.id, Right.ADMIN, SITE, now)
            return decision.allowed and decision.until is None

        living = {each.uri for each in records.values() if _counts(each, now)} | {caller.name}
        others = any(administers(each) for each in living - {uri})
        if administers(uri) and not others:
            raise WrongStateError(
                f"{short_name(uri)} is the last identity that may always administer this site: "
                "grant that right to another first"
            )

    @contextmanager
    def _changing(self, caller: Identity) -> Iterator[None]:
        """Lock the site while it is changed: of two that revoke each other, one is refused."""
        with _files_in_words(), file_lock(self._site.home / ".administration.lock"):
            self._require_not_revoked(caller)
            yield

    def _require_not_revoked(self, caller: Identity) -> None:
        own = read_identities(self._registry).get(caller.name)
        if own is not None and _was_revoked(caller, own):
            raise PermissionDeniedError(f"{short_name(caller.name)} is revoked")

    def _take_back_of_revoked(self, caller: Identity, name: str) -> None:
        """Withdraw the invitations of a caller whom a command revoked at the same time."""
        try:
            self._require_not_revoked(caller)
        except PermissionDeniedError:
            invitations.withdraw(self._invitations, name, self._now())
            raise

    # Helpers.

    def _policy(self) -> Policy:
        return load_policy(self._site.folder / POLICY_FILE)

    def _offer(self, policy: Policy, name: str, caller: Identity) -> RoleOffer:
        # For an identity that no grant names.
        newcomer = "usbshare-newcomer"
        member = as_member(policy, newcomer, "", name)
        uri = identity_uri(self._site.id, newcomer)
        beyond = member.exceeds(uri, caller.name, self._site.id, self._now())
        grants = tuple(_in_words(each) for each in policy.grants if name in each.who)
        return RoleOffer(name, grants, not beyond)

    def _note(self, caller: Identity, event: str, **fields: object) -> None:
        note: Callable[..., None] = self._audit.note
        note(event, who=caller.name, address=caller.address, **fields)


@contextmanager
def _files_in_words() -> Iterator[None]:
    """Report what is wrong with a file, since the caller administers it."""
    try:
        yield
    except (ConfigError, OSError) as error:
        raise WrongStateError(str(error)) from error


def _was_revoked(caller: Identity, record: IdentityRecord) -> bool:
    """Return whether the caller's certificate is revoked; its service may not know that yet."""
    if in_hex(caller.serial) in record.barred:
        return True
    revoked = record.revoked_at
    return revoked is not None and (caller.issued is None or caller.issued <= revoked)


def _counts(record: IdentityRecord, now: datetime) -> bool:
    """Return whether the newest certificate of an identity is valid."""
    return not record.is_revoked and (record.expires is None or now < record.expires)


def _shown(name: str) -> str:
    return repr(name[:MOST_NAME_LETTERS])


def _in_words(grant: GrantTable) -> str:
    """Return a grant as a person reads it: `control on ports laser, mill; cameras *`."""
    rights = ", ".join(right.value for right in grant.rights)
    kinds = (("ports", grant.ports), ("cameras", grant.cameras), ("USB devices", grant.usb))
    places = "; ".join(f"{kind} {', '.join(each)}" for kind, each in kinds if each)
    limits = [
        f"until {grant.until}" if grant.until is not None else "",
        " and ".join(grant.hours or ()),
        "with a second factor" if grant.confirm else "",
    ]
    return ", ".join(filter(None, (f"{rights} on {places or 'nothing'}", *limits)))
