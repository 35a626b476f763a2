"""Whether a service knows its rules, and who breaks them, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from usbshare.authorization.rulebook import Rulebook


class RulesCollector(Collector):
    """Tells for how long a file of rules could not be read, and of alarms."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook

    def collect(self) -> Iterator[Metric]:
        """Yield each."""
        book = self._rulebook
        for name, what, value in (
            ("unknown_seconds", "How long the access rules have been unreadable", book.unknown_s),
            ("trouble", "1 while a rules file has a mistake or cannot be read", book.trouble),
            (
                "closed",
                "1 while only stops are allowed, because the access rules are unknown",
                book.is_closed,
            ),
        ):
            number = value if isinstance(value, float) else float(bool(value))
            yield GaugeMetricFamily(f"usbshare_rules_{name}", what, value=number)
        what = "Calls with a certificate whose successor is already in use"
        yield CounterMetricFamily("usbshare_void_certificate_uses", what, value=book.uses.void_uses)
