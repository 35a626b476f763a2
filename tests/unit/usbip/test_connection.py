"""Both ends of a connection: transfers beside each other, taken back, cut off, refused."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

import pytest

from fakes.usbip_device import FakeAcmDevice
from fakes.usbip_models import acm_model
from fakes.usbip_server import usbip_server
from fakes.waiting import until
from usbshare.base.watched_task import cancel_all
from usbshare.usbip.client import UsbipClient, connect
from usbshare.usbip.control_requests import (
    read_configurations,
    read_device,
    read_text,
    set_configuration,
)
from usbshare.usbip.errors import (
    GONE,
    STALLED,
    UNLINKED,
    TransferError,
    UsbipDeviceError,
    UsbipError,
    UsbipNetworkError,
    UsbipProtocolError,
)
from usbshare.usbip.imported import ImportedDevice
from usbshare.usbip.limits import Limits
from usbshare.usbip.messages import (
    Direction,
    ImportRequest,
    IsoPacket,
    SetupPacket,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
)
from usbshare.usbip.parsers import ReplyParser
from usbshare.usbip.server import serve
from usbshare.usbip.streams import closed

OUT, IN = 4, 3


@contextlib.asynccontextmanager
async def pair(
    device: FakeAcmDevice, limits: Limits | None = None
) -> AsyncIterator[tuple[ImportedDevice, asyncio.Task[None]]]:
    """Both ends over a socket pair, as the kernel is given one."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=theirs)
    serving = asyncio.create_task(serve(reader, writer, device, limits or Limits()))
    imported = ImportedDevice(*await asyncio.open_connection(sock=ours), device.exported)
    imported.start()
    try:
        yield imported, serving
    finally:
        await imported.close()
        await cancel_all(serving)


async def test_a_device_is_listed_imported_and_known() -> None:
    device = FakeAcmDevice(acm_model("75330303035351F0E1A1"), "1-1.2", 7)
    async with usbip_server(device) as server:
        (listed,) = await (await connect("127.0.0.1", server.port)).devices()
        assert listed == device.exported
        imported = await (await connect("127.0.0.1", server.port)).attach("1-1.2")
        descriptor = await read_device(imported)
        assert descriptor == device.model.device
        assert await read_text(imported, descriptor.serial_index) == "75330303035351F0E1A1"
        assert await read_text(imported, 0) == ""
        assert await read_text(imported, 77) == ""
        assert await read_configurations(imported, 1) == device.model.configurations
        await set_configuration(imported, 1)
        assert device.configuration == 1
        await imported.close()
        await until(lambda: not server.attached)
        assert server.errors == []


async def test_data_goes_both_ways() -> None:
    device = FakeAcmDevice(acm_model())
    device.echoes = True
    async with pair(device) as (imported, _):
        assert await imported.write(OUT, b"hello") == 5
        assert await imported.read(IN, 64) == b"hello"


async def test_a_waiting_read_keeps_nothing_else_waiting() -> None:
    device = FakeAcmDevice(acm_model())
    async with pair(device) as (imported, _):
        reads = [asyncio.create_task(imported.read(IN, 64)) for _ in range(4)]
        assert await imported.write(OUT, b"x") == 1
        for each in (b"1", b"2", b"3", b"4"):
            device.say(each)
        assert await asyncio.gather(*reads) == [b"1", b"2", b"3", b"4"]


async def test_a_stall_is_reported_as_a_stall() -> None:
    device = FakeAcmDevice(acm_model())
    async with pair(device) as (imported, _):
        with pytest.raises(TransferError, match="EPIPE") as told:
            await imported.control(SetupPacket(0xC0, 0x5F, 0, 0, 2))
        assert told.value.status == STALLED
        with pytest.raises(UsbipDeviceError):
            await imported.read(9, 8)


async def test_an_unlinked_transfer_is_never_answered_and_the_next_continues() -> None:
    device = FakeAcmDevice(acm_model())
    device.takes.clear()
    replies: list[SubmitReply] = []
    async with pair(device) as (imported, _):
        first, second, _ = (
            imported.submit(OUT, Direction.OUT, 1, replies.append, data=each)
            for each in (b"a", b"b", b"c")
        )
        await imported.control(SetupPacket(0x80, 0, 0, 0, 2))  # the first has begun now
        imported.unlink(first)
        imported.unlink(second)
        await until(lambda: len(replies) == 2)
        assert replies == [SubmitReply(first, UNLINKED), SubmitReply(second, UNLINKED)] or (
            replies == [SubmitReply(second, UNLINKED), SubmitReply(first, UNLINKED)]
        )
        device.takes.set()
        await until(lambda: len(replies) == 3)
    assert device.received_bytes == b"c"


async def test_a_cancelled_read_is_taken_back_and_loses_no_data() -> None:
    device = FakeAcmDevice(acm_model())
    async with pair(device) as (imported, _):
        reading = asyncio.create_task(imported.read(IN, 64))
        await imported.control(SetupPacket(0x80, 0, 0, 0, 2))
        await cancel_all(reading)
        await imported.control(SetupPacket(0x80, 0, 0, 0, 2))
        device.say(b"kept")
        assert await imported.read(IN, 64) == b"kept"


async def raw_pair(
    device: FakeAcmDevice, limits: Limits | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Task[None]]:
    ours, theirs = socket.socketpair()
    streams = await asyncio.open_connection(sock=theirs)
    serving = asyncio.create_task(serve(*streams, device, limits or Limits()))
    return *await asyncio.open_connection(sock=ours), serving


async def answers(
    reader: asyncio.StreamReader, parser: ReplyParser, count: int
) -> list[SubmitReply | UnlinkReply]:
    found: list[SubmitReply | UnlinkReply] = []
    while len(found) < count:
        parser.feed(await reader.read(4096))
        while (reply := parser.reply()) is not None:
            found.append(reply)
    return found


