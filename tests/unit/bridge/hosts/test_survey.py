"""Which hosts `bridge list` asks, from what discovery tells of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fakes.remote import REMOTE
from fakes.waiting import until
from usbshare.bridge.hosts import survey as hosts_survey
from usbshare.bridge.hosts.inventory import Answer, KnownHost, Survey, without_doubles
from usbshare.bridge.settings import Settings
from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.instance import (
    Endpoint,
    Entry,
    Instance,
    Kind,
    Observation,
    Source,
)
from usbshare.rpc.channel import Target

OURS, THEIRS = "ab" * 32, "cd" * 32


def entry(source: Source = Source.MDNS, site: str = "", tls: bool = True) -> Entry:
    found = Instance(
        "Laser", ("192.168.1.20",), (Endpoint(Kind.SERIAL, 50051),), site=site, tls=tls
    )
    return Entry("1", found, frozenset({source}))


@pytest.mark.parametrize(
    ("found", "site", "expected"),
    [
        (entry(site=OURS), OURS, False),
        (entry(site=THEIRS), OURS, True),
        (entry(site=""), OURS, False),
        (entry(Source.STATIC, site=THEIRS), OURS, False),
        (entry(tls=True), "", True),
        (entry(tls=False), "", False),
        (entry(Source.STATIC), "", False),
    ],
)
def test_a_host_is_foreign_by_its_own_word(found: Entry, site: str, expected: bool) -> None:
    assert hosts_survey.is_foreign(found, {site} - {""}) is expected


class Asked:
    """Notes who is asked."""

    def __init__(self) -> None:
        self.hosts: list[KnownHost] = []

    async def ask(self, host: KnownHost, timeout_s: float) -> Answer:
        self.hosts.append(host)
        return Answer(host, host.targets[0], (REMOTE,))


def observed(
    name: str,
    *addresses: str,
    source: Source = Source.MDNS,
    kind: Kind = Kind.SERIAL,
    host: str = "",
    tls: bool = False,
) -> Observation:
    instance = Instance(name, addresses, (Endpoint(kind, 50051),), host=host, tls=tls)
    return Observation(source, name, instance)


async def test_hosts_are_asked_as_they_turn_up() -> None:
    catalogue, asked = Catalogue(lambda: 0.0), Asked()
    catalogue.observe(observed("Laser", "127.0.0.1", source=Source.STATIC))
    async with Survey(asked.ask, 60) as survey:
        following = asyncio.create_task(hosts_survey._follow(catalogue, survey, None))
        await until(lambda: len(asked.hosts) == 1)
        catalogue.observe(observed("Cameras", "127.0.0.3", kind=Kind.CAMERA))
        catalogue.observe(observed("Remote", "192.168.1.20"))
        catalogue.observe(observed("Wants TLS", "127.0.0.4", tls=True))
        catalogue.observe(observed("Mill", "127.0.0.2", host="mill.local"))
        await until(lambda: len(asked.hosts) == 3)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    found = [(host.name, host.kind) for host in asked.hosts]
    assert found == [("Laser", "port"), ("Cameras", "camera"), ("Mill", "port")]
    assert asked.hosts[2].names == ("Mill", "mill.local", "127.0.0.2")


async def test_a_host_is_asked_for_all_that_it_may_have() -> None:
    kinds = (
        *(Endpoint(Kind.SERIAL, 50051), Endpoint(Kind.CAMERA, 50052)),
        *(Endpoint(Kind.JOB, 51055), Endpoint(Kind.USB, 51056)),
    )
    found = Entry("1", Instance("Laser", ("127.0.0.1",), kinds, host="laser.local", tls=False))
    ports, cameras, jobs, devices = hosts_survey._services_of(found, None)
    assert (devices.kind, devices.targets[0].port) == ("usb", 51056)
    assert hosts_survey._services_of(found, None, {"usb"}) == [devices]
    assert (jobs.kind, jobs.targets[0].port) == ("job", 51055)
    assert (ports.kind, ports.targets[0].port) == ("port", 50051)
    assert (cameras.kind, cameras.targets[0].port) == ("camera", 50052)
    assert ports.names == cameras.names
    remote = replace(found, instance=replace(found.instance, addresses=("192.168.1.20",)))
    assert hosts_survey._services_of(remote, None) == []


def test_hosts_with_nothing_for_us_are_named() -> None:
    catalogue = Catalogue(lambda: 0.0)
    catalogue.observe(observed("Cameras", "127.0.0.3", kind=Kind.CAMERA))
    catalogue.observe(observed("Remote", "192.168.1.20", tls=True))
    catalogue.observe(observed("Mill", "127.0.0.2"))
    assert hosts_survey._not_ours(catalogue.entries(), None) == ("Remote (192.168.1.20:50051)",)


@pytest.mark.parametrize(
    ("table", "expected_s"),
    [
        ({}, 2.5),
        ({"beacon_interval_s": 0.2}, 1.0),
        ({"beacon": False}, 1.0),
        ({"beacon": False, "mdns": False}, 0.0),
    ],
)
def test_a_beacon_that_comes_every_two_seconds_is_waited_for(
    table: dict[str, object], expected_s: float
) -> None:
    settings = Settings.model_validate({"discovery": table})
    assert hosts_survey._listen_s(settings) == expected_s


def answer(name: str, host: str, *ids: str) -> Answer:
    target = Target(host, 50051)
    ports = tuple(replace(REMOTE, id=each) for each in ids)
    return Answer(KnownHost(name, (target,)), target, ports)


async def test_a_host_under_a_name_and_under_its_address_is_listed_once() -> None:
    answers = [answer("laser", "localhost", "a"), answer("Laser-Workshop", "127.0.0.1", "a")]
    found = without_doubles(answers, await hosts_survey._places(answers, None))
    assert [each.host.name for each in found] == ["laser"]


async def test_two_services_at_one_place_with_other_ports_are_both_listed() -> None:
    answers = [answer("laser", "localhost", "a"), answer("mill", "127.0.0.1", "b")]
    assert without_doubles(answers, await hosts_survey._places(answers, None)) == tuple(answers)
