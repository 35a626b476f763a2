"""The status line: the current state, as far as it fits a terminal's width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from usbshare.base.terminal_text import cut, width
from usbshare.client.serial.latency import LatencySummary

_UNITS = ("B", "kB", "MB", "GB", "TB")


@dataclass(frozen=True, slots=True)
class Status:
    """Everything worth a glance; `condition` is what is held or latched, in a few words.

    `times`: what the bridge measures of a round trip, each part's percentiles in milliseconds.
    """

    state: str
    target: str
    port: str
    path: str
    latency: LatencySummary | None
    queue_commands: int
    reconnections: int
    sent_bytes: int
    received_bytes: int
    lost_bytes: int
    condition: str = ""
    held: dict[str, Any] | None = None
    latch: dict[str, Any] | None = None
    machine_state: str = ""
    times: dict[str, dict[str, float] | None] | None = None


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts in their order; an empty one is left out."""

    where: str
    condition: str
    latency: str
    waits: str
    queue: str
    traffic: str
    reconnections: str
    lost: str

    def __str__(self) -> str:
        parts = (
            self.where,
            self.condition,
            self.latency,
            self.waits,
            self.queue,
            self.traffic,
            self.reconnections,
            self.lost,
        )
        return " | ".join(filter(None, parts))


def status_line(status: Status, columns: int) -> str:
    """Return the line, at most so many columns wide: what matters least goes first."""
    line = ""
    for parts in _ever_shorter(status):
        line = str(parts)
        if width(line) <= columns:
            return line
    return cut(line, columns)


def _ever_shorter(status: Status) -> Iterator[_Parts]:
    latency = status.latency
    parts = _Parts(
        where=f"{status.port} at {status.target}: {status.state}",
        condition=status.condition.upper(),
        latency=f"{latency} ms now/min/avg/max" if latency else "no heartbeat yet",
        waits=_waits(status),
        queue=f"queue {status.queue_commands}",
        traffic=f"{_bytes(status.sent_bytes)} out | {_bytes(status.received_bytes)} in",
        reconnections=f"{status.reconnections} reconnections",
        lost=f"{_bytes(status.lost_bytes)} lost" if status.lost_bytes else "",
    )
    yield parts
    yield (parts := replace(parts, waits=""))
    if latency:
        yield (parts := replace(parts, latency=f"{latency} ms"))
    yield (parts := replace(parts, reconnections=""))
    yield (parts := replace(parts, where=f"{status.port}: {status.state}"))
    if latency:
        yield (parts := replace(parts, latency=f"{latency.now_ms:.1f} ms"))
    yield (parts := replace(parts, traffic=""))
    yield (parts := replace(parts, queue=""))
    yield (parts := replace(parts, latency=""))
    yield (parts := replace(parts, where=status.state))
    yield replace(parts, lost="")


def _waits(status: Status) -> str:
    """Return how long 19 of 20 messages of the program waited here at most, if they had to."""
    queue = (status.times or {}).get("queue")
    waited_ms = queue["p95_ms"] if queue else 0.0
    return f"{waited_ms:.1f} ms in the bridge" if waited_ms >= 1 else ""


def _bytes(count: int) -> str:
    """Return a number of bytes in the unit in which it stays short."""
    value, unit = float(count), 0
    while value >= 9999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return (
        f"{value:.1f} {_UNITS[unit]}" if unit and value < 99.95 else f"{value:.0f} {_UNITS[unit]}"
    )
