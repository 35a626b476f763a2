"""The service's counters for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from usbshare.serial_svc.line.counters import TimeStats
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
}


class PortCollector(Collector):
    """Reads the counters of every port at the moment of a scrape."""

    def __init__(self, ports: Callable[[], Iterable[SerialPort]]) -> None:
        self._ports = ports

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
            yield _summary(name, text, [(port.id, times(port)) for port in ports])


def _summary(name: str, text: str, samples: list[tuple[str, TimeStats]]) -> Metric:
    family = Metric(f"usbshare_serial_{name}", text, "summary")
    for port_id, times in samples:
        family.add_sample(f"{family.name}_count", {"port": port_id}, times.count)
        family.add_sample(f"{family.name}_sum", {"port": port_id}, times.total_s)
    return family
