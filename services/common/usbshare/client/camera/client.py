"""Calls to one camera service; refusals come out as domain errors that say why."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial

import grpc

from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub
from usbshare.client.camera import convert
from usbshare.client.camera.messages import Event, Frame, HostReport, RemoteCamera, View
from usbshare.client.explanation import explain
from usbshare.rpc.channel import VIDEO_KEEPALIVE, Target, open_channel, until_connected
from usbshare.rpc.status import error_from_rpc
from usbshare.rpc.stream_writes import write
from usbshare.rpc.tls import ClientBundle

CALL_TIMEOUT_S = 15.0  # the first call of a connection makes it
LOOK_TIMEOUT_S = 5.0
REASON_TIMEOUT_S = 0.5
OUR_SERVICE = "usbshare.camera.v1.CameraService"
SNAPSHOT_TIMEOUT_S = 25.0  # a camera that must be opened first takes seconds
MOST_FRAME_BYTES = 16 * 1024 * 1024

_Call = grpc.aio.StreamStreamCall[pb.WatchRequest, pb.WatchResponse]


class WatchStream:
    """One live view; its methods raise grpc.aio.AioRpcError, see `CameraClient.explain`."""

    def __init__(self, call: _Call) -> None:
        self._call = call

    async def receive(self) -> Event | None:
        """Return what happened, None for what we do not know; raises EOFError at the end."""
        response = await self._call.read()
        if not isinstance(response, pb.WatchResponse):
            raise EOFError
        return convert.event(response)

    async def acknowledge(self, sequence: int) -> None:
        """Acknowledge a frame; if the stream has ended, `receive` raises."""
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            await write(self._call, convert.acknowledge(sequence))

    def cancel(self) -> None:
        """End the stream at once."""
        self._call.cancel()


class CameraClient:
    """A separate connection to one service: pictures never share one with a machine's stop."""

    def __init__(self, target: Target, bundle: ClientBundle | None) -> None:
        self.target = target
        self._bundle = bundle
        self._channel = open_channel(
            target, bundle, most_message_bytes=MOST_FRAME_BYTES, keepalive=VIDEO_KEEPALIVE
        )
        self._stub = CameraServiceStub(self._channel)

    async def connect(self) -> None:
        """Connect, in one attempt; ConnectionRefusedByPeerError says in gRPC's words why not."""
        if await until_connected(self._channel):
            return
        try:  # a call that fails at once has the reason, which the state has not
            await self._stub.ListCameras(pb.ListCamerasRequest(), timeout=REASON_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            found = error_from_rpc(error)
            if isinstance(found, ConnectionRefusedByPeerError):
                raise found from error

    async def list_cameras(self, timeout_s: float = CALL_TIMEOUT_S) -> list[RemoteCamera]:
        """Return the service's cameras."""
        try:
            reply = await self._stub.ListCameras(pb.ListCamerasRequest(), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        return [convert.camera(each) for each in reply.cameras]

    async def snapshot(
        self, camera_id: str, view: View, timeout_s: float = SNAPSHOT_TIMEOUT_S
    ) -> Frame:
        """Return one picture."""
        request = convert.snapshot_request(camera_id, view)
        try:
            reply = await self._stub.Snapshot(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        return convert.frame(reply.frame)

    async def watch(self, camera_id: str, view: View, client_name: str) -> WatchStream:
        """Begin a view; its first event is `OpenedEvent`, or an error says why not."""
        call: _Call = self._stub.Watch()
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):  # `receive` says why
            await write(call, convert.open_request(camera_id, view, client_name))
        return WatchStream(call)

    async def host_report(
        self, camera_id: str, client_name: str, timeout_s: float = CALL_TIMEOUT_S
    ) -> HostReport:
        """Return the host's time and its counters of this client, over the connection in use."""
        start = time.monotonic()
        call = self._stub.WatchStats(pb.WatchStatsRequest(camera_id=camera_id), timeout=timeout_s)
        try:
            reply = await call.read()
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        finally:
            call.cancel()
        if not isinstance(reply, pb.WatchStatsResponse):
            raise ConnectionRefusedByPeerError(
                f"{self.target} does not report its time: it is stopping"
            )
        return convert.host_report(reply, client_name, time.monotonic() - start)

    async def explain(
        self, error: grpc.aio.AioRpcError, timeout_s: float = LOOK_TIMEOUT_S
    ) -> UsbshareError:
        """Return why an RPC failed; looks closer where gRPC only says that it did."""
        look = partial(self._unreachable, timeout_s)
        return await explain(error, self.target, self._bundle, OUR_SERVICE, look)

    async def why_unreachable(self, timeout_s: float = LOOK_TIMEOUT_S) -> str | None:
        """Return why the service cannot be reached, over a separate connection; None if it can."""
        error = await self._unreachable(timeout_s)
        return None if error is None else str(error)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def _unreachable(self, timeout_s: float) -> ConnectionRefusedByPeerError | None:
        from usbshare.handshakes.unreachable import unreachable  # noqa: PLC0415 - half of TLS

        return await unreachable(self.target, self._bundle, timeout_s)
