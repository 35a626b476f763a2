"""The service's counters for Prometheus, read at each scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from usbshare.job_svc.run.condition import Condition
from usbshare.job_svc.run.spool import Spool
from usbshare.job_svc.storage.job import JobState


class JobCollector(Collector):
    """Reads the current values at each scrape."""

    def __init__(self, spool: Spool, condition: Condition) -> None:
        self._spool = spool
        self._condition = condition

    def collect(self) -> Iterator[Metric]:
        """Yield how many jobs there are by state, and what the disk has to bear."""
        found = Counter((each.port_id, each.state) for each in self._spool.jobs.all)
        jobs = GaugeMetricFamily(
            "usbshare_jobs", "Jobs by port and state", labels=["port", "state"]
        )
        for port_id in sorted({port_id for port_id, _ in found}):
            for state in JobState:
                jobs.add_metric([port_id, state.value], found[port_id, state])
        yield jobs
        yield _gauge("file_bytes", "Bytes that files take", self._spool.files.used_bytes)
        yield _gauge("watchers", "Clients that watch jobs", len(self._spool.watches))
        yield _gauge(
            "record_damaged",
            "Whether a damaged record of the jobs was kept aside and still lies there",
            float(bool(self._condition.damaged)),
        )
        yield _gauge(
            "record_stuck",
            "Whether the record of the jobs cannot be written",
            float(bool(self._spool.notes.trouble)),
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"usbshare_job_{name}", text, value=value)
