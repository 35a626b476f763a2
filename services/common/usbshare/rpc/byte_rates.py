"""How many bytes each address may send to one listening port, whatever frames they are.

HTTP/2 has frames that ask for nothing: WINDOW_UPDATE, PRIORITY, frames of unknown types. gRPC reads
them as fast as they come, and none of its options bounds them. So the bytes are counted below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

BURST_S = 2.0
# An address that sent far too much may send as much as it should after this long.
LONGEST_DEBT_S = 1.0
# Of an address that sends too much only connections that have this share of it are ended.
GREEDY_SHARE = 0.25
# A handshake and a few requests; who sends no more is never ended, whatever its neighbours do.
MODEST_BYTES = 64 * 1024
MOST_SOURCES = 4096


@dataclass(frozen=True, slots=True)
class Connection:
    """An accepted TCP connection; `received_bytes` counts from its beginning."""

    descriptor: int
    host: str
    port: int
    received_bytes: int


class ByteRates:
    """Token buckets, one for each address (for IPv6 each /64); bounded whoever comes."""

    def __init__(self) -> None:
        self._spare: dict[str, float] = {}
        self._received: dict[tuple[str, int], int] = {}
        self._at: float | None = None

    def over_limit(
        self, connections: Sequence[Connection], bytes_per_s: float, now: float
    ) -> list[Connection]:
        """Count what came since the last call; return the connections that must be ended."""
        passed_s = now - self._at if self._at is not None else 0.0
        self._at = now
        came = {each: self._came(each) for each in connections}
        self._received = {(each.host, each.port): each.received_bytes for each in connections}
        totals: dict[str, int] = {}
        for each, count in came.items():
            totals[_source(each.host)] = totals.get(_source(each.host), 0) + count
        self._refill(passed_s * bytes_per_s, BURST_S * bytes_per_s)
        overdrawn = {
            source
            for source, count in totals.items()
            if count and self._take(source, count, bytes_per_s) < 0
        }
        return [
            each
            for each, count in came.items()
            if each.received_bytes > MODEST_BYTES
            and (source := _source(each.host)) in overdrawn
            and count > GREEDY_SHARE * totals[source]
            and count > GREEDY_SHARE * bytes_per_s * passed_s
        ]

    def _came(self, connection: Connection) -> int:
        before = self._received.get((connection.host, connection.port), 0)
        # Fewer than before: another connection from the same port.
        received = connection.received_bytes
        return received - before if received >= before else received

    def _refill(self, tokens: float, most: float) -> None:
        """Add to every bucket; a full one is forgotten."""
        spare = {source: left + tokens for source, left in self._spare.items()}
        self._spare = {source: left for source, left in spare.items() if left < most}

    def _take(self, source: str, count: int, bytes_per_s: float) -> float:
        left = self._spare.pop(source, BURST_S * bytes_per_s) - count
        if len(self._spare) >= MOST_SOURCES:
            del self._spare[next(iter(self._spare))]
        self._spare[source] = max(left, -LONGEST_DEBT_S * bytes_per_s)
        return left


def _source(host: str) -> str:
    address = ip_address(host.partition("%")[0])
    return address.exploded[:19] if isinstance(address, IPv6Address) else host
