"""What discovery found, as a table for people or JSON for programs; nothing here can act."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from usbshare.base.durations import in_words
from usbshare.base.terminal_text import cut, width
from usbshare.client.serial import port_condition
from usbshare.client.serial.messages import RemotePort
from usbshare.hosts.counters import SourceReport
from usbshare.hosts.instance import Entry, Instance

_SITE_DIGITS = 12
_MOST_CELL = 60
_NOTHING = "-"
_FREE = frozenset({"open", "available"})  # the device is there, opened or not
_HEADINGS = ("NAME", "ADDRESS", "SERVICES", "TLS", "SITE", "RTT", "PORTS", "SOURCES")
_STATS_HEADINGS = (
    *("SOURCE", "SENT", "BYTES", "RECEIVED", "BYTES", "A SECOND", "ERRORS", "HOSTS", "UPTIME"),
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a host of ours answered when it was asked: its ports, or why there was no answer."""

    round_trip_s: float | None = None
    ports: tuple[RemotePort, ...] = ()
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """A host as it is shown; `is_own` is None if unknown its site, or we have none."""

    entry: Entry
    is_own: bool | None
    look: Look | None = None


def sight(entry: Entry, sites: Collection[str], look: Look | None) -> Sight:
    """Return how a host is shown; one that accepted our certificate is of our site in any case."""
    if look is not None and not look.failure and sites:
        return Sight(entry, True, look)
    told = entry.instance.site
    return Sight(entry, told in sites if told and sites else None, look)


def as_table(sights: Iterable[Sight]) -> str:
    """Return a table with a heading, a line a host."""
    return table(_HEADINGS, [_row(each) for each in sights])


def as_json(sights: Iterable[Sight]) -> str:
    """Return a JSON list, an object a host."""
    return json.dumps([as_object(each) for each in sights], indent=2, ensure_ascii=False)


def as_object(each: Sight) -> dict[str, Any]:
    """Return a host as JSON has it; `ports` is null where it was not asked."""
    instance, look = each.entry.instance, each.look
    round_trip_s = look.round_trip_s if look else None
    return {
        "name": instance.name,
        "host": instance.host,
        "addresses": list(instance.addresses),
        "services": {endpoint.kind.value: endpoint.port for endpoint in instance.endpoints},
        "tls": instance.tls,
        "site": instance.site,
        "own_site": each.is_own,
        "version": instance.version,
        "round_trip_ms": None if round_trip_s is None else round(round_trip_s * 1e3, 2),
        "port_ids": list(instance.port_ids),
        "ports": None if look is None or look.failure else [_port(port) for port in look.ports],
        "failure": look.failure if look else "",
        "sources": sorted(source.value for source in each.entry.sources),
    }


def change_line(event: str, each: Sight) -> str:
    """Return a line about a host that was `added`, `updated` or `removed`."""
    name, address, services, tls, site, _, ports, sources = _row(each)
    parts = [event, name, address, services, f"TLS {tls}", f"site {site}", ports, sources]
    return "  ".join(_printable(part) for part in parts if part != _NOTHING)


def change_json(event: str, each: Sight) -> str:
    """Return the same as a JSON object on one line."""
    about = as_object(each)
    for asked in ("round_trip_ms", "ports", "failure"):
        del about[asked]
    return json.dumps({"event": event, **about}, ensure_ascii=False)


def stats_table(reports: Iterable[SourceReport]) -> str:
    """Return the counters as a table, a line a source."""
    return table(_STATS_HEADINGS, [_stats_row(each) for each in reports])


def stats_json(reports: Iterable[SourceReport]) -> str:
    """Return the counters as a JSON object, a key a source."""
    by_source = {each.source.value: _stats_object(each) for each in reports}
    return json.dumps(by_source, indent=2)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return columns as wide as they need to be; nothing in them can move the cursor."""
    printable = [headings, *([_printable(cell) for cell in row] for row in rows)]
    widths = [max(map(width, column)) for column in zip(*printable, strict=True)]
    return "\n".join(_aligned(row, widths) for row in printable)


def _row(each: Sight) -> tuple[str, ...]:
    instance = each.entry.instance
    services = [f"{endpoint.kind.value}:{endpoint.port}" for endpoint in instance.endpoints]
    return (
        instance.name,
        _addresses(instance),
        " ".join(services) or _NOTHING,
        "yes" if instance.tls else "no",
        _site(each),
        _round_trip(each.look),
        _ports(each),
        " ".join(sorted(source.value for source in each.entry.sources)),
    )


def _addresses(instance: Instance) -> str:
    if not instance.addresses:
        return instance.host or _NOTHING
    more = len(instance.addresses) - 1
    return instance.addresses[0] + (f" +{more}" if more else "")


def _site(each: Sight) -> str:
    told = each.entry.instance.site[:_SITE_DIGITS]
    if each.is_own is None:
        return told or _NOTHING
    return "own" if each.is_own else f"foreign {told}"


def _round_trip(look: Look | None) -> str:
    if look is None or look.round_trip_s is None:
        return _NOTHING
    return f"{look.round_trip_s * 1e3:.1f} ms"


def _ports(each: Sight) -> str:
    if each.look is None:
        return ", ".join(each.entry.instance.port_ids) or _NOTHING
    if each.look.failure:
        return cut(f"no answer: {each.look.failure}", _MOST_CELL)
    return ", ".join(_use(port) for port in each.look.ports) or _NOTHING


def _use(port: RemotePort) -> str:
    condition = port_condition.short(port)
    if port.holder:
        return f"{port.id} held by {port.holder}" + (f" ({condition})" if condition else "")
    if condition:
        return f"{port.id} {condition}"
    return f"{port.id} {'free' if port.state in _FREE else port.state}"


def _port(port: RemotePort) -> dict[str, Any]:
    return {
        "id": port.id,
        "state": port.state,
        "latched": port.latched,
        **port_condition.fields(port),
        "holder": port.holder,
        "observers": port.observers,
    }


def _stats_row(each: SourceReport) -> tuple[str, ...]:
    stats = each.stats
    return (
        each.source.value,
        str(stats.sent_packets),
        str(stats.sent_bytes),
        str(stats.received_packets),
        str(stats.received_bytes),
        f"{stats.received_packets_per_s:.1f}",
        str(stats.errors),
        str(each.active_instances),
        in_words(stats.uptime_s),
    )


def _stats_object(each: SourceReport) -> Mapping[str, float]:
    stats = each.stats
    return {
        "sent_packets": stats.sent_packets,
        "sent_bytes": stats.sent_bytes,
        "received_packets": stats.received_packets,
        "received_bytes": stats.received_bytes,
        "received_packets_per_s": round(stats.received_packets_per_s, 2),
        "errors": stats.errors,
        "active_instances": each.active_instances,
        "uptime_s": round(stats.uptime_s, 1),
    }


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell + " " * (most - width(cell)) for cell, most in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()


def _printable(text: str) -> str:
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
