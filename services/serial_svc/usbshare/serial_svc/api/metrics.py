"""The service's counters for Prometheus, read at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from usbshare.base.lateness import Lateness
from usbshare.base.time_stats import TimeStats, TimeSummary
from usbshare.line.client_times import ClientTimes
from usbshare.serial_svc.line.latch import LatchCause
from usbshare.serial_svc.ports.port import SerialPort

_COUNTERS: dict[str, tuple[str, Callable[[SerialPort], float]]] = {
    "written_bytes": ("Bytes written to the device", lambda p: p.line.counters.written_bytes),
    "read_bytes": ("Bytes read from the device", lambda p: p.line.counters.read_bytes),
    "written_commands": ("Commands written completely", lambda p: p.line.counters.written_commands),
    "failed_commands": (
        "Commands dropped, refused or failed",
        lambda p: p.line.counters.failed_commands,
    ),
    "device_errors": ("Times the device disappeared", lambda p: p.line.counters.device_errors),
    "stops": ("Stops of all kinds", lambda p: p.line.counters.stops),
    "lost_sessions": (
        "Control sessions lost without being closed",
        lambda p: p.line.counters.lost_sessions,
    ),
    "link_loss_actions": (
        "Times the link-loss policy acted on the machine",
        lambda p: p.line.counters.link_loss_actions,
    ),
}
_GAUGES: dict[str, tuple[str, Callable[[SerialPort], float]]] = {
    "open": ("Whether the device is open", lambda p: float(p.line.is_open)),
    "sessions": ("Sessions now", lambda p: len(p.roster)),
    "queue_commands": ("Commands waiting", lambda p: p.line.scheduler.commands),
    "queue_bytes": ("Bytes waiting", lambda p: p.line.scheduler.waiting_bytes),
    "queue_oldest_seconds": (
        "Age of the oldest waiting command",
        lambda p: p.queue_state().oldest_age_s,
    ),
    "queue_max_commands": (
        "Largest depth of the queue so far",
        lambda p: p.line.counters.max_queue_commands,
    ),
    "held": (
        "Whether the queue of a lost session waits for a person",
        lambda p: float(p.stops.machine.holds.needs_person),
    ),
    "at_work": (
        "Whether the machine may be running a job",
        lambda p: float(p.stops.machine.is_at_work),
    ),
    "machine_held": (
        "Whether the machine, or what waits for it, is stopped: by a hold, a door or an alarm",
        lambda p: float(p.stops.machine.holds.current is not None),
    ),
    "latched": (
        "Whether the port refuses programs until it is re-armed",
        lambda p: float(p.stops.lost_job.refuses),
    ),
    "job_lost": (
        "Whether the port refuses programs because a job was lost",
        lambda p: float(p.line.latch.cause is LatchCause.JOB_LOST),
    ),
}
_QUANTILES = (("0.5", "p50_s"), ("0.95", "p95_s"), ("0.99", "p99_s"))
_TIMES: dict[str, tuple[str, Callable[[SerialPort], TimeStats]]] = {
    "queue_time_seconds": (
        "Time that commands wait in the queue",
        lambda p: p.line.counters.queue_time,
    ),
    "stop_write_time_seconds": (
        "Time from receiving a stop until the driver has it",
        lambda p: p.line.counters.stop_write_time,
    ),
    "write_time_seconds": (
        "Time from the first byte of a command to its last",
        lambda p: p.line.counters.write_time,
    ),
    "drain_time_seconds": (
        "Time from bytes being handed to the driver to their having left, by the rate of the line",
        lambda p: p.line.counters.drain_time,
    ),
    "answer_time_seconds": (
        "Time from a status query being handed to the driver to the firmware's report",
        lambda p: p.line.counters.answer_time,
    ),
    "send_time_seconds": (
        "Time that device bytes wait to be sent to the session in control",
        lambda p: p.line.counters.send_time,
    ),
}

_CLIENT_TIMES: dict[str, tuple[str, Callable[[ClientTimes], TimeSummary | None]]] = {
    "client_wake_time_seconds": (
        "How late the client in control ran when it was due, as it reports",
        lambda times: times.wake,
    ),
    "client_queue_time_seconds": (
        "Time that program bytes wait in the client in control, as it reports",
        lambda times: times.queue,
    ),
    "network_time_seconds": (
        "Round trips of the client in control without the time on the host, as it reports",
        lambda times: times.network,
    ),
}


class PortCollector(Collector):
    """Reads the counters of every port at the moment of a scrape."""

    def __init__(self, ports: Callable[[], Iterable[SerialPort]], lateness: Lateness) -> None:
        self._ports = ports
        self._lateness = lateness

    def collect(self) -> Iterator[Metric]:
        """Yield one family a counter, a sample a port."""
        ports = list(self._ports())
        for name, (text, value) in _COUNTERS.items():
            counter = CounterMetricFamily(f"usbshare_serial_{name}", text, labels=["port"])
            for port in ports:
                counter.add_metric([port.id], value(port))
            yield counter
        for name, (text, value) in _GAUGES.items():
            gauge = GaugeMetricFamily(f"usbshare_serial_{name}", text, labels=["port"])
            for port in ports:
                gauge.add_metric([port.id], value(port))
            yield gauge
        for name, (text, times) in _TIMES.items():
            samples = [(port, times(port)) for port in ports]
            yield _summary(name, text, [(_label(p), p.line.summary(t), t) for p, t in samples])
        for name, (text, client_times) in _CLIENT_TIMES.items():
            yield _client_summary(name, text, ports, client_times)
        late = self._lateness
        text = "How late the service ran when it was due; long where the host is overloaded"
        yield _summary("wake_time_seconds", text, [({}, late.summary(), late.stats)])


def _label(port: SerialPort) -> dict[str, str]:
    return {"port": port.id}


def _summary(
    name: str, text: str, samples: list[tuple[dict[str, str], TimeSummary, TimeStats]]
) -> Metric:
    """Return counts and sums since the start, quantiles of the last one to two minutes."""
    family = Metric(f"usbshare_serial_{name}", text, "summary")
    for labels, summary, times in samples:
        family.add_sample(f"{family.name}_count", labels, times.count)
        family.add_sample(f"{family.name}_sum", labels, times.total_s)
        _add_quantiles(family, labels, summary)
    return family


def _client_summary(
    name: str,
    text: str,
    ports: list[SerialPort],
    times: Callable[[ClientTimes], TimeSummary | None],
) -> Metric:
    """Return what the clients in control measure; they do not report sums."""
    family = Metric(f"usbshare_serial_{name}", text, "summary")
    for port in ports:
        found = port.roster.control.client_times if port.roster.control is not None else None
        if found is not None and (summary := times(found)) is not None:
            _add_quantiles(family, _label(port), summary)
    return family


def _add_quantiles(family: Metric, labels: dict[str, str], summary: TimeSummary) -> None:
    if summary.recent_count:
        for quantile, field in _QUANTILES:
            family.add_sample(family.name, labels | {"quantile": quantile}, getattr(summary, field))
