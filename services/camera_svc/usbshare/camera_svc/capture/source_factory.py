"""Turns a camera's source into what delivers: a device, a file, a URL or a simulated bed."""

from __future__ import annotations

import re
from pathlib import Path

from usbshare.base.errors import ConfigError
from usbshare.camera_svc.capture.device_guard import CameraGuard
from usbshare.camera_svc.capture.frame_source import Source, SourceMaker, Wish
from usbshare.camera_svc.capture.local_camera import camera_node, local_camera
from usbshare.camera_svc.capture.mjpeg_source import FILE_SUFFIXES, MjpegSource
from usbshare.camera_svc.capture.video_source import VideoSource
from usbshare.camera_svc.sim.source import SimSource
from usbshare.camera_svc.sim.url import SCHEME as SIMULATED
from usbshare.camera_svc.sim.url import parse_sim_url

_URL = re.compile(r"([a-z0-9+]+)://(.*)", re.IGNORECASE)
_SCHEMES = ("sim", "file", "http", "https", "rtsp", "rtsps", "rtmp", "udp", "tcp")
_DEVICE = re.compile(r"[0-9]+|/dev/.+")


def check_source(source: str) -> str:
    """Return the source if it is well formed; raises ConfigError with the correct form."""
    url = _URL.fullmatch(source)
    if not source.strip():
        raise ConfigError("a source must be a device, a file or a URL, not empty")
    if url is not None and url[1].lower() not in _SCHEMES:
        raise ConfigError(f"source '{source}': scheme {url[1]} is not one of {', '.join(_SCHEMES)}")
    if source.startswith(SIMULATED):
        parse_sim_url(source)
    return source


def source_maker(source: str, wish: Wish, guard: CameraGuard | None = None) -> SourceMaker:
    """Return what makes a new source for each opening; raises ConfigError."""
    check_source(source)
    return lambda: _make(source, wish, guard)


def is_device(source: str) -> bool:
    """Return whether the source is a device of this computer, by number or by path."""
    return _DEVICE.fullmatch(source) is not None


def local_node(source: str) -> str | None:
    """Return the path behind a source: None if it is no path, empty if unknown."""
    if is_device(source):
        return camera_node(source)
    path = source.removeprefix("file://")
    return None if _URL.fullmatch(path) else path


def _make(source: str, wish: Wish, guard: CameraGuard | None) -> Source:
    if source.startswith(SIMULATED):
        return SimSource(parse_sim_url(source))
    if is_device(source):
        return local_camera(source, wish, guard)
    path = Path(source.removeprefix("file://"))
    if path.is_dir() or path.suffix.lower() in FILE_SUFFIXES:
        return MjpegSource(path, wish.fps)
    return VideoSource(source.removeprefix("file://"), wish.fps)
