"""Where the services of a host may be reached, for a client with its trust."""

from __future__ import annotations

from collections.abc import Collection

from usbshare.base.addresses import parse_address
from usbshare.hosts.host_selection import addresses_of
from usbshare.hosts.instance import Entry, Kind, Source
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle


def sites_of(bundle: ClientBundle | None) -> Collection[str]:
    """Return the fingerprints of our site's authorities; nothing without a bundle."""
    return () if bundle is None else bundle.sites


def targets_of(entry: Entry, bundle: ClientBundle | None, kind: Kind = Kind.SERIAL) -> list[Target]:
    """Return where a service of a host may be reached, best first.

    Without a bundle those on this computer: what discovery says must not lead plaintext out of it.
    """
    return [
        Target(address, port, name=entry.instance.name)
        for address, port in addresses_of(entry, kind)
        if bundle is not None or _is_loopback(address)
    ]


def is_asked(entry: Entry, sites: Collection[str], *, in_plaintext: bool) -> bool:
    """Return whether a host is asked: one of our site, or one that the configuration names.

    In plaintext (`--insecure`) only one that says that it speaks it.
    """
    if in_plaintext:
        return not entry.instance.tls or Source.STATIC in entry.sources
    told = entry.instance.site
    return bool(sites) and (told in sites or (not told and Source.STATIC in entry.sources))


def _is_loopback(text: str) -> bool:
    address = parse_address(text)
    return address.is_loopback if address else text == "localhost"
