"""The side of a connection that has the device: answers what the other side submits."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from usbshare.base.watched_task import cancel_all
from usbshare.usbip.errors import (
    STALLED,
    UNLINKED,
    TransferError,
    UsbipNetworkError,
    UsbipProtocolError,
)
from usbshare.usbip.limits import DEFAULT_LIMITS, Limits
from usbshare.usbip.messages import (
    DevlistReply,
    DevlistRequest,
    Direction,
    ExportedDevice,
    ImportReply,
    ImportRequest,
    SetupPacket,
    Status,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
    parse_setup,
)
from usbshare.usbip.parsers import RequestParser
from usbshare.usbip.streams import (
    ByteReader,
    ByteWriter,
    closed,
    drained,
    read_some,
    send_at_once,
)

HANDSHAKE_TIMEOUT_S = 5.0
_BROKEN = -errno.EPROTO
_log = logging.getLogger(__name__)


class VirtualDevice(Protocol):
    """A USB device made of software; called from one event loop.

    The transfers of one endpoint are called one after the other in the order in which they came,
    those of several endpoints beside each other. A transfer may take as long as it likes; it is
    cancelled when the other side takes it back, and is not answered then.
    Raise TransferError for any other end than a good one: of -EPIPE for what is not known.
    """

    @property
    def exported(self) -> ExportedDevice:
        """What the device says of itself in a list."""
        ...

    async def control(self, setup: SetupPacket, data: bytes) -> bytes:
        """Do a control transfer and return its data, at most `setup.length` bytes, if it is IN."""
        ...

    async def read(self, endpoint: int, length: int) -> bytes:
        """Return data of an IN endpoint, its number without the direction, once there is any."""
        ...

    async def write(self, endpoint: int, data: bytes) -> int:
        """Take data of an OUT endpoint and return how much; the answer is the credit for more."""
        ...


async def serve_connection(
    reader: ByteReader,
    writer: ByteWriter,
    choose: Callable[[str], VirtualDevice | Status],
    listed: Callable[[], Iterable[ExportedDevice]],
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Answer one connection from its beginning: a list of devices, or an import and all after it.

    `choose` returns the device of a bus id, or why there is none. Returns when the other side
    ends; closes the stream; raises UsbipError.
    """
    send_at_once(writer)
    parser = RequestParser(limits)
    try:
        async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
            request = await _operation(reader, parser)
        if isinstance(request, DevlistRequest):
            writer.write(DevlistReply(tuple(listed())).encode())
            await drained(writer)
        elif isinstance(request, ImportRequest):
            await _import(reader, writer, choose(request.busid), parser, limits)
    except TimeoutError as error:
        raise UsbipNetworkError(f"no request within {HANDSHAKE_TIMEOUT_S:g} s") from error
    finally:
        await closed(writer)


async def serve(
    reader: ByteReader,
    writer: ByteWriter,
    device: VirtualDevice,
    limits: Limits = DEFAULT_LIMITS,
) -> None:
    """Answer the transfers of a device that is imported; returns when the other side ends.

    For a stream that begins behind the handshake, such as one that the kernel's vhci_hcd was
    given. Closes the stream; raises UsbipError. Cancel it to unplug the device.
    """
    send_at_once(writer)
    try:
        await _Connection(writer, device, limits).run(reader, RequestParser(limits))
    finally:
        await closed(writer)


async def _operation(
    reader: ByteReader, parser: RequestParser
) -> DevlistRequest | ImportRequest | None:
    """Return the first request, None if the other side only knocked."""
    while (request := parser.operation()) is None:
        data = await read_some(reader)
        if not data:
            return None
        parser.feed(data)
    return request


async def _import(
    reader: ByteReader,
    writer: ByteWriter,
    chosen: VirtualDevice | Status,
    parser: RequestParser,
    limits: Limits,
) -> None:
    if isinstance(chosen, Status):
        writer.write(ImportReply(None, chosen).encode())
        await drained(writer)
        return
    writer.write(ImportReply(chosen.exported).encode())
    await _Connection(writer, chosen, limits).run(reader, parser)


@dataclass(slots=True)
class _Endpoint:
    """The transfers of one endpoint, the first of which is under way while `is_busy`."""

    waiting: deque[Submit] = field(default_factory=deque)
    is_busy: bool = False
    unlink: Unlink | None = None
    task: asyncio.Task[None] | None = None


