"""The call that trades an invitation's token for a certificate."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

import grpc
from cryptography import x509

from usbshare.access.v1 import access_pb2 as pb
from usbshare.access.v1.access_pb2_grpc import EnrolmentServiceStub
from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.rpc.channel import Target
from usbshare.rpc.status import error_from_rpc
from usbshare.trust import certificates

CALL_TIMEOUT_S = 30.0  # it connects, and the host makes a certificate


@dataclass(frozen=True, slots=True)
class Admission:
    """What the host gave: PEM, who the certificate is for, and what that may do in words."""

    certificate: bytes
    authorities: bytes
    identity: str
    role: str


async def call_enrol(
    target: Target, authority: x509.Certificate, token: bytes, request_pem: str
) -> Admission:
    """Enrol at a target that must prove itself by this authority; raises UsbshareError."""
    credentials = grpc.ssl_channel_credentials(certificates.certificate_pem(authority))
    options: list[tuple[str, int | str]] = [
        ("grpc.enable_retries", 0),
        ("grpc.enable_http_proxy", 0),
    ]
    if target.certified_name != target.host:
        options.append(("grpc.ssl_target_name_override", target.certified_name))
    uri = f"dns:///{quote(str(target), safe='[]:')}"
    async with grpc.aio.secure_channel(uri, credentials, options) as channel:
        request = pb.EnrolRequest(token=token, certificate_request=request_pem)
        try:
            answer = await EnrolmentServiceStub(channel).Enrol(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise _explained(error, target) from error
    return Admission(
        answer.certificate.encode(), answer.authorities.encode(), answer.identity, answer.role
    )


def _explained(error: grpc.aio.AioRpcError, target: Target) -> UsbshareError:
    found = error_from_rpc(error)
    if isinstance(found, ConnectionRefusedByPeerError):
        return type(found)(
            f"{target} closed the connection before it answered ({found}): try again"
        )
    return type(found)(f"{target} refused: {found}")
