"""Requests for content that only one page shows: consoles, round trips, audit logs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.json_text import text
from usbshare.panel.api.pack_machine import machine_key
from usbshare.panel.api.requests import Handler
from usbshare.panel.api.shown_audits import ShownAudits
from usbshare.panel.api.shown_latencies import ShownLatencies
from usbshare.panel.api.stop_requests import key_of
from usbshare.panel.machines.console import ConsoleLine, Origin
from usbshare.panel.machines.controls import Controls
from usbshare.panel.machines.machine_view import MachineKey
from usbshare.panel.machines.observing import Observers
from usbshare.panel.socket import Page
from usbshare.rpc.wire_time import timestamp, timestamp_of

MOST_SHOWN = 16
MOST_AUDITS = 2
_ORIGINS = {
    Origin.SENT: pb.LINE_ORIGIN_SENT,
    Origin.MACHINE: pb.LINE_ORIGIN_MACHINE,
    Origin.NEWS: pb.LINE_ORIGIN_NEWS,
    Origin.FAILURE: pb.LINE_ORIGIN_FAILURE,
}


def show_handlers(
    controls: Controls, observers: Observers, latencies: ShownLatencies, audits: ShownAudits
) -> Mapping[str, Handler]:
    """Return the handler of these requests."""
    shown: dict[Page, set[MachineKey]] = {}

    def hide(page: Page, keys: set[MachineKey]) -> None:
        for key in keys:
            controls.console(key).hide(page)
            observers.look(key)
            page.outbox.forget_stream(("console", *key))

    def closed(page: Page) -> None:
        hide(page, shown.pop(page, set()))
        latencies.closed(page)
        audits.closed(page)

    async def show(page: Page, asked: pb.Show, request_id: int) -> pb.Answer:
        wanted = {key_of(each) for each in list(asked.consoles)[:MOST_SHOWN]}
        is_new = page not in shown
        hide(page, shown.get(page, set()) - wanted)
        shown[page] = wanted
        for key in wanted:
            controls.machine(key)  # raises if it is unknown
            controls.console(key).show(page, partial(_add_line, page, key))
            observers.look(key)
        if is_new:
            page.on_closed(partial(closed, page))
        latencies.show(page, map(key_of, list(asked.latencies)[:MOST_SHOWN]))
        audits.show(page, list(asked.audits)[:MOST_AUDITS])
        return pb.Answer()

    return {"show": show}


def control_asked_text(key: MachineKey, who: str) -> str:
    """Return the event that somebody asks for control."""
    asked = pb.ControlAsked(machine=machine_key(key), who=who, time=timestamp(datetime.now(UTC)))
    return text(pb.Event(control_asked=asked))


def _add_line(page: Page, key: MachineKey, line: ConsoleLine) -> None:
    message = pb.ConsoleLine(
        number=line.number,
        time=timestamp_of(line.unix_s),
        origin=_ORIGINS[line.origin],
        text=line.text,
    )
    before = f'{{"console":{{"machine":{text(machine_key(key))},"lines":['
    page.outbox.line(("console", *key), before, text(message), "]}}")
