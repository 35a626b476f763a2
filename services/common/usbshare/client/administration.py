"""Calls of who administers a site, to any of its services; answers are access.proto's own."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta
from typing import Any, Self, TypeVar

import grpc

from usbshare.access.v1 import access_pb2 as pb
from usbshare.access.v1.access_pb2_grpc import AccessServiceStub
from usbshare.base.errors import NotSupportedError, UsbshareError
from usbshare.client.access import CALL_TIMEOUT_S, explained
from usbshare.client.streamed_call import streamed
from usbshare.rpc.channel import QUIET_KEEPALIVE, Target, open_channel
from usbshare.rpc.tls import ClientBundle
from usbshare.rpc.wire_time import duration

T = TypeVar("T")
# The host waits for what listens for the new invitation.
INVITE_TIMEOUT_S = 30.0


class AdministrationClient:
    """One connection, closed with `close` or at the end of a block; calls raise UsbshareError."""

    def __init__(self, target: Target, bundle: ClientBundle | None) -> None:
        self.target = target
        self._bundle = bundle
        self._channel = open_channel(target, bundle, keepalive=QUIET_KEEPALIVE)
        self._stub: Any = AccessServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def identities(self) -> pb.ListIdentitiesResponse:
        """Return who is in the site, and the roles."""
        request = pb.ListIdentitiesRequest()
        return await self._call(lambda stub: stub.ListIdentities(request, timeout=CALL_TIMEOUT_S))

    async def invitations(self) -> pb.ListInvitationsResponse:
        """Return the open invitations."""
        request = pb.ListInvitationsRequest()
        return await self._call(lambda stub: stub.ListInvitations(request, timeout=CALL_TIMEOUT_S))

    async def invite(
        self, name: str, role: str, lifetime: timedelta | None = None
    ) -> pb.InviteResponse:
        """Have an invitation made; without a lifetime it is the host's usual one."""
        request = pb.InviteRequest(name=name, role=role)
        if lifetime is not None:
            request.lifetime.CopyFrom(duration(lifetime.total_seconds()))
        return await self._call(lambda stub: stub.Invite(request, timeout=INVITE_TIMEOUT_S))

    async def withdraw(self, name: str) -> int:
        """Withdraw the open invitations for a name; returns how many there were."""
        request = pb.WithdrawInvitationRequest(name=name)
        reply: pb.WithdrawInvitationResponse = await self._call(
            lambda stub: stub.WithdrawInvitation(request, timeout=CALL_TIMEOUT_S)
        )
        return reply.withdrawn

    async def revoke(self, name: str, reason: str = "") -> pb.RevokeIdentityResponse:
        """Shut an identity out."""
        request = pb.RevokeIdentityRequest(name=name, reason=reason)
        return await self._call(lambda stub: stub.RevokeIdentity(request, timeout=CALL_TIMEOUT_S))

    async def audit(
        self, request: pb.WatchAuditRequest
    ) -> AsyncGenerator[pb.WatchAuditResponse, None]:
        """Yield the newest lines of the host's audit logs, then each new one."""
        start = time.monotonic()
        call = self._stub.WatchAudit(request)
        async with streamed(call, lambda error: self._explained(error, start)):
            while isinstance(reply := await call.read(), pb.WatchAuditResponse):
                yield reply

    async def _call(self, work: Callable[[Any], Awaitable[T]]) -> T:
        start = time.monotonic()
        try:
            return await work(self._stub)
        except grpc.aio.AioRpcError as error:
            raise await self._explained(error, start) from error

    async def _explained(self, error: grpc.aio.AioRpcError, start: float) -> UsbshareError:
        found = await explained(error, self.target, self._bundle, start)
        if isinstance(found, NotSupportedError) and "plaintext" not in str(found):
            return NotSupportedError(
                f"{self.target} cannot be administered from another computer: "
                "its usbshare is too old, update it there"
            )
        return found
