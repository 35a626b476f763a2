"""Follows the camera service of one host: the cameras that it has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Protocol

from usbshare.panel.board import CAMERAS, Board
from usbshare.panel.following import proven
from usbshare.panel.seen import SeenCamera
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

LOOK_S = 5.0

Pack = Callable[[str, SeenCamera], str]


class Calls(Protocol):
    """The calls to a camera service that are needed here."""

    async def seen_cameras(self) -> list[SeenCamera]:
        """Return every camera."""
        ...

    async def close(self) -> None:
        """Disconnect."""


Connect = Callable[[Target, ClientBundle | None], Calls]


class CameraFollower:
    """One host's; `place` is where its service answers, None before."""

    def __init__(
        self,
        host: str,
        connect: Connect,
        board: Board,
        pack: Pack,
        connected: Callable[[Target], None],
    ) -> None:
        self.place: tuple[Target, ClientBundle | None] | None = None
        self._host = host
        self._connect = connect
        self._board = board
        self._pack = pack
        self._connected = connected
        self._shown: set[str] = set()

    async def run_once(self, targets: Sequence[Target], bundle: ClientBundle | None) -> None:
        """Poll for as long as the service answers; raises UsbshareError."""
        target = await proven(targets, bundle)
        calls = self._connect(target, bundle)
        try:
            while True:
                self._show(await calls.seen_cameras())
                self.place = (target, bundle)
                self._connected(target)
                await asyncio.sleep(LOOK_S)
                await self._board.watched.wait()
        finally:
            await calls.close()

    def clear(self) -> None:
        """Remove all cameras."""
        self._show([])

    def _show(self, cameras: Sequence[SeenCamera]) -> None:
        for camera in cameras:
            self._board.put(CAMERAS, (self._host, camera.id), self._pack(self._host, camera))
        gone = self._shown - {camera.id for camera in cameras}
        self._shown = {camera.id for camera in cameras}
        for id_ in gone:
            name = json.dumps({"host": self._host, "cameraId": id_}, ensure_ascii=False)
            self._board.remove(CAMERAS, (self._host, id_), name)
