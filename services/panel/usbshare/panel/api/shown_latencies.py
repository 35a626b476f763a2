"""The machines whose round trips each page shows, and their parts as messages of page.proto."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

from usbshare.client.latency.records import Part, PartKind
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.json_text import text
from usbshare.panel.api.pack_machine import machine_key
from usbshare.panel.latency.latencies import Latencies, Record
from usbshare.panel.machines.machine_view import MachineKey
from usbshare.panel.socket import Page
from usbshare.rpc.wire_time import duration, timestamp_of

_KINDS = {
    PartKind.PROGRAM: pb.LATENCY_PART_PROGRAM,
    PartKind.BRIDGE: pb.LATENCY_PART_BRIDGE,
    PartKind.NETWORK: pb.LATENCY_PART_NETWORK,
    PartKind.HOST: pb.LATENCY_PART_HOST,
    PartKind.PORT: pb.LATENCY_PART_PORT,
    PartKind.FIRMWARE: pb.LATENCY_PART_FIRMWARE,
}


class ShownLatencies:
    """A page gets the records of the last minutes at once, then each new one."""

    def __init__(self, latencies: Latencies) -> None:
        self._latencies = latencies
        self._shown: dict[Page, set[MachineKey]] = {}

    def show(self, page: Page, keys: Iterable[MachineKey]) -> None:
        """Show only these from now on; raises UsbshareError if a host is unknown."""
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


def latency_text(record: Record, past: Sequence[Record] = ()) -> str:
    """Return the event of a record, with earlier ones of the same machine."""
    message = pb.Latency(
        machine=machine_key(record.key),
        time=timestamp_of(record.unix_s),
        parts=[_part(part) for part in record.latency.parts],
        past=[_past(each) for each in past],
    )
    return text(pb.Event(latency=message))


def _past(record: Record) -> pb.Latency:
    parts = [
        pb.PartTimes(part=_KINDS[part.kind], latest=duration(part.times.last_s))
        for part in record.latency.parts
        if part.times is not None and part.times.count
    ]
    return pb.Latency(time=timestamp_of(record.unix_s), parts=parts)


def _part(part: Part) -> pb.PartTimes:
    message = pb.PartTimes(part=_KINDS[part.kind], warning=part.warning)
    times = part.times
    if times is None or not times.count:
        return message
    message.latest.CopyFrom(duration(times.last_s))
    message.longest.CopyFrom(duration(times.max_s))
    if times.recent_count:
        message.median.CopyFrom(duration(times.p50_s))
        message.p95.CopyFrom(duration(times.p95_s))
    return message
