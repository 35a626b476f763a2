"""The parts of round trips, for JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from usbshare.client.latency.records import HostLatency, Part, PortLatency
from usbshare.client.latency.text import milliseconds
from usbshare.client.serial.link_times import LinkTimes


def objects(host: HostLatency) -> Iterator[dict[str, Any]]:
    """Yield an object a port, or one that says why the host did not answer."""
    since = None if host.silent_since is None else host.silent_since.isoformat()
    where = {"host": host.name, "target": host.target, "silent_since": since}
    if host.failure:
        yield where | {"error": host.failure}
        return
    for each in host.ports:
        yield where | _port(each)


def measured(times: LinkTimes) -> dict[str, dict[str, float] | None]:
    """Return what a link measures, in milliseconds; None where nothing was measured."""
    parts = {
        "wake": times.wake,
        "queue": times.queue,
        "network": times.network,
        "host": times.host,
        "data": times.data,
    }
    found = {name: times.summary(stats) for name, stats in parts.items()}
    return {name: milliseconds(each) if each else None for name, each in found.items()}


def _port(latency: PortLatency) -> dict[str, Any]:
    port = latency.port
    return {
        "id": port.id,
        "profile": port.profile.name,
        "holder": port.holder,
        "parts": [_part(each) for each in latency.parts],
        "warnings": list(latency.warnings),
    }


def _part(part: Part) -> dict[str, Any]:
    times = part.times if part.times is not None and part.times.count else None
    return {
        "part": part.kind.value,
        "measured_by": part.by,
        "count": times.count if times else 0,
        "recent_count": times.recent_count if times else 0,
        "times": milliseconds(times) if times else None,
        "warning": part.warning,
    }
