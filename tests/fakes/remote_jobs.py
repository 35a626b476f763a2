"""A job as a host tells of it, and a host that takes a file and cuts the link meanwhile."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.client.jobs.messages import JobProgress, RemoteFile, RemoteJob

FILE = RemoteFile("ab" * 32, 1200, 100)
JOB = RemoteJob(
    id=17,
    port_id="laser",
    name="box.gcode",
    file=FILE,
    submitter="usbshare://site/anna",
    starter="",
    state="queued",
    reason="",
    passes=1,
    priority=0,
    attended=False,
    first_line=1,
    place=1,
    auto_advance=False,
    hold_number=0,
    enqueued=datetime(2026, 5, 1, 12, tzinfo=UTC),
    started=None,
    ended=None,
    progress=JobProgress(lines=100, size_bytes=1200),
)


@dataclass
class UploadHost:
    """Keeps what it is sent, as job-svc does; each of `cuts` ends a stream after so many bytes."""

    cuts: deque[int] = field(default_factory=deque)
    content: bytearray = field(default_factory=bytearray)
    attempts: int = 0
    refusal: UsbshareError | None = None
    target: str = "laser:50055"

    def upload(self) -> UploadHostStream:
        """Begin to take a file."""
        self.attempts += 1
        return UploadHostStream(self, self.cuts.popleft() if self.cuts else None)


class UploadHostStream:
    """One attempt; acknowledges each piece."""

    def __init__(self, host: UploadHost, cut: int | None) -> None:
        self._host = host
        self._cut = cut
        self._taken = 0
        self._answers: asyncio.Queue[int | None] = asyncio.Queue()
        self._size, self._sha256 = 0, ""

    async def begin(self, name: str, size_bytes: int, sha256: str) -> None:
        self._size, self._sha256 = size_bytes, sha256
        self._answers.put_nowait(None if self._cut == 0 else len(self._host.content))

    async def send(self, offset: int, data: bytes) -> None:
        await asyncio.sleep(0)
        if self._cut is not None and self._taken + len(data) > self._cut:
            self._cut = -1  # nothing of this stream counts any more
            self._answers.put_nowait(None)
            return
        assert offset == len(self._host.content)
        self._host.content += data
        self._taken += len(data)
        self._answers.put_nowait(len(self._host.content))

    async def accepted(self) -> tuple[int, RemoteFile | None]:
        if self._host.refusal is not None:
            raise self._host.refusal
        offset = await self._answers.get()
        if offset is None:
            raise ConnectionRefusedByPeerError("the connection broke")
        is_whole = offset == self._size
        if is_whole:
            assert sha256(self._host.content).hexdigest() == self._sha256
        return offset, RemoteFile(self._sha256, self._size, 1) if is_whole else None

    def cancel(self) -> None:
        self._cut = -1
