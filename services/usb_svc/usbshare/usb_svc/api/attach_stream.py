"""One device on one stream: USB/IP in both directions, and heartbeats."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from usbshare.base.errors import (
    DeviceAbsentError,
    DeviceError,
    DrainingError,
    InvalidArgumentError,
    SessionLostError,
)
from usbshare.base.silence import Silence
from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all
from usbshare.usb.v1 import usb_pb2 as pb
from usbshare.usb_svc.export.lending import Loan
from usbshare.usb_svc.export.totals import Totals
from usbshare.usbip.attachment import BEATS_A_TIMEOUT, READ_BYTES, TAKES_S

MOST_BYTES = 64 * 1024


class AttachStream:
    """Passes bytes between a stream and the kernel, and counts them."""

    def __init__(
        self,
        loan: Loan,
        read: Callable[[], Awaitable[Any]],
        write: Callable[[pb.AttachResponse], Awaitable[None]],
        link_timeout_s: float,
        totals: Totals,
    ) -> None:
        self._totals = totals
        self.passed_bytes = 0
        self._loan = loan
        self._read = read
        self._write = write
        self._writing = asyncio.Lock()
        self._link_timeout_s = link_timeout_s
        self._silence = Silence(link_timeout_s)
        self._beat = pb.Beat()
        self._beaten = asyncio.Event()

    async def serve(self, ending: asyncio.Event) -> None:
        """Forward bytes until the client ends the stream.

        Raises UsbshareError for any other end.
        """
        work = [
            asyncio.create_task(each, name=name)
            for name, each in (
                ("from client", self._from_client()),
                ("from device", self._from_device()),
                ("signs of life", self._answer_beats()),
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
        while (request := await self._read()) is not grpc.aio.EOF:
            self._silence.heard()
            kind = request.WhichOneof("message")
            if kind == "data":
                await self._give(request.data)
            elif kind == "beat":
                self._beat = request.beat
                self._beaten.set()
            else:
                raise InvalidArgumentError(f"`{kind}` is allowed only as the first message")

    async def _give(self, data: bytes) -> None:
        if not 0 < len(data) <= MOST_BYTES:
            raise InvalidArgumentError(f"data has {len(data)} bytes, not 1 to {MOST_BYTES}")
        with self._silence.busy():  # beats wait behind it
            try:
                async with asyncio.timeout(TAKES_S):
                    await asyncio.get_running_loop().sock_sendall(self._loan.end, data)
            except TimeoutError as error:
                device_id = self._loan.device.id
                raise DeviceError(
                    f"USB device '{device_id}' accepted no data for {TAKES_S:g} s"
                ) from error
            except OSError as error:
                raise self._unplugged() from error
        self.passed_bytes += len(data)
        self._totals.from_client(len(data))

    async def _answer_beats(self) -> None:
        """Answer the newest: what is read must not wait for what a slow link takes.

        While nothing is read, as the device takes nothing, the last one is answered again: the
        service lives.
        """
        while True:
            is_asked = await set_within(self._beaten, self._link_timeout_s / BEATS_A_TIMEOUT)
            if is_asked or self._silence.is_busy:
                self._beaten.clear()
                await self._send(pb.AttachResponse(beat=self._beat))

    async def _from_device(self) -> None:
        loop = asyncio.get_running_loop()
        while data := await self._received(loop):
            self.passed_bytes += len(data)
            self._totals.from_device(len(data))
            await self._send(pb.AttachResponse(data=data))
        raise self._unplugged()

    def _unplugged(self) -> DeviceAbsentError:
        return DeviceAbsentError(f"USB device '{self._loan.device.id}' was unplugged")

    async def _received(self, loop: asyncio.AbstractEventLoop) -> bytes:
        try:
            return await loop.sock_recv(self._loan.end, READ_BYTES)
        except OSError:
            return b""

    async def _watch_client(self) -> None:
        await self._silence.too_long()
        raise SessionLostError(f"the client was silent for {self._link_timeout_s:g} s")

    async def _until(self, ending: asyncio.Event) -> None:
        await ending.wait()
        raise DrainingError("the service is stopping")

    async def _send(self, response: pb.AttachResponse) -> None:
        async with self._writing:  # gRPC takes one message at a time
            await self._write(response)
