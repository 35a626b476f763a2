"""By what targets are found to be of one host: its addresses, and its certificate."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from usbshare.base.addresses import parse_address
from usbshare.base.threads import in_thread
from usbshare.hosts.identity_proof import first_proof
from usbshare.hosts.interfaces import interfaces_up
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

RESOLVE_S = 1.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where a host is: its names and addresses, and the SHA-256 of the certificate that it shows.

    `certificate` is empty while it does not answer, or in plaintext.
    """

    addresses: frozenset[str] = frozenset()
    certificate: str = ""

    def is_that_of(self, other: Place) -> bool:
        """Return whether it is one host's: certificates decide where both are known."""
        if self.certificate and other.certificate:
            return self.certificate == other.certificate
        return not self.addresses.isdisjoint(other.addresses)


async def place_of(targets: Sequence[Target], bundle: ClientBundle | None) -> Place:
    """Look where these targets of one host are, and who answers first with our site's authority."""
    proof, looked_up = await asyncio.gather(
        first_proof(targets, bundle),
        asyncio.gather(*(_addresses_of(target.host) for target in targets)),
    )
    names = frozenset(target.host.casefold() for target in targets)
    return Place(names.union(*looked_up), "" if proof is None else proof.certificate)


async def _addresses_of(host: str) -> list[str]:
    addresses = [host]
    if parse_address(host.partition("%")[0]) is None:
        addresses = await _looked_up(host)
    if any(map(_is_loopback, addresses)):
        addresses += [address for each in interfaces_up() for address in (*each.ipv4, *each.ipv6)]
    return addresses


async def _looked_up(name: str) -> list[str]:
    try:
        async with asyncio.timeout(RESOLVE_S):
            found = await in_thread(socket.getaddrinfo, name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return []
    return [str(each[4][0]) for each in found]


def _is_loopback(text: str) -> bool:
    address = parse_address(text)
    return address is not None and address.is_loopback
