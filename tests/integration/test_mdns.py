"""Nodes on loopback: what one announces the others know, and what strangers send harms none."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from zeroconf import current_time_millis
from zeroconf.asyncio import AsyncZeroconf

from fakes.mdns_peer import mdns_peer
from fakes.waiting import until
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.counters import SourceCounters
from usbshare.hosts.instance import Endpoint, Entry, Instance, Kind
from usbshare.hosts.mdns.browser import Browser
from usbshare.hosts.mdns.mdns import MdnsNode
from usbshare.hosts.mdns.names import SERVICE_TYPE, full_name
from usbshare.hosts.mdns.records import (
    CLASS_IN,
    FLAGS_ANSWER,
    TYPE_PTR,
    TYPE_SRV,
    DNSOutgoing,
    DNSPointer,
    DNSRecord,
    DNSService,
)
from usbshare.hosts.mdns.wire import Admission, Responder
from usbshare.hosts.settings import DiscoveryTable

LOOPBACK = "127.0.0.1"
SITE = "0123456789abcdef" * 4


class Host:
    """A node and what it found."""

    def __init__(self) -> None:
        self.catalogue = Catalogue(time.monotonic)
        self.counters = SourceCounters(time.monotonic)
        settings = DiscoveryTable(interfaces=[LOOPBACK])
        self.node = MdnsNode(self.catalogue, self.counters, settings)

    def found(self, name: str) -> Entry | None:
        return next((each for each in self.catalogue.entries() if each.instance.name == name), None)

    def has(self, name: str, endpoints: tuple[Endpoint, ...]) -> bool:
        entry = self.found(name)
        return entry is not None and entry.instance.endpoints == endpoints

    async def find(self, name: str) -> Instance:
        await until(lambda: self.found(name))
        entry = self.found(name)
        assert entry is not None
        return entry.instance


Start = Callable[[], Coroutine[Any, Any, Host]]


@pytest.fixture
async def start(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    monkeypatch.delenv("USBSHARE_DISCOVERY_INTERFACES", raising=False)
    hosts: list[Host] = []

    async def started() -> Host:
        hosts.append(Host())
        await hosts[-1].node.start()
        return hosts[-1]

    yield started
    await asyncio.gather(*(each.node.close() for each in hosts))


@pytest.fixture
def name() -> str:
    """A name that no test beside this one uses."""
    return f"Läser {uuid.uuid4().hex[:8]}"


def instance(name: str, port: int = 50051, **fields: Any) -> Instance:
    return Instance(name, (), (Endpoint(Kind.SERIAL, port),), **fields)


async def test_an_announced_instance_is_found_with_all_fields(start: Start, name: str) -> None:
    here, there = await start(), await start()
    endpoints = (Endpoint(Kind.SERIAL, 50061), Endpoint(Kind.CAMERA, 50062))
    announced = Instance(
        name, (), endpoints, port_ids=("laser", "mill"), tls=False, site=SITE, version="1.2.3"
    )
    assert await here.node.announce(announced) == name == here.node.name
    found = await there.find(name)
    assert found == replace(announced, addresses=(LOOPBACK,), host=found.host)


@pytest.mark.parametrize(
    "label",
    [
        "v1.5.2 ..",
        "a" * 54,
        "Ω" * 27,
        "._serial",
        "x\\.y\\032",
        "_usb-share._tcp",
        "%s;$(x)",
        "😀" * 13,
    ],
)
async def test_any_name_is_found_as_it_is(start: Start, label: str) -> None:
    name = f"{uuid.uuid4().hex[:8]} {label}"
    here, there = await start(), await start()
    assert await here.node.announce(instance(name)) == name
    assert (await there.find(name)).port_of(Kind.SERIAL) == 50051


async def test_another_process_finds_it_and_its_end(start: Start, name: str) -> None:
    with mdns_peer([LOOPBACK]) as peer:
        here = await start()
        await here.node.announce(instance(name, 50071))
        await asyncio.to_thread(peer.wait_for, name, port=50071)
        await here.node.close()
        await asyncio.to_thread(peer.wait_until_gone, name)


async def test_a_host_that_starts_later_asks_and_finds(start: Start, name: str) -> None:
    here = await start()
    await here.node.announce(instance(name))
    there = await start()
    await there.find(name)


async def test_a_host_finds_itself(start: Start, name: str) -> None:
    here = await start()
    await here.node.announce(instance(name))
    await here.find(name)


async def test_a_name_that_is_taken_gets_a_number(start: Start, name: str) -> None:
    first, second, third = [await start() for _ in range(3)]
    assert await first.node.announce(instance(name)) == name
    assert await second.node.announce(instance(name)) == f"{name} (2)"
    assert await third.node.announce(instance(name)) == f"{name} (3)"
    for host in (first, second, third):
        for number in ("", " (2)", " (3)"):
            await host.find(name + number)


async def test_a_taken_name_of_63_bytes_keeps_to_63(start: Start) -> None:
    name = (uuid.uuid4().hex[:7] + "ü" * 28)[:35]
    assert len(name.encode()) == 63
    first, second = await start(), await start()
    assert await first.node.announce(instance(name)) == name
    other = await second.node.announce(instance(name))
    assert other == f"{name[:-2]} (2)"
    await first.find(other)


async def test_of_many_that_take_a_name_at_once_each_gets_its_own(start: Start, name: str) -> None:
    hosts = [await start() for _ in range(4)]
    await asyncio.gather(*(each.node.announce(instance(name)) for each in hosts))
    names = {name, *(f"{name} ({number})" for number in (2, 3, 4))}
    await until(lambda: {each.node.name for each in hosts} == names)
    for host in hosts:
        for each in names:
            await host.find(each)


async def test_the_greater_record_keeps_a_name_claimed_unseen(start: Start, name: str) -> None:
    here = await start()
    await here.node.announce(instance(name, 50000))
    await _send_records(_srv(name, 40000))
    await until(lambda: here.counters.snapshot().received_packets > 0)
    assert here.node.name == name
    await _send_records(_srv(name, 60000))
    await until(lambda: here.node.name == f"{name} (2)")


async def test_a_goodbye_in_our_name_does_not_make_us_vanish(start: Start, name: str) -> None:
    here, there = await start(), await start()
    await here.node.announce(instance(name))
    await there.find(name)
    lost: list[bool] = []
    there.catalogue.subscribe(lambda: lost.append(there.found(name) is None))
    await _send_records(DNSPointer(SERVICE_TYPE, TYPE_PTR, CLASS_IN, 0, full_name(name)))
    await until(lambda: True in lost)
    await there.find(name)


async def test_changes_of_an_announcement_are_reported(start: Start, name: str) -> None:
    here, there = await start(), await start()
    await here.node.announce(instance(name, port_ids=("laser",)))
    await there.find(name)
    endpoints = (Endpoint(Kind.SERIAL, 50081), Endpoint(Kind.CAMERA, 50082))
    assert await here.node.announce(Instance(name, (), endpoints, port_ids=("mill",))) == name
    await until(lambda: there.has(name, endpoints))
    assert (await there.find(name)).port_ids == ("mill",)
    await here.node.announce(instance(name))
    await until(lambda: there.has(name, instance(name).endpoints))


async def test_the_name_it_got_is_no_new_name(start: Start, name: str) -> None:
    first, second = await start(), await start()
    await first.node.announce(instance(name))
    numbered = await second.node.announce(instance(name))
    await first.find(numbered)
    lost: list[bool] = []
    first.catalogue.subscribe(lambda: lost.append(first.found(numbered) is None))
    for each in (numbered, name):
        assert await second.node.announce(instance(each, 50091)) == numbered
    await until(lambda: first.has(numbered, instance(name, 50091).endpoints))
    assert True not in lost


async def test_a_new_name_takes_the_old_ones_place(start: Start, name: str) -> None:
    here, there = await start(), await start()
    await here.node.announce(instance(name))
    await there.find(name)
    await here.node.announce(instance(f"{name} B"))
    await there.find(f"{name} B")
    await until(lambda: there.found(name) is None)


async def test_withdrawn_it_is_gone_and_may_come_again(start: Start, name: str) -> None:
    here, there = await start(), await start()
    await here.node.announce(instance(name))
    await there.find(name)
    await here.node.withdraw()
    await until(lambda: there.found(name) is None)
    assert here.node.name == ""
    await here.node.announce(instance(name))
    await there.find(name)


async def test_an_abandoned_host_is_found_again_without_an_announcement(
    start: Start, name: str
) -> None:
    here, there = await start(), await start()
    await here.node.announce(instance(name))
    await there.find(name)
    entry = there.found(name)
    assert entry is not None
    there.catalogue.unreachable(entry.id)
    assert there.found(name) is None
    await there.find(name)


async def test_a_pointer_that_grew_old_is_asked_for(start: Start, name: str) -> None:
    here = await start()
    await here.node.announce(instance(name))
    counters, catalogue = SourceCounters(time.monotonic), Catalogue(time.monotonic)
    responder = Responder([LOOPBACK], counters, Admission(time.monotonic))
    await responder.async_wait_for_start()
    browser = Browser(responder, catalogue, counters)
    browser.start()
    await until(lambda: _pointer(responder, name))
    old = _pointer(responder, name)
    assert old is not None
    old.created -= old.ttl * 1000 * 0.6
    browser.ask_again()
    assert _is_stale(old)
    await until(lambda: not _is_stale(_pointer(responder, name)))
    await browser.close()
    await AsyncZeroconf(zc=responder).async_close()


async def test_close_ends_while_a_name_is_claimed_and_twice(start: Start, name: str) -> None:
    here = await start()
    claiming = asyncio.create_task(here.node.announce(instance(name)))
    await asyncio.sleep(0)
    await here.node.close()
    await here.node.close()
    await claiming


async def test_a_node_that_never_started_closes() -> None:
    await Host().node.close()


async def test_bytes_are_counted(start: Start, name: str) -> None:
    here, there = await start(), await start()
    await here.node.announce(instance(name))
    await there.find(name)
    sent, received = here.counters.snapshot(), there.counters.snapshot()
    assert sent.sent_bytes > sent.sent_packets * 12 > 0
    assert received.received_bytes > received.received_packets * 12 > 0


async def test_floods_are_forgotten_and_hosts_still_found(start: Start, name: str) -> None:
    here, there = await start(), await start()
    for packet in range(700):  # more records than the library keeps
        labels = [f"junk {packet} {number}" for number in range(20)]
        pointers = [
            DNSPointer(SERVICE_TYPE, TYPE_PTR, CLASS_IN, 4500, full_name(each)) for each in labels
        ]
        await _send_records(*pointers)
    await until(lambda: here.counters.snapshot().received_packets >= 700)
    await there.node.announce(instance(name))
    await here.find(name)


HEADER = struct.Struct("!6H")
POINTER_LOOP = b"\xc0\x0c"
OUR_TYPE = b"\x0a_usb-share\x04_tcp\x05local\x00"


def answer(name: bytes, type_: int, data: bytes, ttl_s: int = 120) -> bytes:
    """A response with one record."""
    record = name + struct.pack("!HHIH", type_, CLASS_IN, ttl_s, min(len(data), 65535)) + data
    return HEADER.pack(0, FLAGS_ANSWER, 0, 1, 0, 0) + record


def junk_label(data: bytes) -> bytes:
    return bytes((len(data),)) + data + OUR_TYPE


HOSTILE = {
    "empty": b"",
    "half a header": b"\0\0\x84",
    "promises records": HEADER.pack(0, FLAGS_ANSWER, 0, 65535, 65535, 65535),
    "promises questions": HEADER.pack(0, 0, 65535, 0, 0, 0),
    "points to itself": answer(POINTER_LOOP, TYPE_PTR, POINTER_LOOP),
    "points in a circle": HEADER.pack(0, 0, 1, 0, 0, 0) + b"\xc0\x0e\xc0\x0c\0\x0c\0\x01",
    "points beyond": answer(b"\xff\xff", TYPE_PTR, b"\xff\xff"),
    "unknown label": answer(b"\x40abc\0", TYPE_PTR, b"\x80\0"),
    "its own alias": answer(OUR_TYPE, 5, b"\xc0\x0c"),
    "alias of a host": answer(junk_label(b"x"), 5, OUR_TYPE),
    "control characters": answer(OUR_TYPE, TYPE_PTR, junk_label(b"\x1b[2J\x07\r\n\0x")),
    "no UTF-8": answer(OUR_TYPE, TYPE_PTR, junk_label(b"\xff" * 63)),
    "no label": answer(OUR_TYPE, TYPE_PTR, OUR_TYPE),
    "root": answer(OUR_TYPE, TYPE_PTR, b"\0"),
    "a thousand labels": answer(b"\x01a" * 1000 + b"\0", TYPE_PTR, b"\0"),
    "8 KB of text": answer(junk_label(b"big"), 16, b"\xff" + b"a" * 8000),
    "60 KB of text": answer(junk_label(b"huge"), 16, (b"\xff" + b"a" * 255) * 234),
    "text that ends early": answer(junk_label(b"short"), 16, b"\xff=\0\0=="),
    "short service": answer(junk_label(b"srv"), TYPE_SRV, b"\0\0"),
    "service at nothing": answer(junk_label(b"srv"), TYPE_SRV, b"\0\0\0\0\0\0" + b"\0"),
    "address of 3 bytes": answer(b"\x01x\x05local\0", 1, b"\x7f\0\0"),
    "denial of everything": answer(junk_label(b"n"), 47, b"\xc0\x0c\xff\xff"),
    "question with junk": HEADER.pack(0, 0, 2, 0, 0, 0)
    + OUR_TYPE
    + b"\0\x0c\0\x01"
    + b"\x3f"
    + b"\xfe" * 63
    + b"\0\0\x0c\0\x01",
    "truncated for ever": HEADER.pack(0, 0x0200, 1, 0, 0, 0) + OUR_TYPE + b"\0\x0c\0\x01",
}


@pytest.fixture
async def failures() -> AsyncIterator[list[dict[str, Any]]]:
    """What callbacks of the loop raise meanwhile."""
    loop, raised = asyncio.get_running_loop(), list[dict[str, Any]]()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: raised.append(context))
    yield raised
    loop.set_exception_handler(before)


async def test_hostile_packets_change_nothing(
    start: Start,
    name: str,
    failures: list[dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    here, there = await start(), await start()
    await here.node.announce(instance(name))
    caplog.set_level(logging.INFO)
    for _ in range(3):
        for packet in HOSTILE.values():
            await _send(packet)
    await _send(_resolvable(b"\x1b]0;owned\x07"))
    other = f"{name} 2"
    await there.node.announce(instance(other))
    await here.find(other)
    await there.find(name)
    assert not failures
    assert not [each for each in caplog.records if each.exc_info or each.levelno >= logging.ERROR]
    assert len(caplog.records) < 20
    shown = "".join(each.instance.name for each in here.catalogue.entries())
    assert shown.isprintable()
    assert here.counters.snapshot().errors > 0


def _pointer(responder: Responder, name: str) -> DNSRecord | None:
    pointers = responder.cache.get_all_by_details(SERVICE_TYPE, TYPE_PTR, CLASS_IN)
    wanted = (each for each in pointers if getattr(each, "alias", "") == full_name(name))
    return next(wanted, None)


def _is_stale(pointer: DNSRecord | None) -> bool:
    return pointer is None or pointer.is_stale(current_time_millis())


def _resolvable(label: bytes) -> bytes:
    """All records of an instance with such a name."""
    whole = junk_label(label)
    records = [
        (OUR_TYPE, TYPE_PTR, whole),
        (whole, TYPE_SRV, b"\0\0\0\0\xc3\x83\x01h\x05local\0"),
        (whole, 16, b"\x0cports=\x1b[31m"),
        (b"\x01h\x05local\0", 1, b"\x7f\0\0\x01"),
    ]
    body = b"".join(answer(*each)[HEADER.size :] for each in records)
    return HEADER.pack(0, FLAGS_ANSWER, 0, len(records), 0, 0) + body


def _srv(name: str, port: int) -> DNSService:
    return DNSService(
        full_name(name),
        TYPE_SRV,
        CLASS_IN,
        120,
        0,
        0,
        port,
        "elsewhere.local.",
        current_time_millis(),
    )


async def _send_records(*records: Any) -> None:
    out = DNSOutgoing(FLAGS_ANSWER)
    for record in records:
        out.add_answer_at_time(record, 0)
    for packet in out.packets():
        await _send(packet)


async def _send(packet: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
        udp.sendto(packet, ("224.0.0.251", 5353))
    await asyncio.sleep(0)
