"""What a link measures of a round trip, each part by one clock."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.base.time_stats import TimeStats, TimeSummary
from usbshare.line.client_times import ClientTimes


class LinkTimes:
    """Times of one link over all its sessions; `queue` is filled by what orders the program.

    `wake`: how late we ran when a heartbeat was due. `host`: from reading a heartbeat to answering
    it, by the host's clock. `network`: the rest of its round trip. `data`: how long device bytes
    waited at the host, where it says so, which it does from 10 ms on.
    """

    def __init__(self, queue: TimeStats, clock: Callable[[], float]) -> None:
        self.wake = TimeStats()
        self.queue = queue
        self.network = TimeStats()
        self.host = TimeStats()
        self.data = TimeStats()
        self._clock = clock

    def woke(self, late_s: float) -> None:
        """Note how late a heartbeat was made."""
        self.wake.add(max(0.0, late_s), self._clock())

    def answered(self, round_trip_s: float, host_s: float | None) -> None:
        """Note a round trip; older services do not say how much of it they took."""
        if host_s is None:
            return
        now = self._clock()
        self.host.add(host_s, now)
        self.network.add(max(0.0, round_trip_s - host_s), now)

    def data_waited(self, seconds: float) -> None:
        """Note how long device bytes waited at the host."""
        self.data.add(seconds, self._clock())

    def report(self) -> ClientTimes:
        """Return our own parts, for those who watch the port."""
        return ClientTimes(*map(self.summary, (self.wake, self.queue, self.network)))

    def summary(self, stats: TimeStats) -> TimeSummary | None:
        """Return a distribution as it is now; None before anything was measured."""
        return stats.summary(self._clock()) if stats.count else None
