"""The service's counters for Prometheus, read at each scrape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from usbshare.usb_svc.devices.judgement import State
from usbshare.usb_svc.export.lending import OfferedDevice
from usbshare.usb_svc.export.totals import Ending, Refusal, Totals


class UsbCollector(Collector):
    """Reads the current values at each scrape."""

    def __init__(self, devices: Callable[[], Iterable[OfferedDevice]], totals: Totals) -> None:
        self._devices = devices
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        """Yield the devices by state, and the outcomes of attachments."""
        found = Counter(each.state for each in self._devices())
        devices = GaugeMetricFamily(
            "usbshare_usb_devices", "USB devices by state", labels=["state"]
        )
        for state in State:
            devices.add_metric([state.value], found[state])
        yield devices
        totals = self._totals
        yield CounterMetricFamily(
            "usbshare_usb_attachments", "Devices lent to a client", value=totals.attachments
        )
        passed = {"client": totals.from_clients_bytes, "device": totals.from_devices_bytes}
        yield _counter("bytes", "Bytes of USB/IP forwarded, by sender", "from", passed)
        yield _counter(
            "refusals", "Refused requests for a device", "reason", _named(totals.refusals)
        )
        yield _counter("ended", "Attachments ended", "cause", _named(totals.endings))


def _named(counts: Mapping[Refusal, int] | Mapping[Ending, int]) -> dict[str, int]:
    return {each.value: count for each, count in counts.items()}


def _counter(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    counter = CounterMetricFamily(f"usbshare_usb_{name}", text, labels=[label])
    for each, value in values.items():
        counter.add_metric([each], value)
    return counter