async def test_an_unlink_of_what_was_answered_says_so() -> None:
    device = FakeAcmDevice(acm_model())
    reader, writer, serving = await raw_pair(device)
    parser = ReplyParser()
    devid = device.exported.devid
    submit = Submit(1, devid, Direction.OUT, OUT, 1, b"x")
    unlinks = (Unlink(2, devid, 1), Unlink(3, devid, 99))
    for each in (submit, *unlinks):
        parser.expect(each)
    writer.write(submit.encode())
    assert await answers(reader, parser, 1) == [SubmitReply(1, 0, 1)]
    for each in unlinks:
        writer.write(each.encode())
    assert await answers(reader, parser, 2) == [UnlinkReply(2, 0), UnlinkReply(3, 0)]
    await closed(writer)
    await serving


async def test_everything_unlinked_at_once_is_answered_once_each() -> None:
    device = FakeAcmDevice(acm_model())
    reader, writer, serving = await raw_pair(device)
    parser = ReplyParser()
    devid = device.exported.devid
    submits: list[Submit | Unlink] = [Submit(n, devid, Direction.IN, IN, 64) for n in range(1, 17)]
    unlinks: list[Submit | Unlink] = [Unlink(100 + n, devid, n) for n in range(1, 17)]
    for each in (*submits, *unlinks):
        parser.expect(each)
    writer.write(b"".join(each.encode() for each in (*submits, *unlinks)))
    replies = await answers(reader, parser, 16)
    assert sorted(replies, key=lambda each: each.seqnum) == [
        UnlinkReply(100 + n, UNLINKED) for n in range(1, 17)
    ]
    await closed(writer)
    await serving


@pytest.mark.parametrize(
    ("commands", "named"),
    [
        ([Submit(1, 0x99, Direction.IN, IN, 8)], "devid 0x99 is not 0x10002"),
        ([Submit(1, 0x10002, Direction.IN, IN, 8)] * 2, "seqnum 1 is in use"),
        (
            [Submit(n, 0x10002, Direction.IN, IN, 8) for n in range(1, 6)],
            "more than 4 transfers are unanswered",
        ),
        (
            [Submit(n, 0x10002, Direction.IN, IN, 60) for n in (1, 2)],
            "unanswered transfers of more than 100 bytes",
        ),
    ],
)
async def test_a_breach_of_the_protocol_ends_the_connection(
    commands: list[Submit], named: str
) -> None:
    limits = Limits(in_flight=4, in_flight_bytes=100)
    _, writer, serving = await raw_pair(FakeAcmDevice(acm_model()), limits)
    writer.write(b"".join(each.encode() for each in commands))
    with pytest.raises(UsbipProtocolError) as refused:
        await serving
    assert named in str(refused.value)
    await closed(writer)


async def test_an_isochronous_transfer_is_refused_packet_by_packet() -> None:
    async with pair(FakeAcmDevice(acm_model())) as (imported, _):
        packets = (IsoPacket(0, 100), IsoPacket(100, 100))
        reply = await imported.transfer(1, Direction.IN, 200, packets=packets)
    assert reply.status == STALLED
    assert [each.status for each in reply.packets] == [STALLED, STALLED]


async def test_a_lost_connection_answers_everything_and_is_reported_once() -> None:
    device = FakeAcmDevice(acm_model())
    told: list[UsbipError] = []
    replies: list[SubmitReply] = []
    async with pair(device) as (imported, serving):
        imported.when_lost(told.append)
        seqnum = imported.submit(IN, Direction.IN, 64, replies.append)
        waiting = asyncio.create_task(imported.read(IN, 64))
        await imported.control(SetupPacket(0x80, 0, 0, 0, 2))
        await cancel_all(serving)
        with pytest.raises(UsbipNetworkError, match="the server closed the connection"):
            await waiting
        assert replies == [SubmitReply(seqnum, GONE)]
        with pytest.raises(UsbipNetworkError):
            await imported.write(OUT, b"x")
    assert len(told) == 1


async def test_a_device_in_use_is_refused() -> None:
    device = FakeAcmDevice(acm_model())
    async with usbip_server(device) as server:
        held = await (await connect("127.0.0.1", server.port)).attach("1-1")
        with pytest.raises(UsbipDeviceError, match="1-1 is not exported, or is in use"):
            await (await connect("127.0.0.1", server.port)).attach("1-1")
        with pytest.raises(UsbipDeviceError, match="9-9 is not there"):
            await (await connect("127.0.0.1", server.port)).attach("9-9")
        await held.close()


async def test_a_silent_server_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    client = UsbipClient(*await asyncio.open_connection(sock=ours))
    with theirs, pytest.raises(UsbipNetworkError, match=r"did not answer within 0\.05 s"):
        await client.devices(timeout_s=0.05)


async def test_a_server_that_closes_the_connection_is_reported() -> None:
    ours, theirs = socket.socketpair()
    client = UsbipClient(*await asyncio.open_connection(sock=ours))
    theirs.close()
    with pytest.raises(UsbipNetworkError):
        await client.attach("1-1")


async def test_a_port_where_nobody_listens_is_reported() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UsbipNetworkError, match="cannot be reached"):
        await connect("127.0.0.1", port)


async def test_requests_may_come_with_the_import() -> None:
    device = FakeAcmDevice(acm_model())
    async with usbip_server(device) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        first = Submit(1, device.exported.devid, Direction.OUT, OUT, 2, b"hi")
        for byte in ImportRequest("1-1").encode() + first.encode():
            writer.write(bytes((byte,)))
        await until(lambda: device.received_bytes == b"hi")
        await closed(writer)
        del reader
