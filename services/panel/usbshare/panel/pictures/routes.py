"""Mounts the pictures: `/video`, `/stream` and `/snapshot.jpg`."""

from __future__ import annotations

from aiohttp import web

from usbshare.panel.pictures.cameras import CameraServices
from usbshare.panel.pictures.jpeg_pages import JpegPages
from usbshare.panel.pictures.video_socket import VideoSockets


def add_pictures(app: web.Application, cameras: CameraServices, client_name: str) -> None:
    """Add the routes to an application, whose middlewares guard them; they end with it.

    `client_name` is what hosts show as the viewer.
    """
    video, pages = VideoSockets(cameras, client_name), JpegPages(cameras, client_name)
    app.router.add_get("/video", video.handle, allow_head=False)
    app.router.add_get("/stream", pages.stream, allow_head=False)
    app.router.add_get("/snapshot.jpg", pages.snapshot, allow_head=False)

    async def close(_: web.Application) -> None:
        await video.close()
        await pages.close()

    app.on_shutdown.append(close)
