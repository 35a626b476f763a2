"""One picture of a camera, for which it is opened if need be."""

from __future__ import annotations

import asyncio
import time

from usbshare.base.errors import DeviceError
from usbshare.camera_svc.capture.camera import CameraState
from usbshare.camera_svc.capture.registry import OfferedCamera
from usbshare.camera_svc.picture.frame import Picture
from usbshare.camera_svc.viewers.stats import Client, Watcher
from usbshare.camera_svc.viewers.viewer import View, Viewer

DEFAULT_QUALITY = 90
TIMEOUT_S = 10.0


async def take_picture(
    offered: OfferedCamera, client: Client, width: int, quality: int, max_age_s: float
) -> Picture:
    """Return a picture no older than that; DeviceError says why there is none.

    A camera that opens for it may take its time for the first one.
    """
    arrived = asyncio.Event()
    view = View(width, quality=quality or _default_quality(offered), is_fixed=True)
    viewer = Viewer(view, time.monotonic, arrived.set, window=1)
    watcher = Watcher(client, viewer, lambda: None)
    opens = offered.camera.state in (CameraState.CLOSED, CameraState.OPENING)
    offered.join(watcher)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            return await _first_fresh(offered, viewer, arrived, max_age_s, opens=opens)
    except TimeoutError as error:
        why = offered.camera.reason or f"no picture within {TIMEOUT_S:g} s"
        raise DeviceError(f"camera '{offered.id}': {why}") from error
    finally:
        offered.leave(watcher)


async def _first_fresh(
    offered: OfferedCamera,
    viewer: Viewer,
    arrived: asyncio.Event,
    max_age_s: float,
    *,
    opens: bool,
) -> Picture:
    while True:
        await arrived.wait()
        arrived.clear()
        if (taken := viewer.take()) is None:
            continue
        picture, _ = taken
        if picture.is_placeholder and not (opens and offered.camera.is_capturing):
            raise DeviceError(f"camera '{offered.id}': {offered.camera.reason}")
        is_fresh = time.monotonic_ns() - picture.captured.monotonic_ns <= max_age_s * 1e9
        if is_fresh and not picture.is_placeholder:
            return picture
        viewer.acknowledged(picture.sequence)
        offered.camera.fanout.serve((viewer,))


def _default_quality(offered: OfferedCamera) -> int:
    """Return 0, which passes the camera's own JPEG through, where that is what it delivers."""
    last = offered.camera.last_good
    return 0 if last is not None and last.jpeg is not None else DEFAULT_QUALITY
