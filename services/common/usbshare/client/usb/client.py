"""Calls to one USB service; refusals come out as domain errors that say why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import TypeVar

import grpc

from usbshare.base.errors import ConnectionRefusedByPeerError, DeviceError, UsbshareError
from usbshare.client.explanation import explain
from usbshare.client.usb.messages import Opened, RemoteDevice
from usbshare.rpc.channel import Target, open_channel
from usbshare.rpc.stream_writes import write
from usbshare.rpc.tls import ClientBundle
from usbshare.usb.v1 import usb_pb2 as pb
from usbshare.usb.v1.usb_pb2_grpc import UsbServiceStub
from usbshare.usbip.messages import Speed

CALL_TIMEOUT_S = 15.0  # the first call of a connection makes it
LOOK_TIMEOUT_S = 5.0
OUR_SERVICE = "usbshare.usb.v1.UsbService"

_Reply = TypeVar("_Reply")
_Call = grpc.aio.StreamStreamCall[pb.AttachRequest, pb.AttachResponse]
_SPEEDS = {
    pb.SPEED_LOW: Speed.LOW,
    pb.SPEED_FULL: Speed.FULL,
    pb.SPEED_HIGH: Speed.HIGH,
    pb.SPEED_SUPER: Speed.SUPER,
    pb.SPEED_SUPER_PLUS: Speed.SUPER_PLUS,
}
_STATES = {
    pb.DEVICE_STATE_AVAILABLE: "available",
    pb.DEVICE_STATE_ATTACHED: "attached",
    pb.DEVICE_STATE_IN_USE: "in use",
}


class AttachStream:
    """One device for as long as the stream lasts; every method raises UsbshareError."""

    def __init__(self, client: UsbClient, call: _Call) -> None:
        self._client = client
        self._call = call
        self._writing = asyncio.Lock()

    async def open(self, device_id: str, client_name: str) -> Opened:
        """Ask the host for the device; DeviceError says why it is refused."""
        asked = pb.OpenDevice(device_id=device_id, client_name=client_name)
        await self._send(pb.AttachRequest(open=asked))
        first = await self._read()
        if first is None or not first.HasField("opened"):
            raise DeviceError(f"{self._client.target} did not lend '{device_id}'")
        opened = first.opened
        timeout_s = opened.link_timeout_ms / 1000
        return Opened(_device(opened.device), opened.devid, timeout_s)

    async def send(self, data: bytes) -> None:
        """Send bytes of USB/IP."""
        await self._send(pb.AttachRequest(data=data))

    async def beat(self, number: int) -> None:
        """Send a heartbeat with that number."""
        await self._send(pb.AttachRequest(beat=pb.Beat(id=number)))

    async def receive(self) -> bytes | int | None:
        """Return bytes of USB/IP, the number of a beat that was answered, or None at the end."""
        response = await self._read()
        if response is None:
            return None
        return response.data if response.HasField("data") else response.beat.id

    def cancel(self) -> None:
        """End the stream at once, which frees the device."""
        self._call.cancel()

    async def _send(self, message: pb.AttachRequest) -> None:
        try:
            async with self._writing:
                await write(self._call, message)
        except asyncio.InvalidStateError:
            return  # that it has ended, `receive` says
        except grpc.aio.AioRpcError as error:
            raise await self._client.explain(error) from error

    async def _read(self) -> pb.AttachResponse | None:
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise await self._client.explain(error) from error
        return response if isinstance(response, pb.AttachResponse) else None


class UsbClient:
    """A connection of its own to one USB service."""

    def __init__(self, target: Target, bundle: ClientBundle | None) -> None:
        self.target = target
        self._bundle = bundle
        self._channel = open_channel(target, bundle)
        self._stub = UsbServiceStub(self._channel)

    async def list_devices(self, timeout_s: float = CALL_TIMEOUT_S) -> list[RemoteDevice]:
        """Return the devices that we may see."""
        call = self._stub.ListDevices(pb.ListDevicesRequest(), timeout=timeout_s)
        return [_device(each) for each in (await self._told(call)).devices]

    def attach(self) -> AttachStream:
        """Begin to attach a device."""
        return AttachStream(self, self._stub.Attach())

    async def explain(self, error: grpc.aio.AioRpcError) -> UsbshareError:
        """Return why an RPC failed; looks closer where gRPC only says that it did."""
        look = partial(self._unreachable, LOOK_TIMEOUT_S)
        return await explain(error, self.target, self._bundle, OUR_SERVICE, look)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def _told(self, call: Awaitable[_Reply]) -> _Reply:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error

    async def _unreachable(self, timeout_s: float) -> ConnectionRefusedByPeerError | None:
        from usbshare.handshakes.unreachable import unreachable  # noqa: PLC0415 - half of TLS

        return await unreachable(self.target, self._bundle, timeout_s)


def _device(message: pb.Device) -> RemoteDevice:
    return RemoteDevice(
        id=message.id,
        vid=message.vendor_id,
        pid=message.product_id,
        serial=message.serial_number,
        manufacturer=message.manufacturer,
        product=message.product,
        socket=message.socket,
        speed=_SPEEDS.get(message.speed, Speed.UNKNOWN),
        state=_STATES.get(message.state, "refused"),
        reason=message.reason,
        holder=message.holder,
    )
