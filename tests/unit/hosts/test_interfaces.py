from __future__ import annotations

import ipaddress
import subprocess
import sys
from collections.abc import Sequence

from fakes.namespaces import IP, Namespace, joined_namespaces
from usbshare.hosts.interfaces import Interface, interfaces_up

SCRIPT = """
import sys
from usbshare.hosts.interfaces import interfaces_up
print(repr(interfaces_up(sys.argv[1:])))
"""


def test_loopback_is_chosen_by_its_address_and_that_address_alone() -> None:
    (loopback,) = interfaces_up(["127.0.0.1"])
    assert (loopback.ipv4, loopback.ipv6) == (("127.0.0.1",), ())
    assert loopback.is_loopback


def test_a_missing_interface_is_not_found() -> None:
    assert interfaces_up(["no-such-interface", "203.0.113.99"]) == []


def test_interfaces_that_are_up_are_found_with_all_addresses() -> None:
    with joined_namespaces() as wire:
        (found,) = _interfaces_up(wire.host)
        assert found.name == wire.host.interface
        assert found.ipv4 == (wire.host.address,)
        assert not found.is_loopback
        for each in found.ipv6:
            assert each.endswith(f"%{wire.host.interface}")
            assert ipaddress.ip_address(each).is_link_local


def test_only_those_that_are_chosen_are_found() -> None:
    with joined_namespaces() as wire:
        chosen = _interfaces_up(wire.host, [wire.host.address, "127.0.0.1"])
        assert [each.name for each in chosen] == ["lo", wire.host.interface]
        assert [each.name for each in _interfaces_up(wire.host, ["lo"])] == ["lo"]


def test_an_interface_that_is_down_is_not_found_and_loopback_remains() -> None:
    with joined_namespaces() as wire:
        wire.link_down(wire.host)
        assert [each.name for each in _interfaces_up(wire.host)] == ["lo"]
        assert _interfaces_up(wire.host, [wire.host.interface]) == []
        wire.link_up(wire.host)
        assert [each.name for each in _interfaces_up(wire.host)] == [wire.host.interface]


def test_an_interface_without_an_address_is_not_found() -> None:
    with joined_namespaces() as wire:
        namespace = ["-n", wire.host.name]
        subprocess.run([IP, *namespace, "link", "set", "lo", "down"], check=True, timeout=30)
        subprocess.run([IP, *namespace, "address", "flush", "dev", "wire"], check=True, timeout=30)
        assert _interfaces_up(wire.host) == []


def _interfaces_up(namespace: Namespace, chosen: Sequence[str] = ()) -> list[Interface]:
    command = namespace.command([sys.executable, "-W", "error", "-c", SCRIPT, *chosen])
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    found = eval(done.stdout, {"Interface": Interface})
    assert isinstance(found, list)
    return found
