"""Linux's driver of USB serial ports, as a device sees it: what it asks, and in which order.

Source: drivers/usb/class/cdc-acm.c of Linux 6.1. 16 writes of 20 packets each and 16 reads of two
packets are under way at once (ACM_NW, ACM_NR); `open` waits for notifications, then reads, then
raises DTR and RTS; TCOFLUSH takes writes back, the last close everything. vhci_hcd drops a device
that answers what was taken back (vhci_rx.c), so that is noted as a violation.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from types import TracebackType
from typing import Self

from usbshare.usbip.cdc import (
    AcmFunction,
    CdcRequest,
    ControlLines,
    LineCoding,
    SerialState,
    acm_functions,
    set_control_lines,
    set_line_coding,
    take_serial_states,
)
from usbshare.usbip.descriptors import (
    ConfigurationDescriptor,
    DeviceDescriptor,
    Kind,
    Request,
    configuration_length,
    get_descriptor,
    parse_configuration,
    parse_device,
    parse_string,
)
from usbshare.usbip.messages import (
    Direction,
    ImportRequest,
    SetupPacket,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
)
from usbshare.usbip.parsers import ReplyParser

_WRITES = _READS = 16
_PACKETS_A_WRITE, _PACKETS_A_READ = 20, 2
_ENGLISH = 0x0409
_UNTIL_TOLD = 0xFFFF
TIMEOUT_S = 30.0


class RefusedError(Exception):
    """The server does not give the device."""


async def attach(address: str, busid: str) -> CdcAcm:
    """Return the driver of a device that is imported from HOST:PORT, as `usbip attach` does.

    Raises RefusedError.
    """
    host, _, port = address.rpartition(":")
    end = socket.create_connection((host, int(port)), TIMEOUT_S)
    end.sendall(ImportRequest(busid).encode())
    parser = ReplyParser()
    while (reply := parser.imported()) is None:
        data = end.recv(1)
        if not data:
            end.close()
            raise RefusedError("the server hung up")
        parser.feed(data)
    if reply.device is None:
        end.close()
        raise RefusedError(f"status {reply.status}")
    return CdcAcm(end, reply.device.devid)


class CdcAcm:
    """The driver on one connection; `async with` enumerates the device as the system does."""

    def __init__(self, end: socket.socket, devid: int) -> None:
        self.device: DeviceDescriptor
        self.configuration: ConfigurationDescriptor
        self.strings: list[str] = []
        self.received = bytearray()
        self.states: list[SerialState] = []
        self.violations: list[str] = []
        self.write_sizes: list[int] = []
        self.is_gone = asyncio.Event()
        self._end = end
        self._devid = devid
        self._function: AcmFunction
        self._coding = LineCoding()
        self._last = 0
        self._parser = ReplyParser()
        self._controls: dict[int, asyncio.Future[SubmitReply]] = {}
        self._unlinks: dict[int, asyncio.Future[int]] = {}
        self._taken_back: set[int] = set()
        self._writes: dict[int, int] = {}
        self._reads: deque[int] = deque()
        self._notice: int | None = None
        self._notice_bytes = bytearray()
        self._is_open = self._is_throttled = False
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._end.setblocking(False)
        self._reader, self._writer = await asyncio.open_connection(sock=self._end)
        self._reading = asyncio.create_task(self._read_all(), name="cdc_acm")
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._enumerate()
        except BaseException:
            await self.leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        await self.leave()
        if kind is None:
            assert not self.violations

    async def leave(self) -> None:
        """Unplug the device."""
        self._reading.cancel()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        await asyncio.gather(self._reading, return_exceptions=True)

    # What a program does.

    async def open(self) -> None:
        """Open the port: acm_port_activate, then the line discipline raises DTR and RTS."""
        self._is_open = True
        self._ask_notice()
        for _ in range(_READS):
            self._ask_read()
        await self.set_lines(dtr=True, rts=True)

    async def configure(self, coding: LineCoding) -> int:
        """Change settings, as acm_tty_set_termios: what is known already is not sent."""
        if coding == self._coding:
            return 0
        self._coding = coding
        setup = set_line_coding(self._function.control_interface)
        return (await self.control(setup, coding.encode())).status

    async def set_lines(self, *, dtr: bool, rts: bool) -> None:
        """Set DTR and RTS."""
        lines = (ControlLines.DTR * dtr) | (ControlLines.RTS * rts)
        setup = set_control_lines(self._function.control_interface, ControlLines(lines))
        assert (await self.control(setup)).status == 0

    async def send_break(self, duration_ms: int = _UNTIL_TOLD) -> int:
        """Begin or end a break; returns the status."""
        interface = self._function.control_interface
        return (
            await self.control(SetupPacket(0x21, CdcRequest.SEND_BREAK, duration_ms, interface))
        ).status

    def write(self, data: bytes) -> int:
        """Write without waiting, as n_tty_write does; returns how many bytes were taken."""
        taken = 0
        most = self._function.bulk_out.max_packet_bytes * _PACKETS_A_WRITE
        while taken < len(data) and len(self._writes) < _WRITES:
            piece = data[taken : taken + most]
            seqnum = self._submit(Direction.OUT, self._function.bulk_out.number, len(piece), piece)
            self._writes[seqnum] = len(piece)
            taken += len(piece)
        return taken

    @property
    def unwritten_bytes(self) -> int:
        """What the device has not taken: chars_in_buffer."""
        return sum(self._writes.values())

    async def write_all(self, data: bytes) -> None:
        """Write as a program does that waits."""
        async with asyncio.timeout(TIMEOUT_S):
            while data:
                data = data[self.write(data) :]
                if data:
                    await self._change()

    async def drain(self) -> None:
        """Wait until all is written: tcdrain."""
        async with asyncio.timeout(TIMEOUT_S):
            while self._writes:
                await self._change()

    async def flush(self) -> None:
        """Take back what was written: TCOFLUSH, acm_tty_flush_buffer."""
        await self._take_back(*self._writes)

    async def read(self, size: int) -> bytes:
        """Return so many bytes of the device."""
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.received) < size:
                await self._change()
        data = bytes(self.received[:size])
        del self.received[:size]
        return data

    def throttle(self) -> None:
        """Read no more: the program does not."""
        self._is_throttled = True

    def unthrottle(self) -> None:
        """Read on: acm_tty_unthrottle."""
        self._is_throttled = False
        while len(self._reads) < _READS:
            self._ask_read()

    async def close(self) -> None:
        """Close the port: acm_port_shutdown."""
        self._is_open = False
        if self._notice is not None:
            await self._take_back(self._notice)
        await self._take_back(*self._writes)
        await self._take_back(*self._reads)

    async def until_gone(self) -> None:
        """Wait until the device is unplugged."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.is_gone.wait()

    async def control(self, setup: SetupPacket, data: bytes = b"") -> SubmitReply:
        """Do a control transfer."""
        direction = Direction.IN if setup.is_in else Direction.OUT
        seqnum = self._submit(direction, 0, setup.length, data, setup.encode())
        future: asyncio.Future[SubmitReply] = asyncio.get_running_loop().create_future()
        self._controls[seqnum] = future
        async with asyncio.timeout(TIMEOUT_S):
            return await future

    # What is left is the driver's own.

    async def _enumerate(self) -> None:
        self.device = parse_device((await self._descriptor(Kind.DEVICE, 18)).data)
        head = (await self._descriptor(Kind.CONFIGURATION, 9)).data
        whole = await self._descriptor(Kind.CONFIGURATION, configuration_length(head))
        self.configuration = parse_configuration(whole.data)
        indexes = (
            self.device.manufacturer_index,
            self.device.product_index,
            self.device.serial_index,
        )
        for index in indexes:
            reply = await self._descriptor(Kind.STRING, 255, index, _ENGLISH)
            self.strings.append(parse_string(reply.data))
        chosen = SetupPacket(0, Request.SET_CONFIGURATION, self.configuration.value)
        assert (await self.control(chosen)).status == 0
        (self._function,) = acm_functions(self.configuration)
        # acm_probe: the driver begins at 9600 baud, whatever the port has.
        interface = self._function.control_interface
        await self.control(set_line_coding(interface), LineCoding().encode())

    async def _descriptor(
        self, kind: Kind, length: int, index: int = 0, language: int = 0
    ) -> SubmitReply:
        return await self.control(get_descriptor(kind, length, index=index, language=language))

    def _ask_notice(self) -> None:
        endpoint = self._function.notifications
        assert endpoint is not None
        self._notice = self._submit(Direction.IN, endpoint.number, endpoint.max_packet_bytes)

    def _ask_read(self) -> None:
        endpoint = self._function.bulk_in
        size = endpoint.max_packet_bytes * _PACKETS_A_READ
        self._reads.append(self._submit(Direction.IN, endpoint.number, size))

    def _submit(
        self,
        direction: Direction,
        endpoint: int,
        length: int,
        data: bytes = b"",
        setup: bytes = bytes(8),
    ) -> int:
        self._last += 1
        asked = Submit(self._last, self._devid, direction, endpoint, length, data, setup)
        self._parser.expect(asked)
        self._writer.write(asked.encode())
        return self._last

    async def _take_back(self, *targets: int) -> None:
        answers = []
        for target in list(targets):
            self._last += 1
            unlink = Unlink(self._last, self._devid, target)
            self._parser.expect(unlink)
            answers.append(asyncio.get_running_loop().create_future())
            self._unlinks[self._last] = answers[-1]
            self._writer.write(unlink.encode())
        async with asyncio.timeout(TIMEOUT_S):
            for target, answer in zip(list(targets), answers, strict=True):
                if await answer:
                    self._taken_back.add(target)
                self._forget(target)

    def _forget(self, seqnum: int) -> None:
        self._writes.pop(seqnum, None)
        if seqnum in self._reads:
            self._reads.remove(seqnum)
        if seqnum == self._notice:
            self._notice = None

    async def _change(self) -> None:
        if self.is_gone.is_set():
            raise OSError("the device is gone")
        self._changed.clear()
        await self._changed.wait()

    async def _read_all(self) -> None:
        try:
            while data := await self._reader.read(65536):
                self._parser.feed(data)
                while (reply := self._parser.reply()) is not None:
                    self._take(reply)
                self._changed.set()
        except OSError:
            pass
        self.is_gone.set()
        self._changed.set()

    def _take(self, reply: SubmitReply | UnlinkReply) -> None:
        if isinstance(reply, UnlinkReply):
            self._unlinks.pop(reply.seqnum).set_result(reply.status)
            return
        seqnum = reply.seqnum
        if seqnum in self._taken_back:
            self.violations.append(f"transfer {seqnum} was answered after it was taken back")
        if seqnum in self._controls:
            self._controls.pop(seqnum).set_result(reply)
        elif seqnum in self._writes:
            self.write_sizes.append(reply.actual_length)
            self._forget(seqnum)
        elif seqnum in self._reads:
            self._forget(seqnum)
            self.received += reply.data
            if self._is_open and not self._is_throttled:
                self._ask_read()
        elif seqnum == self._notice:
            self._forget(seqnum)
            self._notice_bytes += reply.data
            self.states += take_serial_states(self._notice_bytes)
            if self._is_open:
                self._ask_notice()
