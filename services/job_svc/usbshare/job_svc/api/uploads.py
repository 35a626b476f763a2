"""An upload: pieces are written in groups, and acknowledged once they are on the disk."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc

from usbshare.base.errors import InvalidArgumentError, SessionLostError
from usbshare.base.watched_task import cancel_all
from usbshare.job.v1 import job_pb2 as pb
from usbshare.job_svc.api import convert
from usbshare.job_svc.storage.file_thread import Files
from usbshare.job_svc.storage.files import PartialFile
from usbshare.job_svc.storage.job import StoredFile

Context = grpc.aio.ServicerContext[Any, Any]
OPEN_TIMEOUT_S = 10.0
SILENT_S = 60.0
# Pieces that wait while others are written: at most 1 MiB.
GROUP = 16


async def take_file(files: Files, context: Context) -> StoredFile | None:
    """Store one file from a stream of requests, and answer it; raises InvalidArgumentError.

    None where the client asked only whether there is room.
    """
    first = await _read(context, OPEN_TIMEOUT_S, "no `begin` message")
    if first is None or first.WhichOneof("message") != "begin":
        raise InvalidArgumentError("the first message of an upload must be `begin`")
    begin = first.begin
    convert.name_of(begin.name)
    if not begin.sha256:
        await files.require_room(begin.size_bytes)
        await context.write(pb.UploadResponse())
        return None
    sha256 = convert.sha256_of(begin.sha256)
    if (stored := await files.find(sha256)) is not None:
        await context.write(_complete(stored))
        return stored
    upload = await files.begin(sha256, begin.size_bytes)
    try:
        await context.write(pb.UploadResponse(accepted_offset=upload.size))
        stored = await _take_pieces(files, upload, context)
    finally:
        files.leave(upload)
    await context.write(_complete(stored))
    return stored


async def _take_pieces(files: Files, upload: PartialFile, context: Context) -> StoredFile:
    """Write what one task reads; if the client leaves, what was written is kept for later."""
    waiting: asyncio.Queue[bytes | None] = asyncio.Queue(GROUP)
    reading = asyncio.create_task(_read_pieces(context, upload, waiting), name="read an upload")
    try:
        size = upload.size
        while size < upload.size_bytes:
            group = await _group(waiting, reading)
            size = await files.write(upload, group)
            if size < upload.size_bytes:
                await context.write(pb.UploadResponse(accepted_offset=size))
        return await files.finish(upload)
    finally:
        await cancel_all(reading)


async def _group(waiting: asyncio.Queue[bytes | None], reading: asyncio.Task[None]) -> list[bytes]:
    """Return all waiting pieces, at least one; raises the error that ended the reading."""
    if waiting.empty() and reading.done():
        waiting.put_nowait(None)
    group = [await waiting.get()]
    while not waiting.empty():
        group.append(waiting.get_nowait())
    pieces = [each for each in group if each is not None]
    if not pieces:
        await reading
        raise SessionLostError("the upload was interrupted: send it again, and it continues")
    return pieces


async def _read_pieces(
    context: Context, upload: PartialFile, waiting: asyncio.Queue[bytes | None]
) -> None:
    offset = upload.size
    try:
        while offset < upload.size_bytes:
            request = await _read(context, SILENT_S, "nothing more of the file")
            if request is None:
                return
            piece = _piece(request, offset)
            offset += len(piece)
            await waiting.put(piece)
    finally:
        with suppress(asyncio.QueueFull):  # then what is there is taken first
            waiting.put_nowait(None)


def _piece(request: pb.UploadRequest, offset: int) -> bytes:
    if request.WhichOneof("message") != "piece":
        raise InvalidArgumentError("only `piece` may follow `begin`")
    piece = request.piece
    if not 1 <= len(piece.data) <= convert.MOST_PIECE_BYTES:
        raise InvalidArgumentError(
            f"piece.data has {len(piece.data)} bytes; 1 to {convert.MOST_PIECE_BYTES} are allowed"
        )
    if piece.offset != offset:
        raise InvalidArgumentError(
            f"piece.offset is {piece.offset}; the pieces before it end at {offset}"
        )
    return piece.data


async def _read(context: Context, timeout_s: float, what: str) -> pb.UploadRequest | None:
    try:
        async with asyncio.timeout(timeout_s):
            request = await context.read()
    except TimeoutError as error:
        raise SessionLostError(f"{what} arrived within {timeout_s:g} s") from error
    return request if isinstance(request, pb.UploadRequest) else None


def _complete(stored: StoredFile) -> pb.UploadResponse:
    return pb.UploadResponse(
        accepted_offset=stored.size_bytes, complete=convert.file_message(stored)
    )
