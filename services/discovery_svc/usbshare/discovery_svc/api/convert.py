"""Between messages of discovery.proto and the domain; nothing else here knows both."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from usbshare.base.errors import InvalidArgumentError
from usbshare.discovery.v1 import discovery_pb2 as pb
from usbshare.discovery_svc.registrations import MOST_PORT_IDS, Offer
from usbshare.hosts import untrusted
from usbshare.hosts.counters import SourceStats
from usbshare.hosts.filter import Filter
from usbshare.hosts.instance import Endpoint, Entry, Instance, Kind, Source
from usbshare.hosts.via.kind_codes import CODE_OF_KIND, KIND_OF_CODE
from usbshare.hosts.watch import Added, Change, Removed, Snapshot, Updated
from usbshare.rpc.wire_time import duration, seconds_of, timestamp_of

LONGEST_PATTERN_BYTES = 255
DEFAULT_TTL_S = 30.0
FINGERPRINT_DIGITS = 64

# Whether the caller may view a port of this host.
MayView = Callable[[str], bool]

_SOURCE_CODES = {
    Source.MDNS: pb.SOURCE_MDNS,
    Source.BEACON: pb.SOURCE_BEACON,
    Source.STATIC: pb.SOURCE_STATIC,
    Source.LOCAL: pb.SOURCE_LOCAL,
}


# What clients send.


def filter_of(message: pb.Filter) -> Filter:
    """Return a filter; raises InvalidArgumentError naming the field that is wrong."""
    kind = None if message.kind == pb.KIND_UNSPECIFIED else _kind(message.kind, "filter.kind")
    if len(message.name_pattern.encode()) > LONGEST_PATTERN_BYTES:
        raise InvalidArgumentError(
            f"filter.name_pattern is longer than {LONGEST_PATTERN_BYTES} bytes"
        )
    site = message.site
    if len(site) > FINGERPRINT_DIGITS or not set(site) <= set(string.hexdigits):
        raise InvalidArgumentError(
            f"filter.site {site[:70]!r} is not the beginning of a fingerprint, which has "
            f"{FINGERPRINT_DIGITS} hex digits"
        )
    return Filter(kind, message.name_pattern, site.lower())


def offer_of(message: pb.AnnounceRequest) -> Offer:
    """Return what is to be announced; raises InvalidArgumentError naming what is wrong."""
    endpoints = tuple(_endpoint(each) for each in message.endpoints)
    if len({each.kind for each in endpoints}) < len(endpoints):
        raise InvalidArgumentError("endpoints has two entries of the same kind")
    if len(message.port_ids) > MOST_PORT_IDS:
        raise InvalidArgumentError(f"port_ids has more than {MOST_PORT_IDS} ids")
    if message.port_ids and not endpoints:
        raise InvalidArgumentError("port_ids needs the endpoint of its service")
    return Offer(endpoints, tuple(_port_id(each) for each in message.port_ids))


def ttl_s(message: pb.AnnounceRequest) -> float:
    """Return for how long an announcement is valid; raises InvalidArgumentError out of range."""
    return seconds_of(message.ttl, "ttl", least=1.0, most=600.0, absent=DEFAULT_TTL_S)


def _endpoint(message: pb.Endpoint) -> Endpoint:
    kind = _kind(message.kind, "endpoints.kind")
    if not 1 <= message.port <= 65535:
        raise InvalidArgumentError(f"endpoints.port is {message.port}; 1 to 65535 are allowed")
    return Endpoint(kind, message.port)


def _kind(value: Any, field: str) -> Kind:
    if value in KIND_OF_CODE:
        return KIND_OF_CODE[value]
    accepted = ", ".join(pb.Kind.Name(key) for key in KIND_OF_CODE)
    given = pb.Kind.Name(value) if value in pb.Kind.values() else value
    raise InvalidArgumentError(f"{field} is {given}; accepted: {accepted}")


def _port_id(text: str) -> str:
    if not untrusted.port_ids([text]):  # others would not believe it either
        raise InvalidArgumentError(
            f"port_ids: {text[:70]!r} is not an id: use up to 63 letters, digits, '.', '_', '-'"
        )
    return text


# What the service sends.


class InstanceWriter:
    """Makes messages of entries; `wall_offset_s` is what the catalogue's clock lacks to 1970."""

    def __init__(self, own_site: str, wall_offset_s: float) -> None:
        self.own_site = own_site
        self._wall_offset_s = wall_offset_s

    def instance(self, entry: Entry, may_view: MayView) -> pb.Instance:
        """Return one instance; of this host's ports those that the caller may view."""
        known: Instance = entry.instance
        is_own_site = bool(known.site) and known.site == self.own_site
        return pb.Instance(
            id=entry.id,
            name=known.name,
            host=known.host,
            addresses=known.addresses,
            endpoints=[_endpoint_message(each) for each in known.endpoints],
            port_ids=[each for each in known.port_ids if not is_own_site or may_view(each)],
            tls=known.tls,
            site=known.site,
            is_own_site=is_own_site,
            version=known.version,
            sources=sorted(_SOURCE_CODES[each] for each in entry.sources if each in _SOURCE_CODES),
            last_seen_time=timestamp_of(entry.last_seen + self._wall_offset_s),
        )

    def instances(self, entries: Iterable[Entry], may_view: MayView) -> list[pb.Instance]:
        """Return many."""
        return [self.instance(entry, may_view) for entry in entries]

    def watch_response(self, change: Change, may_view: MayView) -> pb.WatchResponse:
        """Return one step of a watch."""
        match change:
            case Snapshot(entries):
                return pb.WatchResponse(
                    snapshot=pb.Snapshot(instances=self.instances(entries, may_view))
                )
            case Added(entry):
                return pb.WatchResponse(added=self.instance(entry, may_view))
            case Updated(entry):
                return pb.WatchResponse(updated=self.instance(entry, may_view))
            case Removed(entry):
                return pb.WatchResponse(removed=self.instance(entry, may_view))


def stats_messages(
    stats: Mapping[Source, SourceStats], active: Mapping[Source, int]
) -> list[pb.SourceStats]:
    """Return the counters of each source that clients may know."""
    return [
        pb.SourceStats(
            source=_SOURCE_CODES[source],
            sent_packets=one.sent_packets,
            sent_bytes=one.sent_bytes,
            received_packets=one.received_packets,
            received_bytes=one.received_bytes,
            errors=one.errors,
            active_instances=active.get(source, 0),
            uptime=duration(one.uptime_s),
            received_packets_per_s=one.received_packets_per_s,
        )
        for source, one in stats.items()
        if source in _SOURCE_CODES
    ]


def announce_response(name: str, lease_ttl_s: float) -> pb.AnnounceResponse:
    """Return the current registration."""
    return pb.AnnounceResponse(name=name, ttl=duration(lease_ttl_s))


def _endpoint_message(endpoint: Endpoint) -> pb.Endpoint:
    return pb.Endpoint(kind=CODE_OF_KIND[endpoint.kind], port=endpoint.port)
