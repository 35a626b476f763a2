"""Which of the hosts that discovery knows is meant by a name, and where its serial service is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from usbshare.base.addresses import join_host_port
from usbshare.base.errors import NotFoundError
from usbshare.hosts.instance import Entry, Kind, Source

_MOST_CANDIDATES = 12
_SITE_DIGITS = 12
_REMEDY = "give its address, as in --target 192.168.1.20:50051"


def choose(name: str, entries: Iterable[Entry], sites: Collection[str]) -> list[Entry]:
    """Return the hosts that a name best fits: one is meant, several are ambiguous.

    Friendly names go before DNS names (`laser.local`); the configuration's hosts before those of
    our own site, and these before foreign ones. Case does not matter.
    """
    known, folded = list(entries), name.casefold().rstrip(".")
    named = [each for each in known if each.instance.name.casefold() == name.casefold()]
    hosts = [each for each in known if folded and each.instance.host.casefold() == folded]
    candidates = named or hosts
    tests: tuple[Callable[[Entry], bool], ...] = (
        lambda entry: Source.STATIC in entry.sources,
        lambda entry: is_own(entry, sites),
    )
    for fits in tests:
        if best := [each for each in candidates if fits(each)]:
            return best
    return candidates


def is_own(entry: Entry, sites: Collection[str]) -> bool:
    """Return whether the host says that it is of our site."""
    return bool(entry.instance.site) and entry.instance.site in sites


def at_address(host: str, entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that have this address or DNS name, be it without `.local`."""
    folded = host.casefold().rstrip(".")
    return [
        each
        for each in entries
        if host in each.instance.addresses or folded in _dns_names(each.instance.host)
    ]


def addresses_of(entry: Entry, kind: Kind = Kind.SERIAL) -> list[tuple[str, int]]:
    """Return where a service of the host listens, best first; nothing if it has none."""
    port = entry.instance.port_of(kind)
    return [] if port is None else [(address, port) for address in entry.instance.addresses]


def unknown(name: str, entries: Sequence[Entry], sites: Collection[str]) -> NotFoundError:
    """Return the error for a name that no host has, with those that there are."""
    if not entries:
        return NotFoundError(
            f"no host is called {name!r}, neither in DNS nor by discovery, which found no "
            f"hosts: {_REMEDY}; `usbshare-bridge doctor` checks whether multicast works"
        )
    return NotFoundError(f"no host is called {name!r}; found: {_listed(entries, sites)}")


def ambiguous(name: str, entries: Sequence[Entry], sites: Collection[str]) -> NotFoundError:
    """Return the error for a name that several have."""
    return NotFoundError(
        f"{len(entries)} hosts are called {name!r}: {_listed(entries, sites)}: {_REMEDY}"
    )


def not_to_be_used(entry: Entry, kind: str) -> NotFoundError:
    """Return the error for a host that lacks a service, or has none that plaintext may go to."""
    if addresses_of(entry, Kind(kind)):
        return NotFoundError(
            f"{entry.instance.name!r} is at {entry.instance.addresses[0]}, but plaintext "
            "(--insecure) is for this computer only"
        )
    kinds = ", ".join(each.kind.value for each in entry.instance.endpoints) or "nothing"
    return NotFoundError(
        f"{entry.instance.name!r} announces {kinds}, but no {kind}: is {kind}-svc running there?"
    )


def _dns_names(host: str) -> tuple[str, ...]:
    folded = host.casefold()
    return (folded, folded.removesuffix(".local")) if folded else ()


def _listed(entries: Sequence[Entry], sites: Collection[str]) -> str:
    shown = [_described(each, sites) for each in entries[:_MOST_CANDIDATES]]
    more = len(entries) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _described(entry: Entry, sites: Collection[str]) -> str:
    found = addresses_of(entry)
    where = join_host_port(*found[0]) if found else ", ".join(entry.instance.addresses[:1])
    text = f"{entry.instance.name} at {where}" if where else entry.instance.name
    if not entry.instance.site or is_own(entry, sites):
        return text
    return f"{text} (foreign site {entry.instance.site[:_SITE_DIGITS]})"
