"""Whether a caller is a program of this very computer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import ifaddr

from usbshare.base.addresses import Address, parse_address, split_host_port
from usbshare.base.errors import InvalidArgumentError, PermissionDeniedError


def require_own_host(peer: str) -> None:
    """Raise PermissionDeniedError unless `host:port` is loopback or an address of this host."""
    address = _address(peer)
    if address is None or not (address.is_loopback or address in set(_own_addresses())):
        raise PermissionDeniedError(
            f"only programs on this computer may announce services here; {peer} is another computer"
        )


def _address(peer: str) -> Address | None:
    with suppress(InvalidArgumentError):
        return _plain(split_host_port(peer, 0)[0])
    return None


def _own_addresses() -> Iterator[Address]:
    for adapter in ifaddr.get_adapters():
        for ip in adapter.ips:
            if address := _plain(ip.ip if isinstance(ip.ip, str) else ip.ip[0]):
                yield address


def _plain(text: str) -> Address | None:
    """Read an address without its scope; an IPv4 one that came over IPv6 is IPv4."""
    address = parse_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
