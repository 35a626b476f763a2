"""What a source sent, received and could not use."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from usbshare.hosts.instance import Source

RATE_WINDOW_S = 10


@dataclass(frozen=True, slots=True)
class SourceStats:
    """Since start or reset; `uptime_s` always since start, the rate over the last 10 s."""

    sent_packets: int
    sent_bytes: int
    received_packets: int
    received_bytes: int
    errors: int
    uptime_s: float
    received_packets_per_s: float


@dataclass(frozen=True, slots=True)
class SourceReport:
    """The counters of a source, and how many hosts it knows now."""

    source: Source
    stats: SourceStats
    active_instances: int


class SourceCounters:
    """Counters of one source, from now on; of constant size."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._started = clock()
        self._zero()

    def sent(self, n_bytes: int) -> None:
        """Count a packet that went out."""
        self._sent_packets += 1
        self._sent_bytes += n_bytes

    def received(self, n_bytes: int) -> None:
        """Count a packet that came in, good or bad."""
        self._received_packets += 1
        self._received_bytes += n_bytes
        second = int(self._clock())
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, self._seconds[-1][1] + 1)
        else:
            self._seconds.append((second, 1))

    def error(self) -> None:
        """Count something that was malformed, too long, too much, or could not be sent."""
        self._errors += 1

    def snapshot(self) -> SourceStats:
        """Return them as they are."""
        return SourceStats(
            sent_packets=self._sent_packets,
            sent_bytes=self._sent_bytes,
            received_packets=self._received_packets,
            received_bytes=self._received_bytes,
            errors=self._errors,
            uptime_s=self._clock() - self._started,
            received_packets_per_s=self._rate(),
        )

    def reset(self) -> SourceStats:
        """Set them to zero, uptime apart, and return what they were."""
        were = self.snapshot()
        self._zero()
        return were

    def _zero(self) -> None:
        self._since = self._clock()
        self._sent_packets = self._sent_bytes = 0
        self._received_packets = self._received_bytes = 0
        self._errors = 0
        # (second, packets in it); those before the window drop out automatically
        self._seconds: deque[tuple[int, int]] = deque(maxlen=RATE_WINDOW_S)

    def _rate(self) -> float:
        now = self._clock()
        packets = sum(count for second, count in self._seconds if second > now - RATE_WINDOW_S)
        # While young, over the time there was; at least a second, lest one packet be a flood.
        return packets / min(RATE_WINDOW_S, max(1.0, now - self._since))
