"""Identities, invitations and audit lines as messages of access.proto."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from usbshare.access.v1 import access_pb2 as pb
from usbshare.audit.live import News
from usbshare.audit.reader import Entry, resource_of
from usbshare.enrolment.administration import MadeInvitation, Member, Revoked, RoleOffer
from usbshare.rpc.wire_time import timestamp
from usbshare.trust.invitations import Given

MOST_DETAILS = 24
LONGEST_DETAIL = 1000
MOST_MESSAGE_BYTES = 48 * 1024
_REST_EVERY = 50
_TOLD = frozenset({"time", "who", "address", "port", "camera", "event", "log"})
_CHAIN = frozenset({"seq", "prev", "hash", "other_logs"})


def site_identity(member: Member) -> pb.SiteIdentity:
    """Return an identity."""
    entry = member.entry
    message = pb.SiteIdentity(
        name=entry.name,
        identity=entry.identity,
        role=entry.role,
        rights=entry.rights,
        address=entry.address,
        fingerprint=entry.fingerprint,
        state=entry.state,
        is_revoked=member.is_revoked,
        has_alarm=member.has_alarm,
    )
    if entry.expires is not None:
        message.certificate_end_time.CopyFrom(timestamp(entry.expires))
    if entry.last_seen is not None:
        message.last_seen_time.CopyFrom(timestamp(entry.last_seen))
    return message


def role(offer: RoleOffer) -> pb.Role:
    """Return a role."""
    return pb.Role(name=offer.name, grants=offer.grants, can_be_given=offer.can_be_given)


def open_invitation(given: Given) -> pb.OpenInvitation:
    """Return an invitation that is open."""
    return pb.OpenInvitation(name=given.name, role=given.role, end_time=timestamp(given.expires))


def made_invitation(made: MadeInvitation, warnings: Sequence[str]) -> pb.InviteResponse:
    """Return a new invitation, its string included."""
    return pb.InviteResponse(
        invitation=made.invitation.encode(),
        end_time=timestamp(made.invitation.expires),
        role=made.invitation.role,
        rights=made.rights,
        authority_fingerprint=made.authority_fingerprint,
        warnings=warnings,
    )


def revoked(done: Revoked) -> pb.RevokeIdentityResponse:
    """Return what a revocation did."""
    return pb.RevokeIdentityResponse(
        identity=done.identity, withdrawn=len(done.done.withdrawn), trouble=done.done.trouble
    )


def audit_responses(news: News, rest: Callable[[], None]) -> Iterator[pb.WatchAuditResponse]:
    """Yield lines of the logs, in messages small enough for every client; at least one.

    `rest` is called after each 50 lines: for a thread, which lets others run.
    """
    message, size = pb.WatchAuditResponse(lost=news.lost), 0
    for number, each in enumerate(news.entries, 1):
        entry = _audit_entry(each)
        if number % _REST_EVERY == 0:
            rest()
        if size and size + entry.ByteSize() > MOST_MESSAGE_BYTES:
            yield message
            message, size = pb.WatchAuditResponse(), 0
        message.entries.append(entry)
        size += entry.ByteSize()
    yield message


def _audit_entry(entry: Entry) -> pb.AuditEntry:
    number = entry.get("seq")
    rest = [name for name in entry if name not in _TOLD | _CHAIN][:MOST_DETAILS]
    message = pb.AuditEntry(
        log=_text(entry.get("log")),
        number=number if isinstance(number, int) and 0 <= number < 2**63 else 0,
        who=_text(entry.get("who")),
        address=_text(entry.get("address")),
        event=_text(entry.get("event")),
        port=_text(resource_of(entry)),
        details=[pb.AuditDetail(name=_text(name), value=_text(entry[name])) for name in rest],
    )
    if (time := _time(entry.get("time"))) is not None:
        message.time.CopyFrom(timestamp(time))
    return message


def _text(value: object) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()[:LONGEST_DETAIL]


def _time(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
