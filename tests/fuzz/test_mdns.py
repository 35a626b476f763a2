"""Whatever comes in on port 5353: nothing is raised, nothing is shown raw, and we still answer."""

from __future__ import annotations

import asyncio
import itertools
import struct
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf.asyncio import AsyncZeroconf

from fakes.waiting import until
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.counters import SourceCounters
from usbshare.hosts.instance import Endpoint, Instance, Kind
from usbshare.hosts.mdns.announcer import Announcer
from usbshare.hosts.mdns.browser import Browser
from usbshare.hosts.mdns.mdns import MdnsNode
from usbshare.hosts.mdns.wire import Admission, Responder
from usbshare.hosts.settings import DiscoveryTable

STRANGER = ("127.0.0.1", 40000)
OUR_TYPE = b"\x0a_usb-share\x04_tcp\x05local\x00"

labels = st.binary(min_size=1, max_size=63).map(lambda data: bytes((len(data),)) + data)
hosts = st.lists(labels, max_size=3).map(lambda parts: b"".join(parts) + b"\0")
pointers = st.integers(0, 0x3FFF).map(lambda at: struct.pack("!H", 0xC000 | at))
names = st.one_of(
    st.just(OUR_TYPE),
    labels.map(lambda label: label + OUR_TYPE),
    st.just(b"\x06fuzzed" + OUR_TYPE),
    hosts,
    pointers,
    st.binary(max_size=80),
)
types = st.sampled_from([1, 5, 12, 13, 16, 28, 33, 47, 255]) | st.integers(0, 0xFFFF)
classes = st.sampled_from([1, 0x8001]) | st.integers(0, 0xFFFF)
lives_s = st.sampled_from([0, 1, 120, 4500, 0xFFFFFFFF])
pairs = st.binary(max_size=255).map(lambda data: bytes((len(data),)) + data)
data = st.one_of(
    names,
    st.binary(max_size=300),
    st.lists(pairs, max_size=30).map(b"".join),
    st.tuples(st.binary(min_size=6, max_size=6), names).map(b"".join),
)
questions = st.tuples(names, types, classes).map(
    lambda parts: parts[0] + struct.pack("!HH", *parts[1:])
)


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """A resource record, its length told right or wrong."""
    content = draw(data)
    length = draw(st.just(len(content)) | st.integers(0, 0xFFFF))
    fixed = struct.pack("!HHIH", draw(types), draw(classes), draw(lives_s), length)
    name: bytes = draw(names)
    return name + fixed + content


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message of DNS, with as many of everything as it says, or not."""
    flags = draw(st.sampled_from([0, 0x0200, 0x8400]) | st.integers(0, 0xFFFF))
    asked = draw(st.lists(questions, max_size=3))
    sections = [draw(st.lists(records(), max_size=3)) for _ in range(3)]
    counts = [len(asked), *map(len, sections)]
    if draw(st.booleans()):
        counts = draw(st.lists(st.integers(0, 0xFFFF), min_size=4, max_size=4))
    body = b"".join([*asked, *(record for section in sections for record in section)])
    return struct.pack("!6H", 0, flags, *counts) + body


@dataclass
class Fuzzed:
    """A responder that announces and browses, and what went wrong in it."""

    responder: Responder
    catalogue: Catalogue
    raised: list[object] = field(default_factory=list)

    def receive(self, packet: bytes) -> None:
        for reader in self.responder.engine.readers:
            protocol = cast(asyncio.DatagramProtocol, reader.transport.get_protocol())
            protocol.datagram_received(packet, STRANGER)


@pytest.fixture(scope="module")
async def fuzzed() -> AsyncIterator[Fuzzed]:
    counters, catalogue = SourceCounters(time.monotonic), Catalogue(time.monotonic)
    seconds = itertools.count()  # of a clock so fast that nothing is ever too much
    responder = Responder(["127.0.0.1"], counters, Admission(lambda: float(next(seconds))))
    await responder.async_wait_for_start()
    responder.watch_sockets()
    announcer = Announcer(responder, f"fuzzed-{uuid.uuid4().hex[:6]}")
    browser = Browser(responder, catalogue, counters)
    announcer.set_addresses(("127.0.0.1",))
    announcer.start()
    browser.start()
    await announcer.announce(Instance("fuzzed", (), (Endpoint(Kind.SERIAL, 50051),)))
    yield Fuzzed(responder, catalogue)
    await announcer.close()
    await browser.close()
    await AsyncZeroconf(zc=responder).async_close()


@pytest.fixture
async def raised(fuzzed: Fuzzed) -> AsyncIterator[list[object]]:
    """What callbacks of the loop raise meanwhile."""
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: fuzzed.raised.append(context))
    yield fuzzed.raised
    loop.set_exception_handler(before)


@given(packets=st.lists(messages() | st.binary(max_size=100), min_size=1, max_size=20))
async def test_strangers_packets_raise_nothing(
    fuzzed: Fuzzed, raised: list[object], packets: list[bytes]
) -> None:
    for packet in packets:
        fuzzed.receive(packet)
        await asyncio.sleep(0)
    assert not raised
    assert all(each.instance.name.isprintable() for each in fuzzed.catalogue.entries())


async def test_a_host_is_still_found_after_hostile_packets(
    fuzzed: Fuzzed, raised: list[object]
) -> None:
    """The last one, and that is why it comes last."""
    counters, catalogue = SourceCounters(time.monotonic), Catalogue(time.monotonic)
    node = MdnsNode(catalogue, counters, DiscoveryTable(interfaces=["127.0.0.1"]))
    await node.start()
    name = await node.announce(
        Instance(f"real {uuid.uuid4().hex[:6]}", (), (Endpoint(Kind.SERIAL, 50051),))
    )
    await until(lambda: name in {each.instance.name for each in fuzzed.catalogue.entries()})
    await node.close()
    assert not raised
