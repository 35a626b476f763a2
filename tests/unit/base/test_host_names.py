"""The names under which a host may be called."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import ifaddr
import pytest

from usbshare.base import host_names as module
from usbshare.base.errors import ConfigError
from usbshare.base.host_names import HostNames, clean_names, host_names


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host called bench.example with one interface; returns its hosts file."""
    ips = [
        ifaddr.IP("192.0.2.2", 24, "eth0"),
        ifaddr.IP(("fe80::1%eth0", 0, 2), 64, "eth0"),
    ]
    adapters = [ifaddr.Adapter("eth0", "eth0", ips)]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)
    monkeypatch.setattr(socket, "gethostname", lambda: "bench.example")
    monkeypatch.setattr(socket, "getfqdn", lambda: "bench.example.com")
    monkeypatch.setattr(socket, "gethostbyaddr", no_name)
    hosts = tmp_path / "hosts"
    monkeypatch.setattr(module, "_HOSTS_FILES", (tmp_path / "none", hosts))
    return hosts


def no_name(address: str) -> tuple[str, list[str], list[str]]:
    raise socket.herror(1, address)


def test_own_names_and_addresses_are_found(host: Path) -> None:
    assert host_names() == HostNames(
        ("bench.example", "bench.example.com", "bench.local", "localhost"),
        ("127.0.0.1", "192.0.2.2", "::1", "fe80::1"),
    )


def test_hosts_file_names_of_own_addresses_are_found(host: Path) -> None:
    host.write_text(
        "127.0.0.1 localhost # loop\n127.0.1.1\tlaser Cutter\n192.0.2.9 other\n\n# x\n::1\n"
    )
    assert {"laser", "cutter"} < set(host_names().dns)
    assert "other" not in host_names().dns


def test_names_from_the_resolver_are_found(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def by_address(address: str) -> tuple[str, list[str], list[str]]:
        return (f"name-{len(address)}.example", ["alias", "*.bad"], [address])

    monkeypatch.setattr(socket, "gethostbyaddr", by_address)
    assert {"name-9.example", "alias"} < set(host_names().dns)
    assert "*.bad" not in host_names().dns


def test_a_resolver_that_hangs_is_not_waited_for(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()

    def hang(_address: str) -> tuple[str, list[str], list[str]]:
        end.wait()
        return ("late", [], [])

    monkeypatch.setattr(socket, "gethostbyaddr", hang)
    found = host_names(lookup_s=0.01)
    end.set()
    assert "localhost" in found.dns
    assert "late" not in found.dns


def test_configured_names_are_added(host: Path) -> None:
    found = host_names(["Laser.example", "198.51.100.1"])
    assert "laser.example" in found.dns
    assert "198.51.100.1" in found.addresses


def test_an_invalid_configured_name_is_refused(host: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[tls\] names: 'two words'"):
        host_names(["two words"])


def test_names_are_cleaned_sorted_and_said_once() -> None:
    texts = ["b", "A.", "a", "", "-x", "x" * 64, "10.0.0.2", "10.0.0.10", "fe80::1%eth0", "é"]
    texts += ["MÜLLER.local.", "\u2024"]
    assert clean_names(texts) == HostNames(
        ("a", "b", "xn--9ca", "xn--mller-kva.local"), ("10.0.0.2", "10.0.0.10", "fe80::1")
    )
