"""Which observations are of one host, and what they say of it together."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import replace

from usbshare.base.addresses import parse_address
from usbshare.hosts.instance import Endpoint, Instance, Kind, Observation, Source

MOST_ADDRESSES = 16
# Whose word counts first. A static entry says where to connect, and knows nothing of the rest.
_ORDER = (Source.LOCAL, Source.STATIC, Source.MDNS, Source.VIA, Source.BEACON)
_KINDS = tuple(Kind)
_PREFERENCE = {source: place for place, source in enumerate(_ORDER)}


def preference(observation: Observation) -> int:
    """Return a sort key: the source that is believed first comes first."""
    return _PREFERENCE[observation.source]


class Gathering:
    """Observations of one name that are of one host, taken in by preference."""

    def __init__(self, first: Observation) -> None:
        self._sources = {first.source}
        self._places = _places(first.instance)
        self._site = first.instance.site

    def takes(self, observation: Observation) -> bool:
        """Take it in if it is of the same host: at a place in common, and of no other site.

        Two observations of one source are two hosts, since a source distinguishes its hosts; only
        several discovery services may report the same one.
        """
        instance, source = observation.instance, observation.source
        fits = (
            (source is Source.VIA or source not in self._sources)
            and (not instance.site or not self._site or instance.site == self._site)
            and not self._places.isdisjoint(_places(instance))
        )
        if fits:
            self._sources.add(source)
            self._places |= _places(instance)
            self._site = self._site or instance.site
        return fits


def merged(observations: Sequence[Observation]) -> Instance:
    """Return the one instance that they describe; the first takes precedence, addresses united."""
    instances = [each.instance for each in observations]
    told = [each.instance for each in observations if each.source is not Source.STATIC]
    addresses = dict.fromkeys(address for each in instances for address in each.addresses)
    return replace(
        instances[0],
        addresses=best_first(addresses),
        endpoints=_endpoints(instances),
        host=_first(each.host for each in instances),
        port_ids=next((each.port_ids for each in instances if each.port_ids), ()),
        tls=(told or instances)[0].tls,
        site=_first(each.site for each in instances),
        version=_first(each.version for each in instances),
    )


def best_first(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return at most 16 of them, those that reach far before link-local and loopback ones."""
    return tuple(sorted(addresses, key=_rank)[:MOST_ADDRESSES])


def _rank(text: str) -> int:
    address = parse_address(text)
    if address is None:
        return 0
    if address.is_loopback:
        return 3
    if address.is_link_local:
        return 2 if isinstance(address, ipaddress.IPv6Address) else 1
    return 0


def _endpoints(instances: Sequence[Instance]) -> tuple[Endpoint, ...]:
    by_kind = {each.kind: each for one in reversed(instances) for each in one.endpoints}
    return tuple(sorted(by_kind.values(), key=lambda each: _KINDS.index(each.kind)))


def _first(texts: Iterable[str]) -> str:
    return next((text for text in texts if text), "")


def _places(instance: Instance) -> set[str]:
    addresses = {address.casefold() for address in instance.addresses}
    return addresses | {instance.host.casefold()} if instance.host else addresses
