"""Keeps a picture now and then, each in a separate file."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from usbshare.base.threads import in_thread
from usbshare.bridge.camera.output import OutputError
from usbshare.client.camera.messages import Frame
from usbshare.client.camera.view import Newest

log = logging.getLogger(__name__)


class Timelapse:
    """A file each interval, named by its capture time in UTC; none while there is no picture.

    A disk that is full for a while costs pictures, and is reported once.
    """

    def __init__(self, folder: Path, every_s: float, clock: Callable[[], float]) -> None:
        self.name = f"the time lapse in {folder}"
        self.pictures = 0
        self._folder = folder
        self._every_s = every_s
        self._clock = clock
        self._last_sequence: int | None = None
        self._is_failing = False

    async def run(self, newest: Newest) -> None:
        """Keep pictures; raises OutputError when the folder cannot be made."""
        try:
            await in_thread(partial(self._folder.mkdir, parents=True, exist_ok=True))
        except OSError as error:
            raise OutputError(f"cannot create {self._folder}: {error.strerror}") from error
        due = self._clock()
        while True:
            picture = await newest.after(0)
            frame = picture.frame
            if not frame.is_placeholder and frame.sequence != self._last_sequence:
                await self._keep(frame)
            due = max(due + self._every_s, self._clock())
            await asyncio.sleep(due - self._clock())

    async def _keep(self, frame: Frame) -> None:
        path = self._folder / file_name(frame)
        try:
            await in_thread(write_whole, path, frame.data)
        except OSError as error:
            if not self._is_failing:
                log.warning("cannot save %s: %s; trying again", path, error.strerror)
            self._is_failing = True
            return
        self._is_failing = False
        self._last_sequence = frame.sequence
        self.pictures += 1


def file_name(frame: Frame) -> str:
    """Return a name that sorts by time and every file system takes."""
    moment = datetime.fromtimestamp(frame.captured_s, UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z.jpg"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is never seen half; raises OSError."""
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        half.write_bytes(data)
        half.replace(path)
    except OSError:
        half.unlink(missing_ok=True)
        raise
