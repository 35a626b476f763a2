"""Which source opens a camera of this computer, and how its cameras are listed, on this system."""

from __future__ import annotations

import sys
from collections.abc import Callable

from usbshare.camera_svc.capture.device_guard import CameraGuard
from usbshare.camera_svc.capture.device_list import CameraFound, DeviceList
from usbshare.camera_svc.capture.frame_source import Source, Wish
from usbshare.line.device_id_file import KnownDevices

if sys.platform == "linux":
    from usbshare.camera_svc.capture.v4l2 import is_camera
    from usbshare.camera_svc.capture.v4l2_source import V4l2Source

    def local_camera(source: str, wish: Wish, guard: CameraGuard | None = None) -> Source:
        """Return the source for a number, a device path or a link to one."""
        return V4l2Source(camera_node(source), wish, guard)

    def camera_node(source: str) -> str:
        """Return the path of the device that a number, a path or a link means."""
        return f"/dev/video{source}" if source.isdecimal() else source

    def camera_lister(
        known: KnownDevices | None = None,
    ) -> Callable[[], tuple[CameraFound, ...]]:
        """Return what lists the cameras that are plugged in; it blocks for some ms."""
        return DeviceList(is_camera, known=known).look

else:
    from usbshare.camera_svc.capture.video_source import VideoSource

    def local_camera(source: str, wish: Wish, guard: CameraGuard | None = None) -> Source:
        """Return the source for a number as OpenCV counts the cameras."""
        return VideoSource(int(source) if source.isdecimal() else source, wish.fps)

    def camera_node(source: str) -> str:
        """Return nothing: a number as OpenCV counts does not identify a device."""
        return ""

    def camera_lister(
        known: KnownDevices | None = None,
    ) -> Callable[[], tuple[CameraFound, ...]]:
        """Return an empty list: only Linux distinguishes cameras permanently."""
        return lambda: ()
