"""Two computers on one wire find each other by mDNS, whatever becomes of their interfaces."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from fakes.mdns_peer import Entry, Peer, mdns_peer
from fakes.namespaces import IP, Namespace, Wire, joined_namespaces

OTHER_ADDRESS = "198.51.100.7"


@pytest.fixture
def wire() -> Iterator[Wire]:
    with joined_namespaces() as wire:
        yield wire


@pytest.fixture
def host(wire: Wire) -> Iterator[Peer]:
    with _peer(wire.host) as peer:
        yield peer


@pytest.fixture
def client(wire: Wire) -> Iterator[Peer]:
    with _peer(wire.client) as peer:
        yield peer


def test_each_host_finds_the_other_and_notices_its_end(
    wire: Wire, host: Peer, client: Peer
) -> None:
    host.announce("Laser")
    client.announce("Mill")
    assert wire.host.address in client.wait_for("Laser")["addresses"]
    assert wire.client.address in host.wait_for("Mill")["addresses"]
    host.stop()
    client.wait_until_gone("Laser")


def test_of_two_that_take_a_name_at_once_one_keeps_it(host: Peer, client: Peer) -> None:
    for peer in (host, client):
        peer.begin_announce("Laser")
    for peer in (host, client):  # who gives way has both names for a moment
        peer.wait_until(_are_two_hosts)


def test_an_address_that_comes_and_goes_is_reported(wire: Wire, host: Peer, client: Peer) -> None:
    host.announce("Laser")
    client.wait_for("Laser", _is_at(wire.host.address))
    _ip(wire.host, "address", "add", f"{OTHER_ADDRESS}/24", "dev", wire.host.interface)
    client.wait_for("Laser", _is_at(wire.host.address, OTHER_ADDRESS))
    _ip(wire.host, "address", "del", f"{OTHER_ADDRESS}/24", "dev", wire.host.interface)
    client.wait_for("Laser", _is_at(wire.host.address))


def test_a_host_started_before_the_network_is_found_when_it_is_up(wire: Wire) -> None:
    wire.link_down(wire.host)
    with _peer(wire.host) as host, _peer(wire.client) as client:
        host.begin_announce("Laser")
        wire.link_up(wire.host)
        assert wire.host.address in client.wait_for("Laser")["addresses"]


def test_two_hosts_find_each_other_again_on_another_interface(wire: Wire) -> None:
    """As when the cable moves from one socket to another: other interface, other addresses."""
    with _peer(wire.host, chosen=False) as host, _peer(wire.client, chosen=False) as client:
        host.announce("Laser")
        client.wait_for("Laser")
        for end, number in ((wire.host, 1), (wire.client, 2)):
            _ip(end, "link", "set", end.interface, "down")
            _ip(end, "address", "flush", "dev", end.interface)
            _ip(end, "link", "set", end.interface, "name", "other")
            _ip(end, "address", "add", f"198.51.100.{number}/24", "dev", "other")
            _ip(end, "link", "set", "other", "up")
        client.wait_for("Laser", _is_at("198.51.100.1"))


@contextmanager
def _peer(namespace: Namespace, *, chosen: bool = True) -> Iterator[Peer]:
    interfaces = [namespace.interface] if chosen else []
    with mdns_peer(interfaces, namespace.command([])) as peer:
        yield peer


def _are_two_hosts(entries: dict[str, Entry]) -> bool:
    here, there = entries.get("Laser"), entries.get("Laser (2)")
    return here is not None and there is not None and here["host"] != there["host"]


def _is_at(*ipv4: str) -> Callable[[Entry], bool]:
    return lambda entry: {each for each in entry["addresses"] if "." in each} == set(ipv4)


def _ip(namespace: Namespace, *arguments: str) -> None:
    subprocess.run([IP, "-n", namespace.name, *arguments], check=True, timeout=30)
