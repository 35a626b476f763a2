"""EnrolmentService over gRPC."""

from __future__ import annotations

from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc

from usbshare.access.v1 import access_pb2 as pb
from usbshare.access.v1.access_pb2_grpc import EnrolmentServiceServicer
from usbshare.base.threads import in_thread
from usbshare.common.addresses import split_host_port
from usbshare.common.errors import InvalidArgumentError
from usbshare.common.pki.desk import Desk

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class EnrolmentServicer(EnrolmentServiceServicer):
    """Lets those in who have an invitation."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def Enrol(self, request: pb.EnrolRequest, context: _Context) -> pb.EnrolResponse:
        """Trade a token for a certificate."""
        arguments = (request.token, request.certificate_request, _address(context.peer()))
        enrolled = await in_thread(self._desk.enrol, *arguments)
        return pb.EnrolResponse(
            certificate=enrolled.certificate_pem,
            authorities=enrolled.authorities_pem,
            identity=enrolled.uri,
            role=enrolled.role,
        )


def _address(peer: str) -> str:
    # gRPC writes `ipv4:192.0.2.7:1234` and `ipv6:%5Bfd00::7%5D:1234`.
    try:
        return split_host_port(unquote(peer.partition(":")[2]), 0)[0]
    except InvalidArgumentError:
        return peer
