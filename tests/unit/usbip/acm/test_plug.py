"""What a computer does not take of a serial port's answers, over a real pair of sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest

from fakes.waiting import until
from usbshare.usbip.acm import plug as plug_module
from usbshare.usbip.acm.descriptors import READ_ENDPOINT, WRITE_ENDPOINT, PortNames
from usbshare.usbip.acm.device import AcmDevice
from usbshare.usbip.acm.plug import MOST_UNSENT_BYTES, Plug
from usbshare.usbip.cdc import ControlLines, LineCoding
from usbshare.usbip.descriptors import Kind, Request
from usbshare.usbip.messages import Direction, SetupPacket, Submit, SubmitReply
from usbshare.usbip.parsers import ReplyParser

READ_BYTES = 4096
DEVICE = SetupPacket(0x80, Request.GET_DESCRIPTOR, Kind.DEVICE << 8, 0, 18).encode()
PIECE = bytes(range(256)) * 256


@dataclass
class Rig:
    """A port's device on one socket; the computer at the other asks and reads as the test says."""

    end: socket.socket
    plug: Plug = field(init=False)
    device: AcmDevice = field(init=False)
    transport: asyncio.Transport = field(init=False)
    written: bytearray = field(default_factory=bytearray)
    ended: list[str] = field(default_factory=list)
    readable: asyncio.Event = field(default_factory=asyncio.Event)
    parser: ReplyParser = field(default_factory=ReplyParser)
    seqnum: int = 0

    async def start(self, ours: socket.socket) -> None:
        self.plug = Plug(self._made, self.ended.append)
        loop = asyncio.get_running_loop()
        self.transport, _ = await loop.create_unix_connection(lambda: self.plug, sock=ours)

    def _made(self, reply: Callable[[SubmitReply], None]) -> AcmDevice:
        self.device = AcmDevice(PortNames("usbshare", "laser", "1"), self, READ_BYTES, reply)
        return self.device

    async def ask(self, endpoint: int, *, data: bytes = b"", setup: bytes = bytes(8)) -> None:
        self.seqnum += 1
        is_out = bool(data)
        length = len(data) or (READ_BYTES if endpoint else 18)
        direction = Direction.OUT if is_out else Direction.IN
        submit = Submit(self.seqnum, 1, direction, endpoint, length, data, setup)
        self.parser.expect(submit)
        await asyncio.get_running_loop().sock_sendall(self.end, submit.encode())

    @property
    def unsent_bytes(self) -> int:
        return self.transport.get_write_buffer_size()

    async def give(self, data: bytes) -> None:
        """Give the computer data as a port's owner does: more once there is room."""
        while data:
            self.readable.clear()
            data = data[self.device.give(data) :]
            if data:
                await self.readable.wait()

    def acm_opened(self) -> None: ...

    def acm_closed(self) -> None: ...

    def acm_coding(self, coding: LineCoding) -> None: ...

    def acm_lines(self, lines: ControlLines) -> None: ...

    def acm_break(self, duration_ms: int, answered: Callable[[bool], None]) -> None: ...

    def acm_flushed(self) -> None: ...

    def acm_wrote(self, data: bytes) -> None:
        self.written += data

    def acm_readable(self) -> None:
        self.readable.set()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    ours, end = socket.socketpair()
    end.setblocking(False)
    made = Rig(end)
    await made.start(ours)
    yield made
    made.plug.pull()
    end.close()
    await asyncio.sleep(0)


async def replies(rig: Rig, count: int) -> list[SubmitReply]:
    """Take so many answers."""
    found = list[SubmitReply]()
    async with asyncio.timeout(60):
        while len(found) < count:
            while (reply := rig.parser.reply()) is not None:
                assert isinstance(reply, SubmitReply)
                found.append(reply)
            if len(found) < count:
                rig.parser.feed(await asyncio.get_running_loop().sock_recv(rig.end, 1 << 16))
    return found


async def test_a_client_that_takes_no_data_gets_none_and_is_still_heard(rig: Rig) -> None:
    sent = PIECE * 40
    giving = asyncio.create_task(rig.give(sent))
    for _ in range(len(sent) // READ_BYTES):
        await rig.ask(READ_ENDPOINT)
    await rig.ask(WRITE_ENDPOINT, data=b"!")
    await until(lambda: bytes(rig.written) == b"!")
    assert 0 < rig.unsent_bytes < MOST_UNSENT_BYTES
    assert not giving.done()
    taken = await replies(rig, rig.seqnum)
    await giving
    data = b"".join(each.data for each in taken)
    assert (data, rig.ended) == (sent, [])


async def ask_without_end(rig: Rig) -> None:
    while True:
        await rig.ask(0, setup=DEVICE)


async def test_answers_that_nobody_takes_are_bounded(rig: Rig) -> None:
    asking = asyncio.create_task(ask_without_end(rig))
    await until(lambda: not rig.transport.is_reading())
    stood_at = rig.unsent_bytes
    assert stood_at < MOST_UNSENT_BYTES + 1024
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert rig.unsent_bytes == stood_at
    await replies(rig, rig.seqnum - 1)
    assert (rig.transport.is_reading(), rig.ended) == (True, [])


async def test_a_client_that_takes_nothing_for_long_loses_the_port(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plug_module, "TAKES_S", 0.05)
    asking = asyncio.create_task(ask_without_end(rig))
    await until(lambda: bool(rig.ended))
    assert rig.ended == ["it accepted no data for 0.05 s"]
    await asyncio.gather(asking, return_exceptions=True)
