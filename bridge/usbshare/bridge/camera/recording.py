"""Writes the pictures to a video file, as they came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path

from usbshare.base.threads import OwnThread
from usbshare.bridge.camera.output import OutputError
from usbshare.bridge.camera.video_file import VideoFile, create
from usbshare.client.camera.messages import Frame
from usbshare.client.camera.view import Newest

CLOSE_TIMEOUT_S = 5.0


class Recording:
    """Every picture that the disk can keep up with; placeholders are left out."""

    def __init__(self, path: Path) -> None:
        self.name = f"the recording {path}"
        self.pictures = 0
        self._path = path
        # One thread: what is being written when the end comes is written before the file's end.
        self._thread = OwnThread("recording")
        self._file: VideoFile | None = None

    async def run(self, newest: Newest) -> None:
        """Record; the file is made whole at the end, whatever ends it."""
        try:
            await self._done(self._thread.submit(self._create))
            await self._record(newest)
        finally:
            ending = self._thread.finish(self._close)
            await self._done(asyncio.wait_for(asyncio.shield(ending), CLOSE_TIMEOUT_S))

    async def _record(self, newest: Newest) -> None:
        seen = 0
        while True:
            picture = await newest.after(seen)
            seen = picture.number
            if not picture.frame.is_placeholder:
                await self._done(
                    self._thread.submit(self._write, picture.frame, picture.arrived_at)
                )
                self.pictures += 1

    # In the thread.

    def _create(self) -> None:
        self._file = create(self._path)

    def _write(self, frame: Frame, arrived_at: float) -> None:
        if self._file is not None:
            self._file.write(frame, arrived_at)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()

    async def _done(self, work: Awaitable[None]) -> None:
        try:
            await work
        except FileExistsError as error:
            raise OutputError(f"{self._path} already exists: choose another name") from error
        except OSError as error:
            raise OutputError(
                f"cannot record {self._path}: {error.strerror or 'the disk hangs'}"
            ) from error
