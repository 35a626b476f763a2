"""The RPCs about rights, part of every service: unpack, one call, pack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import grpc

from usbshare.access.v1 import access_pb2 as pb
from usbshare.access.v1.access_pb2_grpc import AccessServiceServicer
from usbshare.audit.recorder import Audit
from usbshare.authorization.gate import Gate, Granted
from usbshare.authorization.rights import ResourceKind, Right
from usbshare.base.errors import LimitError
from usbshare.base.threads import OwnThread
from usbshare.base.throttle import Throttle
from usbshare.rpc.identity import Identity
from usbshare.rpc.wire_time import timestamp
from usbshare.trust.site_renewal import Renewed
from usbshare.trust.successors import in_hex

Context = grpc.aio.ServicerContext[Any, Any]
SERVICE_NAME = "usbshare.access.v1.AccessService"
RENEWALS_A_MINUTE = 6
MINUTE_S = 60.0

_RIGHTS = {
    Right.VIEW: pb.RIGHT_VIEW,
    Right.STOP: pb.RIGHT_STOP,
    Right.CONTROL: pb.RIGHT_CONTROL,
    Right.ADMIN: pb.RIGHT_ADMIN,
}
_KINDS = {
    ResourceKind.SERVICE: pb.RESOURCE_KIND_UNSPECIFIED,
    ResourceKind.PORT: pb.RESOURCE_KIND_PORT,
    ResourceKind.CAMERA: pb.RESOURCE_KIND_CAMERA,
    ResourceKind.DEVICE: pb.RESOURCE_KIND_DEVICE,
}

Offered = Callable[[], Mapping[ResourceKind, Iterable[str]]]
# Returns a certificate for the key of a request; blocks.
Renew = Callable[[Identity, str], Renewed]


class AccessServicer(AccessServiceServicer):
    """Returns callers' rights, takes their codes, renews their certificates."""

    def __init__(
        self,
        gate: Gate,
        audit: Audit,
        offered: Offered,
        renew: Renew,
        thread: OwnThread,
        clock: Callable[[], float],
    ) -> None:
        self._gate = gate
        self._audit = audit
        self._offered = offered
        self._renew = renew
        self._thread = thread
        self._renewals = Throttle[str](MINUTE_S, clock, most=RENEWALS_A_MINUTE)

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Context) -> pb.WhoAmIResponse:
        """Return the caller's identity and rights."""
        caller = self._gate.caller(context)
        grants = self._gate.grants(caller, self._offered())
        return _who_am_i(caller, grants, self._gate.confirmed_until(caller))

    async def Confirm(self, request: pb.ConfirmRequest, context: Context) -> pb.ConfirmResponse:
        """Take a code of the caller's second factor."""
        caller = self._gate.caller(context)
        await self._thread.run(partial(self._gate.confirm, caller, request.code))
        until = self._gate.confirmed_until(caller) or datetime.now(UTC)
        end = until.isoformat(timespec="seconds")
        self._audit.note("confirmed", who=caller.name, address=caller.address, until=end)
        return pb.ConfirmResponse(until_time=timestamp(until))

    async def Renew(self, request: pb.RenewRequest, context: Context) -> pb.RenewResponse:
        """Issue the caller's next certificate; LimitError for too many."""
        caller = self._gate.caller(context)
        if not self._renewals.admits(caller.name):
            times = f"{RENEWALS_A_MINUTE} times a minute"
            raise LimitError(f"'{caller.name}' may renew its certificate {times}: wait")
        issued = await self._thread.run(partial(self._renew, caller, request.certificate_request))
        self._audit.note(
            "renewed",
            who=caller.name,
            address=caller.address,
            serial=in_hex(issued.serial),
            fingerprint=issued.fingerprint,
            expires=issued.expires.isoformat(),
            by_serial=in_hex(caller.serial),
            by_fingerprint=caller.fingerprint,
        )
        return pb.RenewResponse(
            certificate=issued.certificate_pem, authorities=issued.authorities_pem
        )


def _who_am_i(
    caller: Identity, grants: list[Granted], confirmed_until: datetime | None
) -> pb.WhoAmIResponse:
    """Return what a caller is and may do."""
    return pb.WhoAmIResponse(
        identity=caller.name,
        grants=[_grant(each) for each in grants],
        certificate_end_time=None if caller.expires is None else timestamp(caller.expires),
        confirmed_until_time=None if confirmed_until is None else timestamp(confirmed_until),
    )


def _grant(granted: Granted) -> pb.Grant:
    return pb.Grant(
        kind=_KINDS[granted.resource.kind],
        id=granted.resource.id,
        rights=[_RIGHTS[each] for each in granted.rights],
        to_confirm=[_RIGHTS[each] for each in granted.to_confirm],
        until_time=None if granted.until is None else timestamp(granted.until),
    )
