"""Analyses of files on machines, in processes of their own; recent ones are kept."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

from usbshare.analysis.records import Analysis, MachineFacts
from usbshare.analysis.worker_process import analyse_aside, preview_aside
from usbshare.base.errors import DeviceError, LimitError, UsbshareError
from usbshare.base.os_errors import in_words, of_file
from usbshare.base.paths import make_private
from usbshare.base.threads import in_thread
from usbshare.base.watched_task import cancel_all
from usbshare.client.serial.messages import RemotePort
from usbshare.job_svc.run.turns import Turns
from usbshare.job_svc.run.unchecked import foreign_firmware, unchecked
from usbshare.job_svc.storage.file_thread import Files

MOST_KEPT = 64
MOST_PREVIEWS, PREVIEW_TIMEOUT_S = 8, 600.0
# Start bit, eight bits, stop bit: what a byte takes of a line at least.
BITS_A_BYTE = 10

Key = tuple[str, str, int]


class Analyses:
    """One analysis at a time, in a separate process; the latest results are kept.

    An analysis that a start waits for begins at once, beside another one: no start waits for the
    analysis of another user's file.
    """

    def __init__(
        self, files: Files, port: Callable[[str], RemotePort | None], folder: Path
    ) -> None:
        self._files = files
        self._folder = folder
        self._port = port
        self._turns = Turns()
        self._previews = 0
        self._found: OrderedDict[Key, asyncio.Task[Analysis]] = OrderedDict()
        self._done: dict[Key, int] = {}
        self._firmware: dict[Key, str] = {}
        self._facts: dict[str, MachineFacts] = {}

    def machine_told(self, port_id: str, facts: MachineFacts) -> None:
        """Note what a machine told of itself; what was found without that is found again."""
        if self._facts.get(port_id) == facts:
            return
        self._facts[port_id] = facts
        for key in [each for each in self._found if each[1] == port_id]:
            self._forget(key)

    def of(self, sha256: str, port_id: str, passes: int) -> asyncio.Task[Analysis]:
        """Return the analysis of a file, started if necessary; its task needs no waiter."""
        key = (sha256, port_id, min(passes, 2))
        firmware = foreign_firmware(self._port(port_id))
        if key in self._found and self._firmware.get(key) != firmware:
            self._forget(key)  # more is known about the machine by now
        task = self._found.get(key)
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            task = asyncio.create_task(self._analyse(key), name=f"analyse {sha256[:12]}")
            task.add_done_callback(_heard)
            self._found[key], self._firmware[key] = task, firmware
        self._found.move_to_end(key)
        while len(self._found) > MOST_KEPT:
            self._forget(next(iter(self._found)))
        return task

    def hurry(self, sha256: str, port_id: str, passes: int) -> None:
        """Start an analysis now, if it waits for another."""
        self._turns.hurry((sha256, port_id, min(passes, 2)))

    def lines_done(self, sha256: str, port_id: str, passes: int) -> int:
        """Return how many lines an analysis has looked at."""
        return self._done.get((sha256, port_id, min(passes, 2)), 0)

    @asynccontextmanager
    async def preview(
        self, sha256: str, port_id: str, title: str, *, as_json: bool, width_px: int, from_line: int
    ) -> AsyncIterator[Path]:
        """Yield the path of a preview's file, which exists during the block; raises DeviceError."""
        path = await self._files.path(sha256)
        with self._room_for_preview(), await self._scratch() as output:
            async with self._turns.turn(object()):
                try:
                    await preview_aside(
                        path,
                        Path(output.name),
                        as_json=as_json,
                        machine=self._facts.get(port_id),
                        width_px=width_px,
                        from_line=from_line,
                        title=title,
                        timeout_s=PREVIEW_TIMEOUT_S,
                    )
                except OSError as error:
                    raise _undrawn(error, Path(output.name)) from error
            yield Path(output.name)

    async def close(self) -> None:
        """End what is going on."""
        await cancel_all(*self._found.values())

    @contextmanager
    def _room_for_preview(self) -> Iterator[None]:
        if self._previews >= MOST_PREVIEWS:
            raise LimitError(f"{MOST_PREVIEWS} previews are already being drawn: try again later")
        self._previews += 1
        try:
            yield
        finally:
            self._previews -= 1

    async def _scratch(self) -> IO[bytes]:
        try:
            return await in_thread(_scratch, self._folder)
        except OSError as error:
            raise _undrawn(error, self._folder / "preview") from error

    def _forget(self, key: Key) -> None:
        self._found.pop(key).cancel()
        self._done.pop(key, None)
        self._firmware.pop(key, None)

    async def _analyse(self, key: Key) -> Analysis:
        sha256, port_id, passes = key

        def progress(lines: int) -> None:
            self._done[key] = lines

        async with self._turns.turn(key):
            path = await self._files.path(sha256)
            try:
                found = await analyse_aside(
                    path,
                    machine=self._facts.get(port_id),
                    passes=passes,
                    line_bytes_per_s=self._line_bytes_per_s(port_id),
                    progress=progress,
                )
            except OSError as error:
                raise DeviceError(f"the file cannot be analysed: {in_words(error)}") from error
        firmware = self._firmware.get(key, "")
        return unchecked(found, firmware) if firmware else found

    def _line_bytes_per_s(self, port_id: str) -> float:
        port = self._port(port_id)
        return 0.0 if port is None else port.settings.baud / BITS_A_BYTE


def _scratch(folder: Path) -> IO[bytes]:
    """Return a file for a preview, deleted when it is closed."""
    make_private(folder)
    return NamedTemporaryFile(dir=folder, prefix="preview-")


def _undrawn(error: OSError, path: Path) -> DeviceError:
    return DeviceError(f"the preview cannot be drawn: {in_words(of_file(error, path))}")


def _heard(task: asyncio.Task[Analysis]) -> None:
    """Take note of an error that nobody waits for."""
    with suppress(asyncio.CancelledError, UsbshareError, OSError):
        task.result()
