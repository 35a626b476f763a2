"""What a scrape shows of the sources."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from usbshare.discovery_svc.api.metrics import SourceCollector
from usbshare.hosts.counters import SourceStats
from usbshare.hosts.instance import Source


def test_every_counter_of_every_source_is_scraped() -> None:
    stats = {
        Source.MDNS: SourceStats(1, 2, 3, 4, 5, 6.5, 7.5),
        Source.LOCAL: SourceStats(0, 0, 0, 0, 0, 6.5, 0),
    }
    registry = CollectorRegistry()
    registry.register(SourceCollector(lambda: stats, lambda: {Source.MDNS: 8}))
    lines = generate_latest(registry).decode().splitlines()
    found = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    prefix = "usbshare_discovery_"
    assert {key.removeprefix(prefix): float(value) for key, value in found.items()} == {
        f'{name}{{source="{source}"}}': value
        for name, values in {
            "sent_packets_total": (1, 0),
            "sent_bytes_total": (2, 0),
            "received_packets_total": (3, 0),
            "received_bytes_total": (4, 0),
            "errors_total": (5, 0),
            "uptime_seconds": (6.5, 6.5),
            "received_packets_per_second": (7.5, 0),
            "instances": (8, 0),
        }.items()
        for source, value in zip(("mdns", "local"), values, strict=True)
    }
