"""One picture into one file."""

from __future__ import annotations

import sys
from pathlib import Path

from usbshare.base.errors import UsbshareError
from usbshare.base.threads import in_thread
from usbshare.bridge.camera.timelapse import write_whole
from usbshare.client.camera.client import CameraClient
from usbshare.client.camera.messages import Frame, View
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

STDOUT = Path("-")


async def save_snapshot(
    target: Target, bundle: ClientBundle | None, camera_id: str, view: View, path: Path
) -> Frame:
    """Get the newest picture and write it, to stdout where the path is `-`; returns it."""
    client = CameraClient(target, bundle)
    try:
        frame = await client.snapshot(camera_id, view)
    finally:
        await client.close()
    await in_thread(_write, path, frame.data)
    return frame


def _write(path: Path, data: bytes) -> None:
    try:
        if path == STDOUT:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        else:
            write_whole(path, data)
    except OSError as error:
        raise UsbshareError(f"cannot write {path}: {error.strerror}") from error
