"""Calls to the standard health service, on a separate connection."""

from __future__ import annotations

import time
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.handshakes.unreachable import why_unreachable
from usbshare.rpc.channel import Target, open_channel
from usbshare.rpc.status import error_from_rpc
from usbshare.rpc.tls import ClientBundle

CALL_S = 10.0  # the first call connects


class HealthClient:
    """Asks one server for its health."""

    def __init__(self, target: Target, bundle: ClientBundle | None) -> None:
        self._target, self._bundle = target, bundle
        self._channel = open_channel(target, bundle)
        self._stub: Any = health_pb2_grpc.HealthStub(self._channel)  # typed for the sync API

    async def status(self, service: str = "") -> str:
        """Return SERVING or what else it says of a service, or of all; raises UsbshareError."""
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            reply = await self._stub.Check(request, timeout=CALL_S)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return "NOT_THERE"
            explained = error_from_rpc(error)
            if not isinstance(explained, ConnectionRefusedByPeerError):
                raise explained from error
            why = await why_unreachable(self._target, self._bundle, CALL_S)
            raise ConnectionRefusedByPeerError(why or f"{self._target}: {explained}") from error
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))

    async def round_trip_s(self) -> float:
        """Return how many seconds one call takes; raises UsbshareError."""
        start = time.perf_counter()
        await self.status()
        return time.perf_counter() - start

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()
