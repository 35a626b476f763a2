"""One device on one stream: USB/IP both ways, and whether the client lives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from usbshare.base.errors import (
    DeviceAbsentError,
    DrainingError,
    InvalidArgumentError,
    SessionLostError,
)
from usbshare.base.watched_task import cancel_all
from usbshare.usb.v1 import usb_pb2 as pb
from usbshare.usb_svc.export.lending import Loan

MOST_BYTES = 64 * 1024


class AttachStream:
    """Passes bytes between a stream and the kernel; `passed_bytes` counts both ways."""

    def __init__(
        self,
        loan: Loan,
        read: Callable[[], Awaitable[Any]],
        write: Callable[[pb.AttachResponse], Awaitable[None]],
        link_timeout_s: float,
    ) -> None:
        self.passed_bytes = 0
        self._loan = loan
        self._read = read
        self._write = write
        self._writing = asyncio.Lock()
        self._link_timeout_s = link_timeout_s
        self._heard_at = time.monotonic()

    async def serve(self, ending: asyncio.Event) -> None:
        """Pass on until the client ends it; raises why where something else does."""
        work = [
            asyncio.create_task(each, name=name)
            for name, each in (
                ("from client", self._from_client()),
                ("from device", self._from_device()),
                ("client is alive", self._watch_client()),
                ("service ends", self._until(ending)),
            )
        ]
        try:
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        finally:
            await cancel_all(*work)

    async def _from_client(self) -> None:
        loop = asyncio.get_running_loop()
        while (request := await self._read()) is not grpc.aio.EOF:
            self._heard_at = time.monotonic()
            kind = request.WhichOneof("message")
            if kind == "data":
                if not 0 < len(request.data) <= MOST_BYTES:
                    size = len(request.data)
                    raise InvalidArgumentError(f"data has {size} bytes, not 1 to {MOST_BYTES}")
                await loop.sock_sendall(self._loan.end, request.data)
                self.passed_bytes += len(request.data)
            elif kind == "beat":
                await self._send(pb.AttachResponse(beat=request.beat))
            else:
                raise InvalidArgumentError(f"`{kind}` is allowed only as the first message")

    async def _from_device(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await self._received(loop):
            self.passed_bytes += len(data)
            await self._send(pb.AttachResponse(data=data))
        raise DeviceAbsentError(f"USB device '{self._loan.device.id}' was unplugged")

    async def _received(self, loop: asyncio.AbstractEventLoop) -> bytes:
        try:
            return await loop.sock_recv(self._loan.end, MOST_BYTES)
        except OSError:
            return b""

    async def _watch_client(self) -> None:
        while (left_s := self._heard_at + self._link_timeout_s - time.monotonic()) > 0:  # noqa: ASYNC110 - no event
            await asyncio.sleep(left_s)
        raise SessionLostError(f"the client was silent for {self._link_timeout_s:g} s")

    async def _until(self, ending: asyncio.Event) -> None:
        await ending.wait()
        raise DrainingError("the service is stopping")

    async def _send(self, response: pb.AttachResponse) -> None:
        async with self._writing:  # gRPC takes one message at a time
            await self._write(response)
