"""The network interfaces over which hosts are announced and found, as they are at this moment."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import ifaddr

_MULTICAST_V4 = ("224.0.0.251", 5353)
_MULTICAST_V6 = ("ff02::fb", 5353)


@dataclass(frozen=True, slots=True)
class Interface:
    """One that is up; link-local IPv6 addresses carry its name (`fe80::1%eth0`)."""

    name: str
    index: int
    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]

    @property
    def is_loopback(self) -> bool:
        """Whether only this computer is behind it."""
        return all(_parsed(address).is_loopback for address in (*self.ipv4, *self.ipv6))


def interfaces_up(chosen: Sequence[str] = ()) -> list[Interface]:
    """Return those that are up and named, or whose addresses are; by index.

    An address chooses itself alone, not its neighbours on that interface. Nothing chosen: every
    interface, loopback only where there is no other.
    """
    found = [each for adapter in ifaddr.get_adapters() if (each := _interface(adapter, chosen))]
    found.sort(key=lambda each: each.index)
    if chosen:
        return found
    return [each for each in found if not each.is_loopback] or found


def interface_names() -> list[str]:
    """Return the names that can follow `%`: of all that have a link-local IPv6 address."""
    near = (each for interface in interfaces_up() for each in interface.ipv6 if "%" in each)
    return list(dict.fromkeys(each.partition("%")[2] for each in near))


def _interface(adapter: ifaddr.Adapter, chosen: Sequence[str]) -> Interface | None:
    index = adapter.index or 0
    # On Windows `name` is a GUID; people know the other one.
    whole = not chosen or adapter.name in chosen or adapter.nice_name in chosen
    ipv4, ipv6 = [], []
    for ip in adapter.ips:
        address = _text(ip, adapter.name)
        if not (whole or address in chosen or address.partition("%")[0] in chosen):
            continue
        if ip.is_IPv4 and _sends_multicast_v4(address):
            ipv4.append(address)
        elif ip.is_IPv6 and _sends_multicast_v6(address, index):
            ipv6.append(address)
    if not (ipv4 or ipv6):
        return None
    return Interface(adapter.nice_name, index, tuple(ipv4), tuple(ipv6))


def _text(ip: ifaddr.IP, interface: str) -> str:
    address = ip.ip if isinstance(ip.ip, str) else ip.ip[0].partition("%")[0]
    return f"{address}%{interface}" if _parsed(address).is_link_local and ip.is_IPv6 else address


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(address)


# No portable call says whether an interface is up; whether a socket finds a route through it does.


def _sends_multicast_v4(address: str) -> bool:
    with _udp(socket.AF_INET) as udp:
        try:
            udp.bind((address, 0))
            udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            udp.connect(_MULTICAST_V4)
        except OSError:
            return False
    return True


def _sends_multicast_v6(address: str, index: int) -> bool:
    try:
        with _udp(socket.AF_INET6) as udp:
            udp.bind((address.partition("%")[0], 0, 0, index))
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            udp.connect((*_MULTICAST_V6, 0, index))
    except OSError:  # no IPv6 here, the address is not confirmed yet, or the link is down
        return False
    return True


def _udp(family: socket.AddressFamily) -> socket.socket:
    return socket.socket(family, socket.SOCK_DGRAM)
