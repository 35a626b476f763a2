"""Calls to a camera service whose answers are passed to pages unchanged."""

from __future__ import annotations

import grpc

from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.client.camera.client import CameraClient
from usbshare.panel.seen import SeenCamera

CALL_TIMEOUT_S = 15.0


class CameraCalls(CameraClient):
    """A separate connection to one camera service; errors are UsbshareErrors."""

    async def seen_cameras(self) -> list[SeenCamera]:
        """Return every camera."""
        try:
            reply = await self._stub.ListCameras(pb.ListCamerasRequest(), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        return [SeenCamera(each.id, each) for each in reply.cameras]
