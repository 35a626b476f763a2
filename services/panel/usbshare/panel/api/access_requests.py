"""Requests about access at a host: unpack, calls to the host, pack."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from usbshare.access.v1 import access_pb2
from usbshare.base.errors import ConnectionRefusedByPeerError, InvalidArgumentError
from usbshare.client.administration import AdministrationClient
from usbshare.enrolment.qr_code import qr_rows
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.requests import Handler
from usbshare.panel.hosts.fleet import Fleet
from usbshare.panel.socket import Page


def access_handlers(fleet: Fleet) -> Mapping[str, Handler]:
    """Return the handlers; the host decides whether this computer may."""

    async def get_access(page: Page, asked: pb.GetAccess, request_id: int) -> pb.Answer:
        async with administration_of(fleet, asked.host) as client:
            found = await client.identities()
            given = await client.invitations()
        return pb.Answer(access=_report(found, given, own_identity(fleet, asked.host)))

    async def invite(page: Page, asked: pb.Invite, request_id: int) -> pb.Answer:
        lifetime = None
        if asked.HasField("lifetime"):
            lifetime = timedelta(seconds=asked.lifetime.seconds)
        async with administration_of(fleet, asked.host) as client:
            made = await client.invite(asked.name, asked.role, lifetime)
        return pb.Answer(
            made_invitation=pb.MadeInvitation(
                text=made.invitation,
                qr_rows=qr_rows(made.invitation),
                end_time=made.end_time,
                rights=made.rights,
                authority_fingerprint=made.authority_fingerprint,
                warnings=made.warnings,
            )
        )

    async def withdraw(page: Page, asked: pb.Withdraw, request_id: int) -> pb.Answer:
        async with administration_of(fleet, asked.host) as client:
            await client.withdraw(asked.name)
        return pb.Answer()

    async def revoke(page: Page, asked: pb.Revoke, request_id: int) -> pb.Answer:
        async with administration_of(fleet, asked.host) as client:
            done = await client.revoke(asked.name, asked.reason)
        return pb.Answer(revoked=done)

    return {
        "get_access": get_access,
        "invite": invite,
        "withdraw": withdraw,
        "revoke": revoke,
    }


def administration_of(fleet: Fleet, host: str) -> AdministrationClient:
    """Return the client for the administration of a host; raises UsbshareError if there is none."""
    if not host:
        raise InvalidArgumentError("host must be the key of a host: see page.proto")
    place = fleet.followed(host).serial.place
    if place is None:
        raise ConnectionRefusedByPeerError(f"host {host!r} has not answered yet")
    return AdministrationClient(*place)


def own_identity(fleet: Fleet, host: str) -> str:
    """Return this computer's identity at a host; "" until the host has reported it."""
    rights = fleet.followed(host).rights
    return "" if rights is None else rights.who.identity


def _report(
    found: access_pb2.ListIdentitiesResponse, given: access_pb2.ListInvitationsResponse, own: str
) -> pb.AccessReport:
    invitations = [
        pb.OpenInvitation(name=each.name, role=each.role, end_time=each.end_time)
        for each in given.invitations
    ]
    return pb.AccessReport(
        identities=[_identity(each, own) for each in found.identities],
        invitations=invitations,
        roles=[each.name for each in found.roles if each.can_be_given],
        known_roles=found.roles,
    )


def _identity(each: access_pb2.SiteIdentity, own: str) -> pb.Identity:
    message = pb.Identity(
        name=each.name,
        role=each.role,
        rights=each.rights,
        is_revoked=each.is_revoked,
        state=each.state,
        has_alarm=each.has_alarm,
        address=each.address,
        fingerprint=each.fingerprint,
        is_own=each.identity == own,
    )
    for name in ("certificate_end_time", "last_seen_time"):
        if each.HasField(name):
            getattr(message, name).CopyFrom(getattr(each, name))
    return message
