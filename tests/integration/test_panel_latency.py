"""The parts of round trips that the panel shows, from a real serial-svc."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from fakes.processes import serial_service
from fakes.waiting import until
from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.client.latency.records import PartKind
from usbshare.client.serial.client import SerialClient
from usbshare.panel.api.shown_latencies import latency_text
from usbshare.panel.latency import latencies as module
from usbshare.panel.latency.latencies import KEPT, Latencies, Record
from usbshare.rpc.channel import Target, parse_target
from usbshare.rpc.tls import ClientBundle

LASER = ("shop", "demo")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Target, ClientBundle]]:
    home = tmp_path_factory.mktemp("host")
    with serial_service(home) as (_, target):
        yield parse_target(target), ClientBundle.load(home / "config/usbshare/client.pem")


class Hosts:
    """Connects to the service under any name, and counts how often."""

    def __init__(self, service: tuple[Target, ClientBundle]) -> None:
        self.connected: list[str] = []
        self._service = service

    def connect(self, host: str) -> SerialClient:
        if host == "gone":
            raise ConnectionRefusedByPeerError("host 'gone' is not known")
        self.connected.append(host)
        return SerialClient(*self._service)


async def test_pages_that_show_a_machine_get_its_parts_from_one_connection(
    service: tuple[Target, ClientBundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0.05)
    hosts = Hosts(service)
    latencies = Latencies(hosts.connect)
    seen: dict[str, list[Record]] = {"first": [], "second": []}
    for page, records in seen.items():
        latencies.show(page, LASER, records.append)
    await until(lambda: all(len(records) > 2 for records in seen.values()))
    assert hosts.connected == ["shop"]
    record = seen["first"][-1]
    assert [part.kind for part in record.latency.parts] == list(PartKind)
    network = next(part for part in record.latency.parts if part.kind is PartKind.NETWORK)
    assert network.by == "this computer"  # nobody has control
    assert network.times is not None
    assert network.times.last_s > 0
    latencies.hide("first", LASER)
    count = len(seen["first"])
    more = len(seen["second"]) + 2
    await until(lambda: len(seen["second"]) >= more)
    assert len(seen["first"]) == count
    latencies.hide("second", LASER)
    kept = latencies.past(LASER)
    assert len(kept) >= more
    assert [each.unix_s for each in kept] == sorted(each.unix_s for each in kept)
    await until(lambda: not any(t.get_name() == "latency of shop" for t in asyncio.all_tasks()))
    await latencies.close()


async def test_a_page_that_looks_again_gets_what_was_measured_before(
    service: tuple[Target, ClientBundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0.02)
    latencies = Latencies(Hosts(service).connect)
    records: list[Record] = []
    latencies.show("page", LASER, records.append)
    await until(lambda: len(records) >= 3)
    event = json.loads(latency_text(records[-1], latencies.past(LASER)[:-1]))["latency"]
    assert event["machine"] == {"host": "shop", "portId": "demo"}
    assert [part["part"] for part in event["parts"]] == [
        f"LATENCY_PART_{kind.name}" for kind in PartKind
    ]
    network = event["parts"][2]
    assert set(network) >= {"latest", "median", "p95", "longest"}
    assert set(event["parts"][0]) == {"part"}  # not measured: nobody has control
    assert len(event["past"]) >= 2
    assert set(event["past"][0]["parts"][0]) == {"part", "latest"}
    await latencies.close()


async def test_a_host_that_does_not_answer_is_asked_again_and_nothing_is_made_up(
    service: tuple[Target, ClientBundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "INTERVAL_S", 0.02)
    target, bundle = service
    nowhere = Target("127.0.0.1", 9)

    def connect(host: str) -> SerialClient:
        return SerialClient(nowhere if host == "dead" else target, bundle)

    latencies = Latencies(connect)
    dead: list[Record] = []
    living: list[Record] = []
    latencies.show("page", ("dead", "demo"), dead.append)
    latencies.show("page", LASER, living.append)
    await until(lambda: len(living) > 3)
    assert dead == []
    await latencies.close()


async def test_an_unknown_host_is_refused_at_once(service: tuple[Target, ClientBundle]) -> None:
    latencies = Latencies(Hosts(service).connect)
    with pytest.raises(ConnectionRefusedByPeerError, match="'gone' is not known"):
        latencies.show("page", ("gone", "demo"), lambda _: None)
    latencies.hide("page", ("gone", "demo"))
    await latencies.close()


async def test_kept_samples_are_bounded(service: tuple[Target, ClientBundle]) -> None:
    now = 0.0
    latencies = Latencies(Hosts(service).connect, lambda: now)
    records: list[Record] = []
    latencies.show("page", LASER, records.append)
    await until(lambda: records)
    latencies.hide("page", LASER)
    for now in range(3 * KEPT):
        latencies._keep(Record(LASER, float(now), records[0].latency))
    assert len(latencies.past(LASER)) <= KEPT + 1
    for number in range(3 * module.MOST_MACHINES):
        latencies._keep(Record(("shop", str(number)), float(now), records[0].latency))
    assert len(latencies._kept) == module.MOST_MACHINES
    await latencies.close()
