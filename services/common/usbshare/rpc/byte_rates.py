"""How many bytes each address may send to one listening port, whatever frames they are.

HTTP/2 has frames that ask for nothing: WINDOW_UPDATE, PRIORITY, frames of unknown types. gRPC reads
them as fast as they come, and none of its options bounds them. So the bytes are counted below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from usbshare.base.addresses import network_of
from usbshare.base.rate_limits import Buckets

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
    """Token buckets, one for each address (for IPv6 each /64); in bounded memory."""

    def __init__(self) -> None:
        self._spare = Buckets[str](BURST_S, MOST_SOURCES)
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
            totals[network_of(each.host)] = totals.get(network_of(each.host), 0) + count
        overdrawn = {
            source
            for source, count in totals.items()
            if count and self._is_overdrawn(source, count, bytes_per_s, now)
        }
        return [
            each
            for each, count in came.items()
            if each.received_bytes > MODEST_BYTES
            and (source := network_of(each.host)) in overdrawn
            and count > GREEDY_SHARE * totals[source]
            and count > GREEDY_SHARE * bytes_per_s * passed_s
        ]

    def _came(self, connection: Connection) -> int:
        before = self._received.get((connection.host, connection.port), 0)
        # Fewer than before: another connection from the same port.
        received = connection.received_bytes
        return received - before if received >= before else received

    def _is_overdrawn(self, source: str, count: int, bytes_per_s: float, now: float) -> bool:
        bucket = self._spare.of(source, now)
        wait_s = bucket.take(count, bytes_per_s, now)
        bucket.forgive_beyond(LONGEST_DEBT_S)
        return wait_s > 0
