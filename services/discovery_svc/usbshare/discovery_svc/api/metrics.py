"""The counters of every source for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from usbshare.hosts.counters import SourceStats
from usbshare.hosts.instance import Source

_COUNTERS: dict[str, tuple[str, Callable[[SourceStats], float]]] = {
    "sent_packets": ("Packets sent", lambda stats: stats.sent_packets),
    "sent_bytes": ("Bytes of payload sent", lambda stats: stats.sent_bytes),
    "received_packets": (
        "Packets received, including bad ones",
        lambda stats: stats.received_packets,
    ),
    "received_bytes": ("Bytes of payload received", lambda stats: stats.received_bytes),
    "errors": (
        "Packets and records that were malformed, too long or too many",
        lambda stats: stats.errors,
    ),
}
_GAUGES: dict[str, tuple[str, Callable[[SourceStats], float]]] = {
    "uptime_seconds": ("Seconds since the source was started", lambda stats: stats.uptime_s),
    "received_packets_per_second": (
        "Packets received per second, over the last 10 s",
        lambda stats: stats.received_packets_per_s,
    ),
}


class SourceCollector(Collector):
    """Reads the counters at the moment of a scrape; ResetStats sets these to zero too."""

    def __init__(
        self,
        stats: Callable[[], Mapping[Source, SourceStats]],
        active: Callable[[], Mapping[Source, int]],
    ) -> None:
        self._stats = stats
        self._active = active

    def collect(self) -> Iterator[Metric]:
        """Yield one family a counter, a sample a source."""
        stats = self._stats()
        for name, (text, value) in _COUNTERS.items():
            counter = CounterMetricFamily(f"usbshare_discovery_{name}", text, labels=["source"])
            for source, one in stats.items():
                counter.add_metric([source.value], value(one))
            yield counter
        for name, (text, value) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"usbshare_discovery_{name}", text, labels=["source"])
            for source, one in stats.items():
                gauge.add_metric([source.value], value(one))
            yield gauge
        yield self._active_instances(list(stats))

    def _active_instances(self, sources: list[Source]) -> Metric:
        text = "Instances that the source knows now"
        gauge = GaugeMetricFamily("usbshare_discovery_instances", text, labels=["source"])
        active = self._active()
        for source in sources:
            gauge.add_metric([source.value], active.get(source, 0))
        return gauge
