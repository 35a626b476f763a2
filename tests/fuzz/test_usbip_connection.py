"""Whatever is submitted, taken back and answered in whatever order, and whatever bytes come."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from fakes.usbip_messages import submits
from usbshare.usbip.errors import UNLINKED, UsbipError
from usbshare.usbip.imported import ImportedDevice
from usbshare.usbip.limits import Limits
from usbshare.usbip.messages import (
    Direction,
    ExportedDevice,
    SetupPacket,
    Submit,
    SubmitReply,
    Unlink,
    UnlinkReply,
)
from usbshare.usbip.parsers import ReplyParser
from usbshare.usbip.server import serve

EXPORTED = ExportedDevice("1-1", 1, 2, 0x1209, 1)
ENDPOINTS = (1, 2, 3)


class Sink:
    """A writer that keeps what is written."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.data += data

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def close(self) -> None:
        self.is_closed = True

    async def wait_closed(self) -> None: ...


@dataclass
class Gated:
    """A device whose transfers end when the test says so; OUT data is what was taken."""

    exported: ExportedDevice = EXPORTED
    gates: dict[tuple[str, int], asyncio.Semaphore] = field(
        default_factory=lambda: defaultdict(lambda: asyncio.Semaphore(0))
    )
    taken: dict[int, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    async def control(self, setup: SetupPacket, data: bytes) -> bytes:
        del data
        return bytes(setup.length)

    async def read(self, endpoint: int, length: int) -> bytes:
        await self.gates["in", endpoint].acquire()
        return bytes(min(length, 3))

    async def write(self, endpoint: int, data: bytes) -> int:
        await self.gates["out", endpoint].acquire()
        self.taken[endpoint].append(data)
        return len(data)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("in"), st.sampled_from(ENDPOINTS)),
        st.tuples(st.just("out"), st.sampled_from(ENDPOINTS)),
        st.tuples(st.just("free in"), st.sampled_from(ENDPOINTS)),
        st.tuples(st.just("free out"), st.sampled_from(ENDPOINTS)),
        st.tuples(st.just("unlink"), st.integers(0, 40)),
        st.tuples(st.just("turn"), st.integers(1, 4)),
    ),
    max_size=40,
)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def served(
    plan: list[tuple[str, int]],
) -> tuple[list[Submit | Unlink], list[SubmitReply | UnlinkReply], Gated]:
    """Carry out the plan; return what was asked and what was answered, both in their order."""
    device, reader, sink, parser = Gated(), asyncio.StreamReader(), Sink(), ReplyParser()
    serving = asyncio.create_task(serve(reader, sink, device))
    asked: list[Submit | Unlink] = []
    for what, number in plan:
        seqnum = len(asked) + 1
        if what in ("in", "out"):
            direction = Direction.IN if what == "in" else Direction.OUT
            data = b"" if what == "in" else seqnum.to_bytes(2, "big")
            asked.append(Submit(seqnum, EXPORTED.devid, direction, number, 2, data))
        elif what == "unlink":
            asked.append(Unlink(seqnum, EXPORTED.devid, number))
        elif what == "turn":
            await turns(number)
            continue
        else:
            device.gates[what.removeprefix("free "), number].release()
            continue
        parser.expect(asked[-1])
        reader.feed_data(asked[-1].encode())
    await turns(20)
    for gate in [(way, number) for way in ("in", "out") for number in ENDPOINTS]:
        for _ in asked:
            device.gates[gate].release()
    await turns(20 + 20 * len(asked))
    reader.feed_eof()
    await serving
    assert sink.is_closed
    parser.feed(bytes(sink.data))
    answered: list[SubmitReply | UnlinkReply] = []
    while (reply := parser.reply()) is not None:
        answered.append(reply)
    assert parser.unread_bytes == 0
    return asked, answered, device


@given(plan=steps)
def test_every_transfer_is_answered_once_or_taken_back(plan: list[tuple[str, int]]) -> None:
    asked, answered, device = asyncio.run(served(plan))
    submitted = {each.seqnum: each for each in asked if isinstance(each, Submit)}
    unlinks = {each.seqnum: each for each in asked if isinstance(each, Unlink)}
    ended = [each.seqnum for each in answered if isinstance(each, SubmitReply)]
    replies = {each.seqnum: each for each in answered if isinstance(each, UnlinkReply)}
    taken_back = [unlinks[n].target for n, each in replies.items() if each.status == UNLINKED]
    assert sorted([*ended, *taken_back]) == sorted(submitted)
    assert replies.keys() == unlinks.keys()
    assert all(each.status in (0, UNLINKED) for each in replies.values())
    for endpoint in ENDPOINTS:
        for direction in Direction:
            own = [
                n
                for n, each in submitted.items()
                if (each.endpoint, each.direction) == (endpoint, direction) and n in ended
            ]
            assert [n for n in ended if n in own] == own
        sent = [
            submitted[n].data
            for n in ended
            if submitted[n].endpoint == endpoint and submitted[n].direction is Direction.OUT
        ]
        assert device.taken[endpoint] == sent


@given(pieces=st.lists(st.binary(max_size=100), max_size=5))
def test_a_server_survives_any_bytes(pieces: list[bytes]) -> None:
    async def run() -> None:
        reader, sink = asyncio.StreamReader(), Sink()
        serving = asyncio.create_task(serve(reader, sink, Gated(), Limits(transfer_bytes=64)))
        for piece in pieces:
            if not serving.done():
                reader.feed_data(piece)
            await turns(2)
        reader.feed_eof()
        (outcome,) = await asyncio.gather(serving, return_exceptions=True)
        assert outcome is None or isinstance(outcome, UsbipError)
        assert sink.is_closed

    asyncio.run(run())


@given(
    commands=st.lists(submits(64), max_size=5),
    pieces=st.lists(st.binary(max_size=100), max_size=5),
    heads=st.lists(st.sampled_from([3, 4]), max_size=5),
)
def test_a_client_answers_everything_whatever_bytes_come(
    commands: list[Submit], pieces: list[bytes], heads: list[int]
) -> None:
    async def run() -> None:
        reader, sink = asyncio.StreamReader(), Sink()
        device = ImportedDevice(reader, sink, EXPORTED)
        device.start()
        told: list[UsbipError] = []
        device.when_lost(told.append)
        answers: dict[int, list[SubmitReply]] = {}
        for each in commands:
            heard: list[SubmitReply] = []
            seqnum = device.submit(
                *(each.endpoint, each.direction, each.length, heard.append),
                data=each.data,
                packets=each.packets,
            )
            answers[seqnum] = heard
        for number, head in enumerate(heads, 1):
            reader.feed_data(head.to_bytes(4, "big") + number.to_bytes(4, "big"))
        for piece in pieces:
            reader.feed_data(piece)
            await turns(2)
        reader.feed_eof()
        await turns(5)
        assert len(told) == 1
        assert all(len(heard) == 1 for heard in answers.values())
        await device.close()
        assert sink.is_closed

    asyncio.run(run())
