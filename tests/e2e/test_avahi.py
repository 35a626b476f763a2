"""We and Avahi, each on a computer of its own, find each other and agree on names."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.avahi import Avahi, end, running_avahi, unescaped, wait_until
from fakes.mdns_peer import Peer, mdns_peer
from fakes.namespaces import joined_namespaces

TYPE = "_usb-share._tcp"
NAME = "Läser 1.5 (Nord) “Ω”"


@dataclass(frozen=True, slots=True)
class Computers:
    """Ours and Avahi's, and what each of them has."""

    ours: Peer
    avahi: Avahi
    our_address: str
    avahi_address: str
    folder: Path


@pytest.fixture
def computers(tmp_path: Path) -> Iterator[Computers]:
    with joined_namespaces() as wire:
        host, client = wire.host, wire.client
        with (
            running_avahi(client, tmp_path) as avahi,
            mdns_peer([host.interface], host.command([])) as ours,
        ):
            yield Computers(ours, avahi, host.address, client.address, tmp_path)


def test_avahi_resolves_our_instance_whole(computers: Computers) -> None:
    assert computers.ours.announce(NAME, 50051, ["laser", "mill"]) == NAME
    found = computers.avahi.find(TYPE, NAME)
    assert found.port == 50051
    assert computers.avahi.ipv4_of(found.host) == computers.our_address
    assert {"txtvers=1", "serial=50051", "ports=laser,mill", "tls=1"} <= found.txt


def test_avahi_finds_our_instance_by_its_service_and_lists_no_subtype(
    computers: Computers,
) -> None:
    computers.ours.announce(NAME)
    assert computers.avahi.find(f"_serial._sub.{TYPE}", NAME).port == 50051
    types = {line.split(";")[4] for line in computers.avahi.browse("-a").splitlines()}
    assert types == {TYPE}


def test_avahi_is_updated_on_new_ports_and_on_the_end(computers: Computers) -> None:
    computers.ours.announce(NAME, port_ids=["laser"])
    log = computers.folder / "browse.log"
    computers.avahi.start(["avahi-browse", "-p", TYPE], log)
    wait_until(lambda: _said(log, "+"))
    computers.ours.announce(NAME, port_ids=["laser", "mill"])
    wait_until(lambda: "ports=laser,mill" in computers.avahi.find(TYPE, NAME).txt)
    assert not _said(log, "-")
    computers.ours.stop()
    wait_until(lambda: _said(log, "-"))


def test_an_avahi_service_is_in_the_catalogue_until_it_ends(computers: Computers) -> None:
    publishing = _publish(computers, NAME, "50055", "serial=50056", "ports=a,b", "tls=0")
    entry = computers.ours.wait_for(NAME, port=50056, port_ids=["a", "b"])
    assert entry["addresses"] == [computers.avahi_address]
    assert entry["host"] == "avahi-peer.local"
    end(publishing)
    computers.ours.wait_until_gone(NAME)


def test_a_name_that_avahi_has_is_ours_with_a_number(computers: Computers) -> None:
    _publish(computers, NAME, "50055")
    computers.ours.wait_for(NAME, port=50055)
    assert computers.ours.announce(NAME) == f"{NAME} (2)"
    assert _holder(computers, f"{NAME} (2)") == computers.our_address
    assert _holder(computers, NAME) == computers.avahi_address


def test_avahi_leaves_us_the_name_that_we_have(computers: Computers) -> None:
    assert computers.ours.announce(NAME) == NAME
    _publish(computers, NAME, "50055")
    wait_until(lambda: "collision" in (computers.folder / "publish.log").read_text().lower())
    assert _holder(computers, NAME) == computers.our_address
    assert computers.ours.names[-1] == NAME


def _holder(computers: Computers, name: str) -> str:
    """Return the address of the computer that has a name, as Avahi sees it."""
    return computers.avahi.ipv4_of(computers.avahi.find(TYPE, name).host)


def _publish(computers: Computers, name: str, port: str, *txt: str) -> subprocess.Popen[bytes]:
    command = ["avahi-publish", "-s", name, TYPE, port, "txtvers=1", *txt]
    return computers.avahi.start(command, computers.folder / "publish.log")


def _said(log: Path, sign: str) -> bool:
    lines = [line.split(";") for line in log.read_text().splitlines()]
    return any(line[0] == sign and unescaped(line[3]) == NAME for line in lines)
