"""The calls that get a new certificate and try it out."""

from __future__ import annotations

import grpc

from usbshare.access.v1 import access_pb2 as pb
from usbshare.access.v1.access_pb2_grpc import AccessServiceStub
from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.rpc.channel import QUIET_KEEPALIVE, Target, open_channel
from usbshare.rpc.status import error_from_rpc
from usbshare.rpc.tls import ClientBundle

CALL_TIMEOUT_S = 20.0  # each call connects
REASON_TIMEOUT_S = 5.0


async def call_renew(target: Target, bundle: ClientBundle, request_pem: str) -> tuple[bytes, bytes]:
    """Return a certificate for the request's key and the authorities, PEM; raises UsbshareError."""
    async with open_channel(target, bundle, keepalive=QUIET_KEEPALIVE) as channel:
        request = pb.RenewRequest(certificate_request=request_pem)
        try:
            answer = await AccessServiceStub(channel).Renew(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise await _explained(error, target, bundle) from error
    return answer.certificate.encode(), answer.authorities.encode()


async def call_who_am_i(target: Target, bundle: ClientBundle) -> str:
    """Return the identity that the service takes us for; raises UsbshareError."""
    async with open_channel(target, bundle, keepalive=QUIET_KEEPALIVE) as channel:
        try:
            answer = await AccessServiceStub(channel).WhoAmI(
                pb.WhoAmIRequest(), timeout=CALL_TIMEOUT_S
            )
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
    return answer.identity


async def _explained(
    error: grpc.aio.AioRpcError, target: Target, bundle: ClientBundle
) -> UsbshareError:
    explained = error_from_rpc(error)
    if not isinstance(explained, ConnectionRefusedByPeerError):
        return explained
    from usbshare.handshakes.unreachable import why_unreachable  # noqa: PLC0415 - it loads half of TLS

    why = await why_unreachable(target, bundle, REASON_TIMEOUT_S)
    return ConnectionRefusedByPeerError(why or f"{target}: {explained}")
