"""Asking all hosts at once: bounded in time and number, whatever some of them do."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace

import pytest

from fakes.remote import REMOTE
from fakes.remote_jobs import JOB
from fakes.waiting import until
from usbshare.base.errors import ConnectionRefusedByPeerError, NotFoundError, UsbshareError
from usbshare.bridge.hosts.inventory import (
    MOST_AT_ONCE,
    Answer,
    Failure,
    Inventory,
    KnownHost,
    Survey,
)
from usbshare.bridge.hosts.match_filter import parse_criterion
from usbshare.bridge.hosts.picking import NO_HOST, pick
from usbshare.bridge.tables.ports import as_json, as_table
from usbshare.client.camera.messages import CameraState, RemoteCamera
from usbshare.client.usb.messages import RemoteDevice
from usbshare.rpc.channel import Target
from usbshare.usbip.messages import Speed

LONG_S = 60.0
DEVICE = RemoteDevice(
    "0403:6001:A5", 0x0403, 0x6001, "A5", "FTDI", "UART", "1-1", Speed.FULL, "available", "", ""
)


def known(name: str, *addresses: str, port: int = 50051) -> KnownHost:
    return KnownHost(name, tuple(Target(each, port) for each in addresses or (name,)))


class Network:
    """Hosts that answer, refuse, or say nothing until they are let go."""

    def __init__(self) -> None:
        self.ports = {"laser": ("laser",), "mill": ("x", "y")}
        self.silent: set[str] = set()
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.shares_s: list[float] = []
        self.go = asyncio.Event()

    async def ask(self, host: KnownHost, timeout_s: float) -> Answer:
        self.asked.append(host.name)
        self.shares_s.append(timeout_s)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if host.name in self.silent:
                await self.go.wait()
            return self._answer(host)
        finally:
            self.at_once -= 1

    def _answer(self, host: KnownHost) -> Answer:
        if host.name not in self.ports:
            raise ConnectionRefusedByPeerError(f"nothing listens at {host.targets[0]}")
        ports = tuple(replace(REMOTE, id=each) for each in self.ports[host.name])
        return Answer(host, host.targets[0], ports)


@pytest.fixture
async def network() -> Network:
    return Network()


async def test_the_ports_of_all_hosts_come_sorted(network: Network) -> None:
    async with Survey(network.ask, LONG_S) as survey:
        survey.begin(known("mill"))
        survey.begin(known("laser"))
        inventory = await survey.end()
    found = [(item.host.name, item.port.id) for item in inventory.items]
    assert found == [("laser", "laser"), ("mill", "x"), ("mill", "y")]
    assert not inventory.failures


async def test_a_host_that_fails_leaves_the_others(network: Network) -> None:
    async with Survey(network.ask, LONG_S) as survey:
        survey.begin(known("gone"))
        survey.begin(known("laser"))
        inventory = await survey.end()
    assert [item.port.id for item in inventory.items] == ["laser"]
    (failure,) = inventory.failures
    assert (failure.host, failure.reason) == (known("gone"), "nothing listens at gone:50051")
    assert isinstance(failure.error, ConnectionRefusedByPeerError)


async def test_a_silent_host_costs_no_more_than_the_time_limit(network: Network) -> None:
    network.silent.add("dead")
    async with Survey(network.ask, 0.1) as survey:
        survey.begin(known("dead", "192.0.2.1"))
        survey.begin(known("laser"))
        inventory = await survey.end()
    assert [item.port.id for item in inventory.items] == ["laser"]
    (failure,) = inventory.failures
    waited = re.fullmatch(
        r"dead \(192\.0\.2\.1:50051\) did not answer within (\S+) s", failure.reason
    )
    assert waited is not None
    assert 0 < float(waited[1]) <= 0.1
    assert network.at_once == 0


async def test_hosts_are_asked_at_the_same_time_but_not_all(network: Network) -> None:
    names = [f"host-{number}" for number in range(MOST_AT_ONCE + 4)]
    network.silent.update(names)
    network.ports = dict.fromkeys(names, ("p",))
    async with Survey(network.ask, LONG_S) as survey:
        for name in names:
            survey.begin(known(name))
        await until(lambda: network.at_once == MOST_AT_ONCE)
        network.go.set()
        inventory = await survey.end()
    assert network.most_at_once == MOST_AT_ONCE
    assert len(inventory.answers) == len(names)


async def test_dead_hosts_leave_time_for_those_behind_them(network: Network) -> None:
    dead = [f"dead-{number}" for number in range(2 * MOST_AT_ONCE)]
    network.silent.update(dead)
    async with Survey(network.ask, 0.6) as survey:
        for name in [*dead, "laser"]:
            survey.begin(known(name))
        inventory = await survey.end()
    assert [item.port.id for item in inventory.items] == ["laser"]
    assert len(inventory.failures) == len(dead)


async def test_few_hosts_have_all_of_the_time(network: Network) -> None:
    async with Survey(network.ask, LONG_S) as survey:
        for number in range(MOST_AT_ONCE):
            survey.begin(known(f"host-{number}"))
        await survey.end()
    assert min(network.shares_s) > LONG_S / 2


async def test_a_host_known_twice_is_asked_once(network: Network) -> None:
    async with Survey(network.ask, LONG_S) as survey:
        survey.begin(known("laser", "192.168.1.20"))
        survey.begin(known("Laser-Workshop", "fe80::1%eth0", "192.168.1.20"))
        survey.begin(known("other service", "192.168.1.20", port=50061))
        await survey.end()
    assert network.asked == ["laser", "other service"]


async def test_hosts_are_known_by_their_dns_name_too(network: Network) -> None:
    found = KnownHost("Laser", (Target("192.168.1.20", 50051),), ("laser.local",))
    async with Survey(network.ask, LONG_S) as survey:
        survey.begin(found)
        assert survey.knows(known("used last", "LASER.local"))
        assert not survey.knows(known("mill"))


async def test_running_queries_are_cancelled_when_the_survey_is_left(network: Network) -> None:
    network.silent.add("laser")
    async with Survey(network.ask, LONG_S) as survey:
        survey.begin(known("laser"))
        await until(lambda: network.at_once)
    assert network.at_once == 0


async def test_no_hosts_to_ask_give_an_empty_inventory(network: Network) -> None:
    async with Survey(network.ask, LONG_S) as survey:
        assert await survey.end() == Inventory()


def offered(**ports: tuple[str, ...]) -> Inventory:
    """Return an inventory of hosts with ports of these ids, each of another USB vendor."""
    answers = []
    for name, ids in ports.items():
        remotes = tuple(
            replace(REMOTE, id=each, vendor_id=0x1A86, product_id=number, description=f"of {name}")
            for number, each in enumerate(ids, 1)
        )
        answers.append(Answer(known(name), Target(name, 50051), remotes))
    return Inventory(tuple(answers))


def with_camera(inventory: Inventory, name: str) -> Inventory:
    """Return the inventory with a camera of that host too."""
    camera = RemoteCamera("bed", "over the bed", "sim://bed", CameraState.LIVE, "", 2)
    host = replace(known(name, port=50052), kind="camera")
    answer = Answer(host, host.targets[0], cameras=(camera,))
    return replace(inventory, answers=(*inventory.answers, answer))


def test_cameras_are_listed_behind_the_ports_of_their_host() -> None:
    inventory = with_camera(offered(laser=("a",), mill=("b",)), "laser")
    rows = [line.split()[:4] for line in as_table(inventory.all_matching(())).splitlines()[1:]]
    assert rows == [
        ["laser", "port", "a", "open"],
        ["laser", "camera", "bed", "live"],
        ["mill", "port", "b", "open"],
    ]
    assert "2 viewers  over the bed" in as_table(inventory.all_matching(()))


def test_criteria_choose_cameras_too_but_no_port_of_a_bridge_is_one() -> None:
    inventory = with_camera(offered(laser=("a",)), "laser")
    (camera,) = json.loads(as_json(inventory.all_matching([parse_criterion("kind=camera")])))
    assert (camera["id"], camera["target"], camera["viewers"]) == ("bed", "laser:50052", 2)
    assert len(inventory.all_matching([parse_criterion("state=live")])) == 1
    assert pick(inventory, [parse_criterion("host=laser")], first=False).port.id == "a"


def test_the_job_service_is_listed_behind_the_ports_and_is_no_port() -> None:
    host = replace(known("laser", port=51055), kind="job")
    answer = Answer(
        host,
        host.targets[0],
        jobs=tuple(replace(JOB, state=each) for each in ("running", "queued", "queued")),
    )
    inventory = offered(laser=("a",))
    inventory = replace(inventory, answers=(*inventory.answers, answer))
    table = as_table(inventory.all_matching(()))
    assert [line.split()[:3] for line in table.splitlines()[1:]] == [
        ["laser", "port", "a"],
        ["laser", "job", "-"],
    ]
    assert "1 running, 2 queued" in table
    assert "job-svc at port 51055" in table
    (jobs,) = json.loads(as_json(inventory.all_matching([parse_criterion("kind=job")])))
    assert jobs["jobs"] == {"running": 1, "queued": 2}
    assert inventory.places_of("port") == {"laser": Target("laser", 50051)}


def test_the_usb_service_is_listed_with_its_devices_by_state() -> None:
    host = replace(known("laser", port=51056), kind="usb")
    states = ("available", "in use", "available")
    devices = tuple(replace(DEVICE, state=each) for each in states)
    inventory = Inventory((Answer(host, host.targets[0], devices=devices),))
    table = as_table(inventory.all_matching(()))
    assert "usb   -   2 available, 1 in use" in table
    assert "usb-svc at port 51056" in table
    (listed,) = json.loads(as_json(inventory.all_matching([parse_criterion("kind=usb")])))
    assert (listed["kind"], listed["devices"]) == ("usb", {"available": 2, "in use": 1})
    assert inventory.items == []


async def test_a_guess_that_fails_is_no_failure(network: Network) -> None:
    guess = replace(known("gone", port=50052), kind="camera", is_guess=True)
    async with Survey(network.ask, LONG_S) as survey:
        survey.begin(guess)
        assert not survey.knows_name("gone")
        assert await survey.end() == Inventory()


def test_the_only_match_is_chosen() -> None:
    item = pick(offered(laser=("a",), mill=("b",)), [parse_criterion("id=b")], first=False)
    assert (item.target, item.port.id) == (Target("mill", 50051), "b")


def test_several_matches_are_listed() -> None:
    with pytest.raises(NotFoundError) as refused:
        pick(offered(laser=("a",), mill=("b",)), [parse_criterion("vid=1a86")], first=False)
    text = str(refused.value)
    assert text.startswith("2 ports match vid=1a86: ")
    assert "--first" in text
    assert "of laser" in text
    assert "of mill" in text


def test_the_first_match_is_the_one_listed_first() -> None:
    inventory = offered(mill=("b",), laser=("z", "a"))
    item = pick(inventory, [parse_criterion("vid=1a86")], first=True)
    assert (item.host.name, item.port.id) == ("laser", "a")


def test_without_a_match_what_was_seen_is_reported() -> None:
    with pytest.raises(NotFoundError) as refused:
        pick(offered(laser=("a",)), [parse_criterion("vid=0403")], first=True)
    assert str(refused.value).startswith("no port matches vid=0403; available:\n")
    assert "of laser" in str(refused.value)


def test_without_any_host_what_to_do_is_reported() -> None:
    with pytest.raises(NotFoundError, match=r"no port matches id=a: no host is known") as refused:
        pick(Inventory(), [parse_criterion("id=a")], first=False)
    assert NO_HOST in str(refused.value)


def test_with_dead_hosts_only_no_multicast_is_blamed() -> None:
    inventory = Inventory(failures=(Failure(known("laser"), UsbshareError("why")),))
    with pytest.raises(NotFoundError) as refused:
        pick(inventory, [parse_criterion("id=a")], first=False)
    assert "multicast" not in str(refused.value)


def test_the_table_has_a_line_a_port() -> None:
    heading, *lines = as_table(offered(laser=("a", "b")).items).splitlines()
    assert heading.split() == [
        *("HOST", "KIND", "ID", "STATE", "USB", "SERIAL", "NUMBER"),
        *("PROFILE", "HELD", "BY", "DESCRIPTION"),
    ]
    assert lines[0].split() == [
        "laser",
        "port",
        "a",
        "open",
        "1a86:0001",
        "-",
        "raw",
        "-",
        *("of", "laser"),
    ]
    assert len(lines) == 2


def test_no_escape_of_a_device_reaches_the_terminal() -> None:
    evil = replace(REMOTE, description="\x1b[2J\u202e\x9b31m", serial_number="a\rb\n")
    table = as_table(Inventory((Answer(known("laser"), Target("laser", 1), (evil,)),)).items)
    assert all(line.isprintable() for line in table.splitlines())
    assert len(table.splitlines()) == 2


def test_json_contains_host_and_target() -> None:
    (port,) = json.loads(as_json(offered(laser=("a",)).items))
    assert (port["host"], port["target"], port["kind"]) == ("laser", "laser:50051", "port")
    assert (port["id"], port["usb"]) == ("a", "1a86:0001")