class _Connection:
    """Everything that is asked of one device and not yet answered."""

    def __init__(self, writer: ByteWriter, device: VirtualDevice, limits: Limits) -> None:
        self._writer = writer
        self._device = device
        self._limits = limits
        self._endpoints: dict[tuple[int, Direction], _Endpoint] = {}
        self._endpoint_of: dict[int, _Endpoint] = {}
        self._in_flight_bytes = 0
        self._is_ending = False
        self._failed: asyncio.Future[None]

    async def run(self, reader: ByteReader, parser: RequestParser) -> None:
        """Answer until the other side ends, or something fails."""
        self._failed = asyncio.get_running_loop().create_future()
        reading = asyncio.create_task(self._read(reader, parser), name="usbip commands")
        try:
            await asyncio.wait((reading, self._failed), return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            await reading
        finally:
            self._is_ending = True
            await cancel_all(reading, *(each.task for each in self._endpoints.values()))
            self._failed.cancel()

    async def _read(self, reader: ByteReader, parser: RequestParser) -> None:
        while True:
            while (command := parser.command()) is not None:
                if isinstance(command, Submit):
                    self._submit(command)
                else:
                    self._unlink(command)
                    await drained(self._writer)
            data = await read_some(reader)
            if not data:
                return
            parser.feed(data)

    def _submit(self, command: Submit) -> None:
        self._check(command)
        self._in_flight_bytes += command.length
        # Both directions of endpoint 0 are one pipe, whose transfers keep their order.
        direction = command.direction if command.endpoint else Direction.OUT
        endpoint = self._endpoints.setdefault((command.endpoint, direction), _Endpoint())
        self._endpoint_of[command.seqnum] = endpoint
        endpoint.waiting.append(command)
        if endpoint.task is None:
            name = f"usbip endpoint {command.endpoint} {command.direction.name}"
            endpoint.task = asyncio.create_task(self._work(endpoint), name=name)
            endpoint.task.add_done_callback(self._ended)

    def _check(self, command: Submit) -> None:
        expected, limits = self._device.exported.devid, self._limits
        if command.devid != expected:
            raise UsbipProtocolError(
                f"USBIP_CMD_SUBMIT.devid {command.devid:#x} is not {expected:#x}"
            )
        if command.seqnum in self._endpoint_of:
            raise UsbipProtocolError(f"USBIP_CMD_SUBMIT.seqnum {command.seqnum} is in use")
        if len(self._endpoint_of) >= limits.in_flight:
            raise UsbipProtocolError(f"more than {limits.in_flight} transfers are unanswered")
        if self._in_flight_bytes + command.length > limits.in_flight_bytes:
            raise UsbipProtocolError(
                f"unanswered transfers of more than {limits.in_flight_bytes} bytes"
            )

    def _unlink(self, command: Unlink) -> None:
        endpoint = self._endpoint_of.get(command.target)
        if endpoint is None or endpoint.task is None:
            self._writer.write(UnlinkReply(command.seqnum, 0).encode())
            return
        first = endpoint.waiting[0]
        if endpoint.is_busy and first.seqnum == command.target:
            if endpoint.unlink is not None:
                self._writer.write(UnlinkReply(command.seqnum, 0).encode())
                return
            endpoint.unlink = command
            endpoint.task.cancel()
            return
        waiting = next(each for each in endpoint.waiting if each.seqnum == command.target)
        endpoint.waiting.remove(waiting)
        self._forget(waiting)
        self._writer.write(UnlinkReply(command.seqnum, UNLINKED).encode())

    async def _work(self, endpoint: _Endpoint) -> None:
        """Do the transfers of one endpoint for as long as there are any."""
        while endpoint.waiting:
            reply = await self._answer(endpoint)
            self._forget(endpoint.waiting.popleft())
            self._writer.write(reply.encode())
            await drained(self._writer)
        endpoint.task = None

    async def _answer(self, endpoint: _Endpoint) -> SubmitReply | UnlinkReply:
        """Do the first transfer; what was unlinked meanwhile is answered as that only."""
        endpoint.is_busy = True
        try:
            reply = await self._transfer(endpoint.waiting[0])
        except asyncio.CancelledError:
            if endpoint.unlink is None or self._is_ending:
                raise
        finally:
            endpoint.is_busy = False
        unlink, endpoint.unlink = endpoint.unlink, None
        if unlink is None:
            return reply
        if (task := endpoint.task) is not None:
            task.uncancel()
        return UnlinkReply(unlink.seqnum, UNLINKED)

    async def _transfer(self, command: Submit) -> SubmitReply:
        try:
            if command.packets:
                return _refused(command)
            if command.direction is Direction.OUT:
                taken = await self._out(command)
                return SubmitReply(command.seqnum, 0, min(taken, command.length))
            data = (await self._in(command))[: command.length]
            return SubmitReply(command.seqnum, 0, len(data), data)
        except TransferError as error:
            return SubmitReply(command.seqnum, error.status)
        except Exception:
            _log.exception("%s failed in a transfer", self._device.exported.busid)
            return SubmitReply(command.seqnum, _BROKEN)

    async def _out(self, command: Submit) -> int:
        if command.endpoint:
            return await self._device.write(command.endpoint, command.data)
        await self._device.control(parse_setup(command.setup), command.data)
        return command.length

    def _in(self, command: Submit) -> Awaitable[bytes]:
        if command.endpoint:
            return self._device.read(command.endpoint, command.length)
        return self._device.control(parse_setup(command.setup), b"")

    def _forget(self, command: Submit) -> None:
        del self._endpoint_of[command.seqnum]
        self._in_flight_bytes -= command.length

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not self._failed.done():
            self._failed.set_exception(error)


def _refused(command: Submit) -> SubmitReply:
    """Return the answer to an isochronous transfer, which no device made of software has."""
    packets = tuple(replace(each, actual_length=0, status=STALLED) for each in command.packets)
    return SubmitReply(command.seqnum, STALLED, packets=packets, error_count=len(packets))
