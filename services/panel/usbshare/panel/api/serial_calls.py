"""Calls to a serial service whose answers are passed to pages unchanged."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc

from usbshare.access.v1 import access_pb2
from usbshare.access.v1.access_pb2_grpc import AccessServiceStub
from usbshare.client.access import as_who_am_i
from usbshare.client.serial import convert
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.convert_machine import machine_status, watch_request
from usbshare.client.streamed_call import streamed
from usbshare.panel.seen import SeenMachine, SeenPort, SeenRights
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle
from usbshare.serial.v1 import serial_pb2 as pb

CALL_TIMEOUT_S = 15.0


class SerialCalls(SerialClient):
    """A separate connection to one serial service; errors are UsbshareErrors."""

    def __init__(self, target: Target, bundle: ClientBundle | None) -> None:
        super().__init__(target, bundle)
        self._access = AccessServiceStub(self._channel)

    async def seen_ports(self) -> list[SeenPort]:
        """Return every port."""
        try:
            reply = await self._stub.ListPorts(pb.ListPortsRequest(), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        return [_seen(port) for port in reply.ports]

    async def port_changes(self) -> AsyncGenerator[tuple[SeenPort, bool], None]:
        """Yield every port, then each that changes, and whether it is gone."""
        call = self._stub.WatchPorts(pb.WatchPortsRequest())
        async with streamed(call, self.explain):
            while isinstance(reply := await call.read(), pb.WatchPortsResponse):
                yield _seen(reply.port), reply.change == pb.PORT_CHANGE_REMOVED

    async def machine_reports(
        self, port_id: str, interval_s: float
    ) -> AsyncGenerator[SeenMachine, None]:
        """Yield reports of a machine at intervals; raises UsbshareError."""
        call = self._stub.WatchMachine(watch_request(port_id, interval_s))
        async with streamed(call, self.explain):
            while isinstance(reply := await call.read(), pb.WatchMachineResponse):
                yield SeenMachine(machine_status(reply), reply)

    async def rights(self) -> SeenRights:
        """Return our identity and rights there."""
        request = access_pb2.WhoAmIRequest()
        try:
            reply = await self._access.WhoAmI(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        return SeenRights(as_who_am_i(reply), reply)

    async def confirm(self, code: str) -> access_pb2.ConfirmResponse:
        """Confirm the second factor; the answer has the end of the confirmation."""
        request = access_pb2.ConfirmRequest(code=code)
        try:
            return await self._access.Confirm(request, timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error


def _seen(message: pb.Port) -> SeenPort:
    held = message.holder.session_id if message.HasField("holder") else ""
    return SeenPort(convert.remote_port(message), held, message)
