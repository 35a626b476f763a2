"""A device of another computer: its transfers, any number of them at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from usbshare.base.watched_task import cancel_all
from usbshare.usbip.errors import (
    GONE,
    UNLINKED,
    TransferError,
    UsbipError,
    UsbipNetworkError,
)
from usbshare.usbip.limits import DEFAULT_LIMITS, Limits
from usbshare.usbip.messages import (
    NO_SETUP,
    Direction,
    ExportedDevice,
    IsoPacket,
    SetupPacket,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
)
from usbshare.usbip.parsers import ReplyParser
from usbshare.usbip.streams import ByteReader, ByteWriter, closed, read_some, silent_s

CONTROL_TIMEOUT_S = 5.0
_SEQNUMS = 0x7FFF_FFFF  # the kernel's are signed when it prints them
_log = logging.getLogger(__name__)

Done = Callable[[SubmitReply], None]


class ImportedDevice:
    """The transfers of one imported device, used from one event loop.

    Each submitted transfer is answered once: by the device, by -ECONNRESET if it was unlinked, by
    -ESHUTDOWN when the device or the connection has gone.
    """

    def __init__(
        self,
        reader: ByteReader,
        writer: ByteWriter,
        exported: ExportedDevice,
        parser: ReplyParser | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self.exported = exported
        self._reader = reader
        self._writer = writer
        self._parser = parser or ReplyParser(limits)
        self._limits = limits
        self._seqnum = 0
        self._submitted: dict[int, Done] = {}
        self._unlinks: dict[int, int] = {}
        self._reading: asyncio.Task[None] | None = None
        self._lost: UsbipError | None = None
        self._on_lost: Callable[[UsbipError], None] | None = None

    def start(self) -> None:
        """Begin to read answers."""
        name = f"usbip {self.exported.busid}"
        self._reading = asyncio.create_task(self._read(), name=name)

    @property
    def silent_s(self) -> float:
        """For how many seconds the other computer has acknowledged nothing; 0 if unknown."""
        return silent_s(self._writer)

    def when_lost(self, call: Callable[[UsbipError], None]) -> None:
        """Set a callback for the loss of the device or connection; not called after `close`."""
        self._on_lost = call
        if self._lost is not None:
            asyncio.get_running_loop().call_soon(call, self._lost)

    def submit(
        self,
        endpoint: int,
        direction: Direction,
        length: int,
        done: Done,
        *,
        data: bytes = b"",
        setup: bytes = NO_SETUP,
        interval: int = 0,
        packets: tuple[IsoPacket, ...] = (),
    ) -> int:
        """Send a transfer at once and return its number; raises UsbipNetworkError if it is lost.

        `done` is called by the loop later on, never by this.
        """
        if self._lost is not None:
            raise self._lost
        if len(self._submitted) >= self._limits.in_flight:
            raise UsbipNetworkError(f"more than {self._limits.in_flight} transfers are unanswered")
        command = Submit(
            *(self._next(), self.exported.devid, direction, endpoint, length, data, setup),
            interval=interval,
            packets=packets,
        )
        self._submitted[command.seqnum] = done
        self._parser.expect(command)
        self._writer.write(command.encode())
        return command.seqnum

    def unlink(self, seqnum: int) -> None:
        """Take a transfer back, if it is not answered; it may still be answered as done."""
        if self._lost is not None or seqnum not in self._submitted:
            return
        command = Unlink(self._next(), self.exported.devid, seqnum)
        self._unlinks[command.seqnum] = seqnum
        self._parser.expect(command)
        self._writer.write(command.encode())

    async def transfer(
        self,
        endpoint: int,
        direction: Direction,
        length: int,
        *,
        data: bytes = b"",
        setup: bytes = NO_SETUP,
        packets: tuple[IsoPacket, ...] = (),
    ) -> SubmitReply:
        """Do a transfer and return its answer, good or bad; unlinks it when cancelled."""
        answered: asyncio.Future[SubmitReply] = asyncio.get_running_loop().create_future()

        def done(reply: SubmitReply) -> None:
            if not answered.done():
                answered.set_result(reply)

        seqnum = self.submit(
            endpoint, direction, length, done, data=data, setup=setup, packets=packets
        )
        try:
            return await answered
        except asyncio.CancelledError:
            self.unlink(seqnum)
            raise

    async def control(
        self, setup: SetupPacket, data: bytes = b"", timeout_s: float = CONTROL_TIMEOUT_S
    ) -> bytes:
        """Do a control transfer and return its data; raises TransferError, UsbipNetworkError."""
        is_in = setup.is_in and bool(setup.length)
        direction = Direction.IN if is_in else Direction.OUT
        length = setup.length if is_in else len(data)
        sent = b"" if is_in else data
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self.transfer(0, direction, length, data=sent, setup=setup.encode())
        except TimeoutError as error:
            raise UsbipNetworkError(
                f"request {setup.request:#04x} has no answer in {timeout_s:g} s"
            ) from error
        return self._good(reply, f"request {setup.request:#04x}").data

    async def read(self, endpoint: int, length: int) -> bytes:
        """Return data of a bulk or interrupt endpoint once there is any; raises TransferError."""
        reply = await self.transfer(endpoint, Direction.IN, length)
        return self._good(reply, f"reading endpoint {endpoint}").data

    async def write(self, endpoint: int, data: bytes) -> int:
        """Hand data to a bulk or interrupt endpoint once it takes it; raises TransferError."""
        reply = await self.transfer(endpoint, Direction.OUT, len(data), data=data)
        return self._good(reply, f"writing endpoint {endpoint}").actual_length

    async def close(self) -> None:
        """Close the connection, which lets the server have the device back; no `when_lost`."""
        self._on_lost = None
        self._lose(UsbipNetworkError("this side closed the connection"))
        if self._reading is not None:
            await cancel_all(self._reading)
        await closed(self._writer)

    def _next(self) -> int:
        self._seqnum = self._seqnum % _SEQNUMS + 1
        while self._seqnum in self._submitted or self._seqnum in self._unlinks:
            self._seqnum = self._seqnum % _SEQNUMS + 1
        return self._seqnum

    def _good(self, reply: SubmitReply, what: str) -> SubmitReply:
        if self._lost is not None and reply.status == GONE:
            raise self._lost
        if reply.status:
            raise TransferError(reply.status, what)
        return reply

    async def _read(self) -> None:
        error: UsbipError = UsbipNetworkError("the server closed the connection")
        try:
            while data := await read_some(self._reader):
                self._parser.feed(data)
                while (reply := self._parser.reply()) is not None:
                    self._answered(reply)
        except UsbipError as failure:
            error = failure
        except Exception:
            _log.exception("could not process an answer of %s", self.exported.busid)
            error = UsbipNetworkError("an answer could not be processed")
        self._lose(error)
        self._writer.close()

    def _answered(self, reply: SubmitReply | UnlinkReply) -> None:
        if isinstance(reply, UnlinkReply):
            target = self._unlinks.pop(reply.seqnum)
            reply = SubmitReply(target, UNLINKED)
        done = self._submitted.pop(reply.seqnum, None)
        if done is not None:
            done(reply)

    def _lose(self, error: UsbipError) -> None:
        if self._lost is not None:
            return
        self._lost = error
        submitted, self._submitted = self._submitted, {}
        for seqnum, done in submitted.items():
            done(SubmitReply(seqnum, GONE))
        if self._on_lost is not None:
            self._on_lost(error)
