"""Every name and address under which other computers may know this host."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ifaddr

from usbshare.base.addresses import dns_form, parse_address
from usbshare.base.errors import ConfigError

_LOOPBACK = ("127.0.0.1", "::1")
_HOSTS_FILES = (Path("/etc/hosts"), Path(r"C:\Windows\System32\drivers\etc\hosts"))
_MOST_LOOKUPS = 16


@dataclass(frozen=True, slots=True)
class HostNames:
    """Valid lower-case DNS names and IP addresses, each once and sorted."""

    dns: tuple[str, ...]
    addresses: tuple[str, ...]

    def __iter__(self) -> Iterator[str]:
        yield from self.dns
        yield from self.addresses


def host_names(extra: Iterable[str] = (), lookup_s: float = 1.0) -> HostNames:
    """Gather the host's names, and `extra` ones; blocks for at most about `lookup_s`."""
    addresses = {*_LOOPBACK, *_interface_addresses()}
    names = {"localhost", *_own_names(), *_names_in_hosts_files(addresses)}
    names |= _looked_up(addresses, lookup_s)
    return clean_names([*names, *addresses, *_checked(extra)])


def clean_names(texts: Iterable[str]) -> HostNames:
    """Sort texts into DNS names and addresses; what is neither is left out."""
    dns, addresses = set(), set()
    for text in texts:
        if (address := parse_address(text.partition("%")[0])) is not None:
            addresses.add(address)
        elif name := dns_form(text.lower().rstrip(".")):
            dns.add(name)
    in_order = sorted(addresses, key=lambda address: (address.version, int(address)))
    return HostNames(tuple(sorted(dns)), tuple(str(address) for address in in_order))


def _checked(extra: Iterable[str]) -> Iterator[str]:
    for text in extra:
        if not any(clean_names([text])):
            raise ConfigError(f"[tls] names: {text!r} is neither a DNS name nor an IP address")
        yield text


def _interface_addresses() -> set[str]:
    found = (ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips)
    return {ip[0] if isinstance(ip, tuple) else ip for ip in found}


def _own_names() -> set[str]:
    name = socket.gethostname()
    return {name, f"{name.partition('.')[0]}.local"}


def _names_in_hosts_files(addresses: set[str]) -> set[str]:
    # The resolver gives one line an address only; the file may have several.
    names: set[str] = set()
    for line in _hosts_lines():
        address, *aliases = line.partition("#")[0].split() or [""]
        if address in addresses or _is_loopback(address):
            names.update(aliases)
    return names


def _is_loopback(text: str) -> bool:
    # Debian's installer gives the host's name to 127.0.1.1, which no interface has.
    address = parse_address(text)
    return address is not None and address.is_loopback


def _hosts_lines() -> Iterator[str]:
    for path in _HOSTS_FILES:
        try:
            yield from path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue


def _looked_up(addresses: set[str], lookup_s: float) -> set[str]:
    lookups: list[Callable[[], set[str]]] = [lambda: {socket.getfqdn()}]
    lookups += [partial(_names_of, address) for address in sorted(addresses)[:_MOST_LOOKUPS]]
    return _run_all(lookups, lookup_s)


def _names_of(address: str) -> set[str]:
    name, aliases, _ = socket.gethostbyaddr(address)
    return {name, *aliases}


def _run_all(lookups: list[Callable[[], set[str]]], timeout_s: float) -> set[str]:
    results: queue.SimpleQueue[set[str]] = queue.SimpleQueue()
    for lookup in lookups:
        threading.Thread(target=_put_result, args=(lookup, results), daemon=True).start()
    deadline = time.monotonic() + timeout_s
    names: set[str] = set()
    for _ in lookups:
        try:
            names |= results.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
    return names


def _put_result(lookup: Callable[[], set[str]], results: queue.SimpleQueue[set[str]]) -> None:
    try:
        results.put(lookup())
    except (OSError, UnicodeError):  # no name for it, or no resolver
        results.put(set())
