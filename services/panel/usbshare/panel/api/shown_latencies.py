"""The machines whose round trips each page shows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from usbshare.panel.api.pack_latency import latency_text
from usbshare.panel.latency.latencies import Latencies, Record
from usbshare.panel.machines.machine_view import MachineKey
from usbshare.panel.socket import Page


class ShownLatencies:
    """A page gets what was measured in the last minutes at once, then each new record."""

    def __init__(self, latencies: Latencies) -> None:
        self._latencies = latencies
        self._shown: dict[Page, set[MachineKey]] = {}

    def show(self, page: Page, keys: Iterable[MachineKey]) -> None:
        """Show these from now on, and no others; raises UsbshareError where a host is unknown."""
        wanted, shown = set(keys), self._shown.get(page, set())
        for key in shown - wanted:
            self._latencies.hide(page, key)
        self._shown[page] = shown & wanted
        for key in wanted - shown:
            if past := self._latencies.past(key):
                *earlier, last = past
                page.outbox.state(("past latency", *key), latency_text(last, earlier))
            self._latencies.show(page, key, partial(_tell, page))
            self._shown[page].add(key)

    def closed(self, page: Page) -> None:
        """Forget a page."""
        for key in self._shown.pop(page, set()):
            self._latencies.hide(page, key)


def _tell(page: Page, record: Record) -> None:
    page.outbox.state(("latency", *record.key), latency_text(record))
