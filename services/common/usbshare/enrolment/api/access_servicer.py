"""The RPCs about identities, invitations and the audit log: unpack, one call, pack."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from usbshare.access.v1 import access_pb2 as pb
from usbshare.audit.live import LiveLogs, News
from usbshare.audit.reader import Selection
from usbshare.authorization.api.servicer import AccessServicer, Context
from usbshare.base.errors import (
    InvalidArgumentError,
    LimitError,
    NotSupportedError,
    WrongStateError,
)
from usbshare.base.threads import OwnThread, in_thread
from usbshare.base.throttle import Throttle
from usbshare.enrolment.administration import (
    LONGEST,
    SHORTEST,
    USUAL_LIFETIME,
    SiteAdministration,
)
from usbshare.enrolment.api import administration_messages as pack
from usbshare.enrolment.invitation_warnings import InvitationPlace
from usbshare.rpc.identity import Identity
from usbshare.rpc.wire_time import seconds_of

CALLS_A_MINUTE = 60
CHANGES_A_MINUTE = 20
MINUTE_S = 60.0
MOST_READERS, MOST_READERS_OF_ONE = 24, 8
USUAL_NEWEST, MOST_NEWEST = 100, 500
MOST_FILTER_CHARS = 200
POLL_S = 0.25
_REST_S = 0.001


@dataclass(frozen=True, slots=True)
class SiteOfService:
    """What these RPCs work on. `place` None: this service makes no invitations."""

    administration: SiteAdministration
    audit_folder: Path
    place: Callable[[], InvitationPlace] | None


class SiteAccessServicer(AccessServicer):
    """Adds the RPCs for administrators; `site` None: plaintext, which has no identities."""

    def __init__(
        self, *args: Any, site: SiteOfService | None, reader: OwnThread, changes: OwnThread
    ) -> None:
        super().__init__(*args)
        self._of_site = site
        self._reader = reader
        self._changes = changes
        self._calls = Throttle[str](MINUTE_S, time.monotonic, most=CALLS_A_MINUTE)
        self._changed = Throttle[str](MINUTE_S, time.monotonic, most=CHANGES_A_MINUTE)
        self._readers: Counter[str] = Counter()

    async def ListIdentities(
        self, request: pb.ListIdentitiesRequest, context: Context
    ) -> pb.ListIdentitiesResponse:
        """Return who is in the site, and the roles."""
        caller, site = self._asked(context)
        administration = site.administration
        members = await self._changes.run(
            lambda: [*map(pack.site_identity, administration.members())]
        )
        roles = await self._changes.run(administration.roles, caller)
        return pb.ListIdentitiesResponse(identities=members, roles=map(pack.role, roles))

    async def ListInvitations(
        self, request: pb.ListInvitationsRequest, context: Context
    ) -> pb.ListInvitationsResponse:
        """Return the open invitations."""
        _, site = self._asked(context)
        found = await self._changes.run(site.administration.open_invitations)
        return pb.ListInvitationsResponse(invitations=map(pack.open_invitation, found))

    async def Invite(self, request: pb.InviteRequest, context: Context) -> pb.InviteResponse:
        """Create an invitation; NotSupportedError in every service but serial-svc."""
        caller, site = self._changing(context)
        if site.place is None:
            raise NotSupportedError("only the serial service makes invitations")
        self._gate.require_audit_to_let_in()
        place = site.place()
        work = partial(
            site.administration.invite,
            caller,
            request.name,
            request.role,
            _lifetime(request),
            tuple(request.addresses),
            place,
        )
        made = await self._changes.run(work)
        warnings = await in_thread(site.administration.warnings, made.invitation, place)
        return pack.made_invitation(made, warnings)

    async def WithdrawInvitation(
        self, request: pb.WithdrawInvitationRequest, context: Context
    ) -> pb.WithdrawInvitationResponse:
        """Withdraw the open invitations for a name."""
        caller, site = self._changing(context)
        work = partial(site.administration.withdraw, caller, request.name)
        return pb.WithdrawInvitationResponse(withdrawn=await self._changes.run(work))

    async def RevokeIdentity(
        self, request: pb.RevokeIdentityRequest, context: Context
    ) -> pb.RevokeIdentityResponse:
        """Refuse an identity from now on."""
        caller, site = self._changing(context)
        work = partial(site.administration.revoke, caller, request.name, request.reason)
        return pack.revoked(await self._changes.run(work))

    async def WatchAudit(
        self, request: pb.WatchAuditRequest, context: Context
    ) -> AsyncIterator[pb.WatchAuditResponse]:
        """Send the newest lines, then each new one; missed ones stay on the disk."""
        caller, site = self._asked(context)
        selection, newest = _selection(request), min(request.newest or USUAL_NEWEST, MOST_NEWEST)
        with self._reading(caller):
            logs = LiveLogs(site.audit_folder, selection)
            try:
                for message in await self._read(partial(logs.newest, newest)):
                    yield message
                while True:
                    await asyncio.sleep(POLL_S)
                    for message in await self._read(logs.news):
                        if message.entries or message.lost:
                            yield message
            finally:
                with suppress(RuntimeError):  # the service has ended in the meantime
                    self._reader.submit(logs.close)

    async def _read(self, news: Callable[[], News]) -> list[pb.WatchAuditResponse]:
        """Return the lines as messages, made in the thread: 500 lines take milliseconds."""
        try:
            return await self._reader.run(
                lambda: [*pack.audit_responses(news(), lambda: time.sleep(_REST_S))]
            )
        except OSError as error:
            raise WrongStateError(f"the audit log cannot be read: {error}") from error

    # Helpers.

    def _asked(self, context: Context) -> tuple[Identity, SiteOfService]:
        caller = self._gate.caller(context)
        if self._of_site is None:
            raise NotSupportedError("plaintext has no identities (--insecure)")
        if not self._calls.admits(caller.name):
            raise LimitError(f"'{caller.name}' asks more than {CALLS_A_MINUTE} times a minute")
        return caller, self._of_site

    def _changing(self, context: Context) -> tuple[Identity, SiteOfService]:
        caller, site = self._asked(context)
        if not self._changed.admits(caller.name):
            times = f"{CHANGES_A_MINUTE} times a minute"
            raise LimitError(f"'{caller.name}' may change who is enrolled {times}: wait")
        return caller, site

    @contextmanager
    def _reading(self, caller: Identity) -> Iterator[None]:
        if self._readers[caller.name] >= MOST_READERS_OF_ONE:
            raise LimitError(f"'{caller.name}' reads the audit log {MOST_READERS_OF_ONE} times")
        if self._readers.total() >= MOST_READERS:
            raise LimitError(f"{MOST_READERS} others are already reading the audit log")
        self._readers[caller.name] += 1
        try:
            yield
        finally:
            self._readers[caller.name] -= 1
            if not self._readers[caller.name]:
                del self._readers[caller.name]


def _lifetime(request: pb.InviteRequest) -> timedelta:
    most, least = LONGEST.total_seconds(), SHORTEST.total_seconds()
    usual = USUAL_LIFETIME.total_seconds()
    seconds = seconds_of(request.lifetime, "lifetime", least=least, most=most, absent=usual)
    return timedelta(seconds=seconds)


def _selection(request: pb.WatchAuditRequest) -> Selection:
    wanted = {name: getattr(request, name) for name in ("who", "port", "event", "text")}
    for name, text in wanted.items():
        if len(text) > MOST_FILTER_CHARS:
            raise InvalidArgumentError(f"{name} may have at most {MOST_FILTER_CHARS} characters")
    return Selection(**{name: text or None for name, text in wanted.items()})
