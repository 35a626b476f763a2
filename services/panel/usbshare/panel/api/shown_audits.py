"""The hosts' audit logs that each page shows, filtered at the host."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from usbshare.access.v1 import access_pb2
from usbshare.base.backoff import Backoff
from usbshare.base.errors import (
    InvalidArgumentError,
    NotSupportedError,
    PermissionDeniedError,
    UsbshareError,
)
from usbshare.base.watched_task import cancel_all
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.access_requests import administration_of, own_identity
from usbshare.panel.api.json_text import text
from usbshare.panel.hosts.fleet import Fleet
from usbshare.panel.socket import Page

NEWEST = 200
LOOK_S = 5.0
# Retrying does not help with these errors.
_FINAL = (PermissionDeniedError, NotSupportedError, InvalidArgumentError)
_REFUSED = "refused"
_Filter = tuple[str, str]


@dataclass(slots=True)
class _Shown:
    """What one page has received from one host with one filter: the last line of each log."""

    host: str
    part: str
    numbers: Iterator[int]
    lost: int = 0
    last: dict[str, int] = field(default_factory=dict)


class ShownAudits:
    """Follows a log for as long as a page shows it; entries that wait at the page are bounded."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._numbers = itertools.count(1)
        self._tasks: dict[Page, dict[_Filter, asyncio.Task[None]]] = {}

    def show(self, page: Page, filters: Iterable[pb.AuditFilter]) -> None:
        """Show only these from now on, each from the beginning."""
        self.closed(page)
        wanted = {(each.host, each.text) for each in filters}
        self._tasks[page] = {
            each: asyncio.create_task(self._follow(page, *each), name=f"audit of {each[0]}")
            for each in wanted
        }

    def closed(self, page: Page) -> None:
        """Forget a page."""
        for (host, _), task in self._tasks.pop(page, {}).items():
            task.cancel()
            page.outbox.forget_stream(("audit", host))

    async def close(self) -> None:
        """Stop following all logs."""
        tasks = [task for each in self._tasks.values() for task in each.values()]
        self._tasks.clear()
        await cancel_all(*tasks)

    async def _follow(self, page: Page, host: str, part: str) -> None:
        shown, backoff = _Shown(host, part, self._numbers), Backoff(random.random)
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._read(page, shown)
                reason = "the host ended the stream"
            except _FINAL as error:
                _tell_state(page, shown, str(error))
                return
            except UsbshareError as error:
                reason = str(error)
            _tell_state(page, shown, reason)
            if loop.time() - began > LOOK_S:  # it was established for a while
                backoff.reset()
            await asyncio.sleep(backoff.next_s())

    async def _read(self, page: Page, shown: _Shown) -> None:
        request = access_pb2.WatchAuditRequest(text=shown.part, newest=NEWEST)
        is_told = False
        async with (
            administration_of(self._fleet, shown.host) as client,
            aclosing(client.audit(request)) as replies,
        ):
            site = own_identity(self._fleet, shown.host).rpartition("/")[0]
            async for reply in replies:
                shown.lost += reply.lost
                if not is_told or reply.lost:  # also when nothing matches
                    _tell_state(page, shown)
                    is_told = True
                for entry in reply.entries:
                    if entry.number > shown.last.get(entry.log, 0):
                        shown.last[entry.log] = entry.number
                        _tell_entry(page, shown, entry, f"{site}/" if site else "")


def _tell_state(page: Page, shown: _Shown, reason: str = "") -> None:
    told = pb.AuditEntries(host=shown.host, reason=reason, lost=shown.lost, filter=shown.part)
    page.outbox.state(("audit", shown.host), text(pb.Event(audit=told)))


def _tell_entry(page: Page, shown: _Shown, entry: access_pb2.AuditEntry, site: str) -> None:
    """Send an entry to a page; identities of the own site are shown by name, others in full."""
    is_refused = entry.event.endswith(_REFUSED)
    what = _what_was_refused(entry) if is_refused else entry.event
    message = pb.AuditEntry(
        number=next(shown.numbers),
        time=entry.time,
        who=entry.who.removeprefix(site),
        what=what,
        resource=entry.port,
        is_refused=is_refused,
        text=_more(entry, site),
    )
    around = text(pb.AuditEntries(host=shown.host, filter=shown.part)).removesuffix("}")
    before = f'{{"audit":{around},"entries":['
    page.outbox.line(("audit", shown.host), before, text(message), "]}}")


def _what_was_refused(entry: access_pb2.AuditEntry) -> str:
    """Return `Stop` of a call that was refused, `enrolment` of `enrolment refused`."""
    method = next((each.value for each in entry.details if each.name == "method"), "")
    return entry.event.removesuffix(_REFUSED).strip() or method or entry.event


def _more(entry: access_pb2.AuditEntry, site: str) -> str:
    """Return the remaining fields of a line as text."""
    told = [
        f"{each.name} {each.value.removeprefix(site)}"
        for each in entry.details
        if each.value not in ("", "0")
    ]
    origin = [f"from {entry.address}"] if entry.address else []
    return "; ".join([*told, *origin, f"log {entry.log}"])
