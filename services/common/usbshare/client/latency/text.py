"""The parts of round trips in lines for people; nothing in them acts on a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from usbshare.base.terminal_safe_text import clean_text
from usbshare.base.time_stats import TimeSummary
from usbshare.client.latency.budget import OURS
from usbshare.client.latency.records import HostLatency, Part, PartKind, PortLatency
from usbshare.client.silence import last_heard, silent

NAMES = {
    PartKind.PROGRAM: "program to bridge",
    PartKind.BRIDGE: "in the bridge",
    PartKind.NETWORK: "network, there and back",
    PartKind.HOST: "host's queue",
    PartKind.PORT: "driver and line",
    PartKind.FIRMWARE: "firmware's answer to ?",
}
_NAME_WIDTH = 26
_NUMBER_WIDTH = 9
_COLUMNS = 96
_MOST_BYTES = 500


def page(hosts: Iterable[HostLatency]) -> str:
    """Return all hosts, a block each."""
    return "\n\n".join("\n".join(_host(host)) for host in hosts)


def _host(host: HostLatency) -> Iterator[str]:
    name = host.name if host.name == host.target else f"{host.name} ({host.target})"
    if host.failure:
        yield _clean(f"{name}: {host.failure}{last_heard(host.silent_since)}")
        return
    yield _clean(name + silent(host.silent_since))
    if not host.ports:
        yield "  no ports"
    for each in host.ports:
        yield from _port(each)


def _port(latency: PortLatency) -> Iterator[str]:
    port = latency.port
    holder = f", in control: {port.holder}" if port.holder else ", nobody in control"
    yield "  " + _clean(f"{port.id} ({port.profile.name}){holder}")
    heads = "".join(each.rjust(_NUMBER_WIDTH) for each in ("p50", "p95", "p99", "longest"))
    yield "    " + "ms".ljust(_NAME_WIDTH) + heads
    for part in latency.parts:
        yield "    " + NAMES[part.kind].ljust(_NAME_WIDTH) + _numbers(part)
    for warning in latency.warnings:
        yield from textwrap.wrap(
            _clean(warning), _COLUMNS, initial_indent="    ! ", subsequent_indent="      "
        )


def _numbers(part: Part) -> str:
    times = part.times
    if times is None or not times.count:
        return f"{'not measured':>{_NUMBER_WIDTH * 2}}"
    recent = (times.p50_s, times.p95_s, times.p99_s)
    shown = [_ms(each) for each in recent] if times.recent_count else ["-"] * len(recent)
    return "".join(each.rjust(_NUMBER_WIDTH) for each in (*shown, _ms(times.max_s))) + _by(part)


def _by(part: Part) -> str:
    return "  (from this computer)" if part.by == OURS else ""


def _ms(seconds: float) -> str:
    ms = seconds * 1e3
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 1 else f"{ms:.2f}"


def milliseconds(times: TimeSummary) -> dict[str, float]:
    """Return a distribution in milliseconds, by the names that JSON has."""
    return {
        "p50_ms": _round(times.p50_s),
        "p95_ms": _round(times.p95_s),
        "p99_ms": _round(times.p99_s),
        "max_ms": _round(times.max_s),
    }


def _round(seconds: float) -> float:
    return round(seconds * 1e3, 3)


def _clean(text: str) -> str:
    return clean_text(text, _MOST_BYTES)
