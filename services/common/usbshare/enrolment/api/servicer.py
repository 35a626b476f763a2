"""EnrolmentService over gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import unquote

import grpc

from usbshare.access.v1 import access_pb2 as pb
from usbshare.access.v1.access_pb2_grpc import EnrolmentServiceServicer
from usbshare.base.addresses import network_of, split_host_port
from usbshare.base.errors import InvalidArgumentError
from usbshare.base.threads import in_thread
from usbshare.enrolment.enroller import Enroller

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
SERVICE_NAME = "usbshare.access.v1.EnrolmentService"
REQUEST_TIMEOUT_S = 5.0
MOST_OF_ONE = 4
MOST_WAITING = 128
MOST_AT_ONCE = 8


class EnrolmentServicer(EnrolmentServiceServicer):
    """Enrols the holders of invitations.

    Callers need no certificate here, and must not keep others out: see `WaitingRoom`.
    """

    def __init__(self, enroller: Enroller) -> None:
        self._enroller = enroller
        self._waiting_room = WaitingRoom()
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)

    async def Enrol(self, request: pb.EnrolRequest, context: _Context) -> pb.EnrolResponse:
        """Exchange a token for a certificate."""
        arguments = (request.token, request.certificate_request, _address(context.peer()))
        async with self._at_once:
            enrolled = await in_thread(self._enroller.enrol, *arguments)
        return pb.EnrolResponse(
            certificate=enrolled.certificate_pem,
            authorities=enrolled.authorities_pem,
            identity=enrolled.uri,
            role=enrolled.role,
        )

    async def enrol_in_time(
        self, requests: AsyncIterator[pb.EnrolRequest], context: _Context
    ) -> pb.EnrolResponse:
        """Wait for the request, with a deadline, and answer it.

        InvalidArgumentError if none came.
        """
        network = network_of(_address(context.peer()))
        try:
            async with self._waiting_room.wait(network):
                request = await anext(aiter(requests))
        except (TimeoutError, StopAsyncIteration) as error:
            raise InvalidArgumentError("no request arrived in time") from error
        return await self.Enrol(request, context)


class WaitingRoom:
    """Calls whose request has not arrived: each stays for seconds, the oldest makes room.

    A legitimate caller sends its request at once, so it waits for no other.
    """

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Timeout, str] = {}

    @asynccontextmanager
    async def wait(self, network: str) -> AsyncIterator[None]:
        """Have a place while the block lasts; TimeoutError when it is over."""
        of_one = [place for place, each in self._waiting.items() if each == network]
        if len(of_one) >= MOST_OF_ONE:
            self._end(of_one[0])
        elif len(self._waiting) >= MOST_WAITING:
            self._end(next(iter(self._waiting)))
        async with asyncio.timeout(REQUEST_TIMEOUT_S) as place:
            self._waiting[place] = network
            try:
                yield
            finally:
                self._waiting.pop(place, None)

    def _end(self, place: asyncio.Timeout) -> None:
        del self._waiting[place]
        place.reschedule(asyncio.get_running_loop().time())


def add_to_server(servicer: EnrolmentServicer, server: grpc.aio.Server) -> None:
    """Register the servicer, with a handler that runs before the request has arrived.

    On the wire it is the same call: gRPC waits indefinitely for the request of a unary handler.
    """
    handlers: Any = {
        "Enrol": grpc.stream_unary_rpc_method_handler(
            servicer.enrol_in_time,
            request_deserializer=pb.EnrolRequest.FromString,
            response_serializer=pb.EnrolResponse.SerializeToString,
        )
    }
    handler = grpc.method_handlers_generic_handler(SERVICE_NAME, handlers)
    server.add_generic_rpc_handlers((handler,))


def _address(peer: str) -> str:
    # gRPC writes `ipv4:192.0.2.7:1234` and `ipv6:%5Bfd00::7%5D:1234`.
    try:
        return split_host_port(unquote(peer.partition(":")[2]), 0)[0]
    except InvalidArgumentError:
        return peer
