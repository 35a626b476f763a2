"""Writes the pictures to a video file, as they came."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from usbshare.bridge.camera.newest import Newest
from usbshare.bridge.camera.output import OutputError
from usbshare.bridge.camera.video_file import VideoFile, create

T = TypeVar("T")


class Recording:
    """Every picture that the disk keeps up with; what stands in for one is left out."""

    def __init__(self, path: Path) -> None:
        self.name = f"the recording {path}"
        self.pictures = 0
        self._path = path
        # One thread: what is being written when the end comes is written before the file's end.
        self._thread = ThreadPoolExecutor(1, "recording")

    async def run(self, newest: Newest) -> None:
        """Record; the file is made whole at the end, whatever ends it."""
        try:
            file = await self._do(partial(create, self._path))
            try:
                await self._record(newest, file)
            finally:
                await asyncio.shield(self._do(file.close))
        finally:
            self._thread.shutdown(wait=False)

    async def _record(self, newest: Newest, file: VideoFile) -> None:
        seen = 0
        while True:
            picture = await newest.after(seen)
            seen = picture.number
            if not picture.frame.is_placeholder:
                await self._do(partial(file.write, picture.frame, picture.arrived_at))
                self.pictures += 1

    async def _do(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except FileExistsError as error:
            raise OutputError(f"{self._path} is there already: choose another name") from error
        except OSError as error:
            raise OutputError(f"cannot record {self._path}: {error.strerror}") from error
