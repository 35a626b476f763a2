"""The camera service's RPCs: unpack, one call, pack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import grpc

from usbshare.audit.recorder import Audit
from usbshare.authorization.gate import Gate
from usbshare.authorization.rights import Resource, ResourceKind, Right
from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera.v1.camera_pb2_grpc import (
    CameraServiceServicer,
    add_CameraServiceServicer_to_server,
)
from usbshare.camera_svc.api import convert
from usbshare.camera_svc.api.view_stream import Watching
from usbshare.camera_svc.capture.audit import CameraAudit
from usbshare.camera_svc.capture.registry import OfferedCamera, Registry
from usbshare.camera_svc.viewers.snapshot import take_picture
from usbshare.camera_svc.viewers.stats import Client
from usbshare.rpc.first_message import first_message
from usbshare.rpc.identity import Identity
from usbshare.rpc.wire_time import duration, timestamp

Context = grpc.aio.ServicerContext[Any, Any]
SERVICE_NAME = "usbshare.camera.v1.CameraService"


class CameraServicer(CameraServiceServicer):
    """Maps RPCs to the registry and its cameras."""

    def __init__(self, registry: Registry, gate: Gate, audit: Audit | None = None) -> None:
        self._registry = registry
        self._gate = gate
        self._camera_audit = CameraAudit(time.monotonic, audit)
        self._started_at = time.monotonic()

    async def ListCameras(
        self, request: pb.ListCamerasRequest, context: Context
    ) -> pb.ListCamerasResponse:
        """List every camera that the caller may view."""
        cameras = [convert.camera_message(each) for each in self._visible(context)]
        return pb.ListCamerasResponse(cameras=cameras)

    async def Watch(  # type: ignore[override]  # the stub knows only generators
        self, request_iterator: AsyncIterator[pb.WatchRequest], context: Context
    ) -> None:
        """Stream one camera; what is written is serialised already."""
        first = await first_message(context, "open")
        asked = convert.asked(first.open)
        caller = self._gate.caller(context)
        if asked.camera_id:  # whether there is one is for those who may view it
            resource = Resource(ResourceKind.CAMERA, asked.camera_id)
            self._gate.require(caller, Right.VIEW, resource)
        offered = self._camera(asked.camera_id, caller)
        resource = Resource(ResourceKind.CAMERA, offered.id)
        client = _client(asked.client_name, caller)
        watching = Watching(
            offered,
            asked,
            client,
            context.write,
            lambda: self._gate.check(caller, Right.CONTROL, resource),
            lambda changes: self._camera_audit.controlled(client, offered.id, changes),
        )
        async with self._gate.permit(caller, Right.VIEW, resource):
            with self._camera_audit.watching(client, offered.id):
                await watching.serve(context.read, self._registry.ending)

    async def Snapshot(self, request: pb.SnapshotRequest, context: Context) -> pb.SnapshotResponse:
        """Return one picture, fresh as asked."""
        asked = convert.asked_picture(request)
        caller = self._gate.caller(context)
        offered, client = self._camera(asked.camera_id, caller), _client("snapshot", caller)
        picture = await take_picture(offered, client, asked.width, asked.quality, asked.max_age_s)
        self._camera_audit.pictured(client, offered.id)
        return pb.SnapshotResponse(frame=convert.frame_message(picture))

    async def GetControls(
        self, request: pb.GetControlsRequest, context: Context
    ) -> pb.GetControlsResponse:
        """Return the controls as they are."""
        offered = self._camera(request.camera_id, self._gate.caller(context))
        controls = await offered.camera.controls()
        return pb.GetControlsResponse(controls=convert.control_messages(controls))

    async def SetControls(
        self, request: pb.SetControlsRequest, context: Context
    ) -> pb.SetControlsResponse:
        """Change controls; the first change that cannot be made ends it."""
        changes = convert.control_changes(request.changes)
        offered = self._camera(request.camera_id, self._gate.caller(context))
        controls = await offered.camera.change_controls(changes)
        client = _client("", self._gate.caller(context))
        self._camera_audit.controlled(client, offered.id, changes)
        return pb.SetControlsResponse(controls=convert.control_messages(controls))

    async def WatchStats(
        self, request: pb.WatchStatsRequest, context: Context
    ) -> AsyncIterator[pb.WatchStatsResponse]:
        """Stream counters until the client leaves or the service ends."""
        interval_s = convert.interval_s(request)
        while not self._registry.ending.done():
            yield self._stats(request.camera_id, context)
            await asyncio.wait((self._registry.ending,), timeout=interval_s)

    def _camera(self, camera_id: str, caller: Identity) -> OfferedCamera:
        """Return the camera that is meant; texts name none that the caller may not know of."""
        known = partial(self._gate.known_to, caller, ResourceKind.CAMERA)
        return self._registry.get(camera_id, known)

    def _visible(self, context: Context) -> list[OfferedCamera]:
        caller = self._gate.caller(context)
        cameras = {each.id: each for each in self._registry.cameras}
        return [cameras[each] for each in self._gate.visible(caller, ResourceKind.CAMERA, cameras)]

    def _stats(self, camera_id: str, context: Context) -> pb.WatchStatsResponse:
        now = time.monotonic()
        caller = self._gate.caller(context)
        cameras = [self._camera(camera_id, caller)] if camera_id else self._visible(context)
        return pb.WatchStatsResponse(
            time=timestamp(datetime.now(UTC)),
            uptime=duration(now - self._started_at),
            cameras=[convert.stats_message(each, now) for each in cameras],
        )


def add_to_server(servicer: CameraServicer, server: grpc.aio.Server) -> None:
    """Register the servicer; Watch writes bytes, since a frame is serialised once for all."""
    watch: Any = {
        "Watch": grpc.stream_stream_rpc_method_handler(
            servicer.Watch, request_deserializer=pb.WatchRequest.FromString
        )
    }
    # Of generic handlers the first that knows a method serves it, of registered ones the last.
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, watch),))
    add_CameraServiceServicer_to_server(servicer, server)
    server.add_registered_method_handlers(SERVICE_NAME, watch)


def _client(name: str, identity: Identity) -> Client:
    return Client(name, identity.name, identity.address)
