"""The beacon over real multicast, on loopback, at a port of each test's own."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from fakes.waiting import until
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.counters import SourceCounters
from usbshare.hosts.instance import Endpoint, Instance, Kind, Source
from usbshare.hosts.interfaces import Interface
from usbshare.hosts.settings import INTERFACES_VARIABLE, DiscoveryTable
from usbshare.hosts.sources import beacon
from usbshare.hosts.sources.beacon import BeaconListener, BeaconPublisher
from usbshare.hosts.sources.beacon_limits import MOST_INSTANCES

_LASER = Instance(
    "Käthes Laser",
    ("192.168.1.20",),
    (Endpoint(Kind.SERIAL, 50051), Endpoint(Kind.DISCOVERY, 50053)),
    port_ids=("laser",),
    site="ab" * 32,
    version="0.1.0",
)


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERFACES_VARIABLE, "127.0.0.1")


@pytest.fixture
def table() -> DiscoveryTable:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        port = udp.getsockname()[1]
    return DiscoveryTable(beacon_port=port, beacon_interval_s=0.2)


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(time.monotonic)


@pytest.fixture
def heard() -> SourceCounters:
    return SourceCounters(time.monotonic)


@pytest.fixture
def told() -> SourceCounters:
    return SourceCounters(time.monotonic)


@pytest.fixture
async def listener(
    catalogue: Catalogue, heard: SourceCounters, table: DiscoveryTable
) -> AsyncIterator[BeaconListener]:
    made = BeaconListener(catalogue, heard, table)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
async def publisher(told: SourceCounters, table: DiscoveryTable) -> AsyncIterator[BeaconPublisher]:
    made = BeaconPublisher(told, table)
    await made.start()
    yield made
    await made.close()


class OtherTool:
    """Another program of this computer that sends what it likes, from an address of its choice."""

    def __init__(self, table: DiscoveryTable, address: str = "127.0.0.1") -> None:
        self._where = (table.beacon_group, table.beacon_port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        out = socket.inet_aton(address)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, out)

    def send(self, data: bytes) -> None:
        self._socket.sendto(data, self._where)

    def say(self, name: str, **more: object) -> None:
        message = {"type": "grbl", "name": name, "addr": "10.0.0.7:9000", "version": "3", **more}
        self.send(json.dumps({**message, "timestamp": time.time()}).encode())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def other_tool(table: DiscoveryTable) -> Iterator[OtherTool]:
    made = OtherTool(table)
    yield made
    made.close()


def names(catalogue: Catalogue) -> list[str]:
    return [each.instance.name for each in catalogue.entries()]


async def test_an_announcement_is_heard_with_the_address_of_its_interface(
    catalogue: Catalogue, listener: BeaconListener, publisher: BeaconPublisher
) -> None:
    publisher.announce(_LASER)
    await until(catalogue.entries)
    (entry,) = catalogue.entries()
    assert entry.sources == {Source.BEACON}
    assert entry.instance.addresses == ("127.0.0.1",)
    assert entry.instance.endpoints == _LASER.endpoints
    assert entry.instance.port_ids == ("laser",)
    assert entry.instance.site == _LASER.site


async def test_a_beacon_is_sent_repeatedly(
    listener: BeaconListener,
    publisher: BeaconPublisher,
    heard: SourceCounters,
    told: SourceCounters,
) -> None:
    publisher.announce(_LASER)
    await until(lambda: heard.snapshot().received_packets >= 3)
    assert heard.snapshot().received_bytes > 3 * 100
    assert told.snapshot().sent_packets >= 3
    assert heard.snapshot().errors == told.snapshot().errors == 0


async def test_a_clean_end_closes_the_session(
    catalogue: Catalogue,
    listener: BeaconListener,
    publisher: BeaconPublisher,
    told: SourceCounters,
) -> None:
    publisher.announce(_LASER)
    await until(catalogue.entries)
    await publisher.close()
    await until(lambda: not catalogue.entries())
    sent = told.snapshot().sent_packets
    await publisher.close()
    assert told.snapshot().sent_packets == sent


async def test_another_name_takes_the_place_of_the_one_before(
    catalogue: Catalogue, listener: BeaconListener, publisher: BeaconPublisher
) -> None:
    publisher.announce(_LASER)
    await until(lambda: names(catalogue) == ["Käthes Laser"])
    publisher.announce(Instance("Laser (2)", (), _LASER.endpoints))
    await until(lambda: names(catalogue) == ["Laser (2)"])


async def test_several_programs_of_one_computer_receive_it(
    catalogue: Catalogue,
    listener: BeaconListener,
    publisher: BeaconPublisher,
    table: DiscoveryTable,
) -> None:
    second = Catalogue(time.monotonic)
    beside = BeaconListener(second, SourceCounters(time.monotonic), table)
    await beside.start()
    try:
        publisher.announce(_LASER)
        await until(lambda: catalogue.entries() and second.entries())
    finally:
        await beside.close()


async def test_another_tools_announcement_is_received(
    catalogue: Catalogue, listener: BeaconListener, other_tool: OtherTool
) -> None:
    other_tool.say("Old Mill")
    await until(catalogue.entries)
    (entry,) = catalogue.entries()
    assert entry.instance == Instance(
        "Old Mill", ("10.0.0.7",), (Endpoint(Kind.SERIAL, 9000),), version="3"
    )


async def test_another_tool_receives_our_announcement(
    publisher: BeaconPublisher, table: DiscoveryTable
) -> None:
    group = socket.inet_aton(table.beacon_group) + socket.inet_aton("127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        udp.bind(("", table.beacon_port))
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        udp.settimeout(30)
        publisher.announce(_LASER)
        data = await asyncio.to_thread(udp.recv, 2000)
    message = json.loads(data)
    assert message.keys() >= {"type", "name", "addr", "version", "timestamp"}
    assert message["addr"] == "127.0.0.1:50051"
    assert abs(message["timestamp"] - time.time()) < 600


async def test_an_interface_that_comes_later_is_used(
    catalogue: Catalogue,
    heard: SourceCounters,
    told: SourceCounters,
    table: DiscoveryTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loopback = Interface("lo", 1, ("127.0.0.1",), ())
    up: list[Interface] = []
    monkeypatch.setattr(beacon, "LOOK_AT_INTERFACES_S", 0.01)
    monkeypatch.setattr(beacon, "interfaces_up", lambda chosen: list(up))
    listener, publisher = BeaconListener(catalogue, heard, table), BeaconPublisher(told, table)
    await listener.start()
    await publisher.start()
    try:
        publisher.announce(_LASER)
        assert told.snapshot().sent_packets == 0
        up.append(loopback)
        await until(catalogue.entries)
        up.clear()
        await until(lambda: not publisher._addresses)
        sent = told.snapshot().sent_packets
        publisher.announce(_LASER)
        assert told.snapshot().sent_packets == sent
    finally:
        await publisher.close()
        await listener.close()


async def test_an_interface_that_cannot_send_is_an_error_that_is_counted(
    told: SourceCounters, table: DiscoveryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = Interface("gone0", 99, ("192.0.2.1",), ())
    monkeypatch.setattr(beacon, "interfaces_up", lambda chosen: [nowhere])
    publisher = BeaconPublisher(told, table)
    await publisher.start()
    publisher.announce(_LASER)
    await publisher.close()
    assert told.snapshot().errors == 2
    assert told.snapshot().sent_packets == 0


async def test_without_any_interface_it_listens_and_says_that_it_hears_nothing(
    catalogue: Catalogue,
    heard: SourceCounters,
    table: DiscoveryTable,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(beacon, "interfaces_up", lambda chosen: [])
    listener = BeaconListener(catalogue, heard, table)
    await listener.start()
    await listener.close()
    assert [each.levelname for each in caplog.records] == ["WARNING"]


async def test_a_datagram_that_is_not_a_message_is_only_counted(
    catalogue: Catalogue,
    listener: BeaconListener,
    other_tool: OtherTool,
    heard: SourceCounters,
) -> None:
    junk = [b"", b"\xff" * 60_000, b"[" * 1400, b'{"type":"x","name":"\x1b[31m"}', b"null"]
    for each in junk:
        other_tool.send(each)
    await until(lambda: heard.snapshot().errors == len(junk))
    assert catalogue.entries() == []
    other_tool.say("Old Mill")
    await until(lambda: names(catalogue) == ["Old Mill"])


async def test_after_a_flood_a_good_beacon_is_seen_and_the_bounds_held(
    catalogue: Catalogue,
    listener: BeaconListener,
    other_tool: OtherTool,
    table: DiscoveryTable,
    heard: SourceCounters,
) -> None:
    most = 0
    for each in range(30_000):
        other_tool.say(f"junk {each}\x1b[31m", addr=f"10.9.{each % 250}.1:1", id="ab")
        if each % 100 == 0:
            most = max(most, catalogue.count(Source.BEACON))
            await asyncio.sleep(0)
    assert most <= MOST_INSTANCES
    assert len(listener._roll._heard) <= MOST_INSTANCES
    good = OtherTool(table, "127.0.0.2")
    try:
        async with asyncio.timeout(60):
            while "Old Mill" not in names(catalogue):
                good.say("Old Mill")
                await asyncio.sleep(0.05)
    finally:
        good.close()
    assert catalogue.count(Source.BEACON) <= MOST_INSTANCES
    assert heard.snapshot().errors > 0
    assert all(name.isprintable() for name in names(catalogue))


async def test_a_publisher_of_the_flooding_computer_is_seen_too(
    catalogue: Catalogue,
    listener: BeaconListener,
    publisher: BeaconPublisher,
    other_tool: OtherTool,
    heard: SourceCounters,
) -> None:
    async with asyncio.timeout(60):
        while not heard.snapshot().errors:
            for each in range(100):
                other_tool.say(f"junk {each}", id="ab")
            await asyncio.sleep(0)
    publisher.announce(_LASER)
    await until(lambda: _LASER.name in names(catalogue))


async def test_a_loop_without_readiness_events_receives_it_too(
    catalogue: Catalogue,
    heard: SourceCounters,
    publisher: BeaconPublisher,
    table: DiscoveryTable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def add_reader(*arguments: object) -> None:
        raise NotImplementedError  # as Windows' loop does

    monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", add_reader)
    listener = BeaconListener(catalogue, heard, table)
    await listener.start()
    try:
        publisher.announce(_LASER)
        await until(catalogue.entries)
    finally:
        await listener.close()
