"""Watch a camera by the RPCs alone: python watch.py TARGET CLIENT_PEM JPEG_FILE [CAMERA_ID].

Takes ten frames, tells their age, and keeps the last. Needs grpcio, protobuf and the generated
modules of usbshare.camera.v1, nothing else of usbshare.
"""
# ruff: noqa: T201 - printing is what it is for

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path

import grpc

from usbshare.camera.v1 import camera_pb2 as pb
from usbshare.camera.v1.camera_pb2_grpc import CameraServiceStub

FRAMES = 10
MOST_FRAME_BYTES = 16 * 1024 * 1024


def credentials(bundle: Path) -> grpc.ChannelCredentials:
    """Return the trust in client.pem, which holds key, certificate and authority, in this order."""
    block = rb"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----\n"
    key, certificate, *authorities = re.findall(block, bundle.read_bytes(), re.DOTALL)
    return grpc.ssl_channel_credentials(b"".join(authorities), key, certificate)


async def watch(target: str, bundle: Path, camera_id: str = "") -> bytes:
    """Return the last frame; each is acknowledged as soon as it is here, else no more come."""
    options = (("grpc.max_receive_message_length", MOST_FRAME_BYTES),)
    async with grpc.aio.secure_channel(target, credentials(bundle), options) as channel:
        call = CameraServiceStub(channel).Watch()
        view = pb.View(width_px=640, fps=10)
        opening = pb.Open(camera_id=camera_id, view=view, client_name="watch.py")
        await call.write(pb.WatchRequest(open=opening))
        left = FRAMES
        while left and (response := await call.read()) is not grpc.aio.EOF:
            kind, frame = response.WhichOneof("event"), response.frame
            if kind == "opened":
                print(f"watching '{response.opened.camera.id}'")
            if kind not in {"opened", "frame"}:
                continue
            # 0, where there is no frame, acknowledges `opened`: that tells the round trip.
            await call.write(pb.WatchRequest(acknowledge=pb.Acknowledge(sequence=frame.sequence)))
            if kind == "frame":
                left -= 1
                size = f"{frame.width_px}x{frame.height_px}"
                age_ms = (time.time() - frame.capture_time.ToNanoseconds() / 1e9) * 1000
                print(f"frame {frame.sequence}: {size}, {age_ms:.1f} ms old by the host's clock")
        await call.done_writing()
        return bytes(frame.data)


if __name__ == "__main__":
    try:
        jpeg = asyncio.run(watch(sys.argv[1], Path(sys.argv[2]), *sys.argv[4:]))
        Path(sys.argv[3]).write_bytes(jpeg)
    except grpc.aio.AioRpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
