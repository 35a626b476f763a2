"""Sends a file to a host; after an interruption it sends only what the host lacks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Protocol

from usbshare.base.backoff import Backoff
from usbshare.base.errors import ConnectionRefusedByPeerError, DrainingError, SessionLostError
from usbshare.base.threads import in_thread
from usbshare.base.watched_task import cancel_all
from usbshare.client.jobs.client import JobClient, UploadStream
from usbshare.client.jobs.messages import JobOrder, RemoteFile, RemoteJob
from usbshare.rpc.status import RpcError

PIECE_BYTES = 32 * 1024
# What may be under way before the host has it on its disk.
MOST_AHEAD_BYTES = 1024 * 1024
# No answer for so long is a cut; so long without any news of the file, and it is given up.
SILENT_S = 60.0
GIVE_UP_S = 180.0
ENQUEUE_ATTEMPTS = 4
_CUTS = (ConnectionRefusedByPeerError, DrainingError, SessionLostError)


async def enqueue_surely(client: JobClient, order: JobOrder) -> RemoteJob:
    """Create a job exactly once, even if an answer is lost; the order needs a `request_id`."""
    backoff = Backoff(random.random)
    for _ in range(ENQUEUE_ATTEMPTS - 1):
        try:
            return await client.enqueue(order)
        except _CUTS:
            await asyncio.sleep(backoff.next_s())
    return await client.enqueue(order)


class Source(Protocol):
    """A file to send: its name for people, its size, and its SHA-256 in hexadecimal digits."""

    name: str
    size_bytes: int
    sha256: str

    def read(self, offset: int, size: int) -> bytes:
        """Return that part of it; blocks. Raises UsbshareError if the file is another one now."""
        ...


class Uploader:
    """Sends one file; `on_progress` gets how far the host has it, `on_cut` why it is sent again."""

    def __init__(
        self,
        client: JobClient,
        source: Source,
        on_progress: Callable[[int], None],
        on_cut: Callable[[str], None],
    ) -> None:
        self.accepted = 0
        self._client = client
        self._source = source
        self._on_progress = on_progress
        self._on_cut = on_cut
        self._news = asyncio.Event()

    async def send(self) -> RemoteFile:
        """Return the file once the host has it whole; raises UsbshareError that says why not.

        Connects again after an interruption, as long as the upload progresses: three minutes
        without any progress end it. What the host has stays there.
        """
        backoff, clock = Backoff(random.random), asyncio.get_running_loop().time
        moved_at, is_first = clock(), True
        while True:
            before = self.accepted
            try:
                return await self._attempt()
            except _CUTS as error:
                now = clock()
                if self.accepted > before:
                    moved_at = now
                    backoff.reset()
                if (is_first and not self.accepted) or now - moved_at >= GIVE_UP_S:
                    raise
                self._on_cut(str(error))
            is_first = False
            await asyncio.sleep(backoff.next_s())

    async def _attempt(self) -> RemoteFile:
        stream = self._client.upload()
        sending: asyncio.Task[None] | None = None
        try:
            await stream.begin(self._source.name, self._source.size_bytes, self._source.sha256)
            whole = await self._answer(stream)
            if whole is None:
                sending = asyncio.create_task(self._send_from(stream, self.accepted), name="send")
            while whole is None:
                whole = await self._answer_or_failure(stream, sending)
            return whole
        except RpcError as error:
            raise await self._client.explain(error) from error
        except EOFError as error:
            raise SessionLostError(f"{self._client.target} ended the upload") from error
        finally:
            stream.cancel()
            await cancel_all(sending)

    async def _answer_or_failure(
        self, stream: UploadStream, sending: asyncio.Task[None] | None
    ) -> RemoteFile | None:
        """Return what the host answers; raises what hinders the sending, if that is first."""
        if sending is not None and sending.done():
            sending.result()
        answer = asyncio.create_task(self._answer(stream), name="answer")
        try:
            waited = {answer} if sending is None or sending.done() else {answer, sending}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if sending is not None and sending.done() and not answer.done():
                sending.result()
            return await answer
        finally:
            await cancel_all(answer)

    async def _answer(self, stream: UploadStream) -> RemoteFile | None:
        try:
            async with asyncio.timeout(SILENT_S):
                self.accepted, whole = await stream.accepted()
        except TimeoutError as error:
            raise SessionLostError(
                f"{self._client.target} has not answered for {SILENT_S:g} s"
            ) from error
        self._news.set()
        self._on_progress(self.accepted)
        return whole

    async def _send_from(self, stream: UploadStream, offset: int) -> None:
        while offset < self._source.size_bytes:
            while offset - self.accepted >= MOST_AHEAD_BYTES:
                self._news.clear()
                await self._news.wait()
            data = await in_thread(self._source.read, offset, PIECE_BYTES)
            await stream.send(offset, data)
            offset += len(data)
