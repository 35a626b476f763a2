"""Whether a service that listens at some address can be reached by those it is announced to."""

from __future__ import annotations

from collections.abc import Sequence

from usbshare.base.addresses import parse_address
from usbshare.hosts.interfaces import interfaces_up


def is_reachable(host: str, interfaces: Sequence[str]) -> bool:
    """Return whether it is: one that listens on loopback is, by what is announced on loopback only.

    `interfaces`: names or addresses of those on which it is announced; none means all.
    """
    if not is_loopback_host(host):
        return True
    return all(each.is_loopback for each in interfaces_up(interfaces))


def is_loopback_host(host: str) -> bool:
    """Return whether a name or an address stays on this computer, without asking anybody."""
    address = parse_address(host)
    return host == "localhost" if address is None else address.is_loopback
