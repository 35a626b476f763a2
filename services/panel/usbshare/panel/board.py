"""Everything that pages show: the latest state of each object, encoded once for all pages."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from usbshare.panel.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Sort:
    """A kind of object: its list in a snapshot, and its events."""

    listed: str
    changed: str
    removed: str


HOSTS = Sort("hosts", "hostChanged", "hostRemoved")
MACHINES = Sort("machines", "machineChanged", "machineRemoved")
CAMERAS = Sort("cameras", "cameraChanged", "cameraRemoved")
JOBS = Sort("jobs", "jobChanged", "jobRemoved")
LOCAL_PORTS = Sort("localPorts", "localPortChanged", "localPortRemoved")
_SORTS = (HOSTS, MACHINES, CAMERAS, JOBS, LOCAL_PORTS)

Key = tuple[str, ...]


class Board:
    """States as JSON text by kind and key; each page has an outbox for changes.

    `watched` is set while there is a page.
    """

    def __init__(self) -> None:
        self.watched = asyncio.Event()
        self._gateway = "{}"
        self._things: dict[Sort, dict[Key, str]] = {sort: {} for sort in _SORTS}
        self._pages: set[Outbox] = set()

    def open(self, *, is_local: bool) -> Outbox:
        """Return the outbox of a new page, with the snapshot in it."""
        outbox = Outbox()
        outbox.state("snapshot", self._snapshot(is_local=is_local))
        self._pages.add(outbox)
        self.watched.set()
        return outbox

    def close(self, outbox: Outbox) -> None:
        """Forget a page."""
        self._pages.discard(outbox)
        if not self._pages:
            self.watched.clear()

    def put_gateway(self, text: str) -> None:
        """Show the state of the gateway itself."""
        if text != self._gateway:
            self._gateway = text
            self._tell("gateway", f'{{"gatewayChanged":{text}}}')

    def put(self, sort: Sort, key: Key, text: str) -> None:
        """Show the state of a thing; an unchanged state is not sent again."""
        things = self._things[sort]
        if things.get(key) != text:
            things[key] = text
            self._tell((sort, key), f'{{"{sort.changed}":{text}}}')

    def remove(self, sort: Sort, key: Key, name: str) -> None:
        """Remove an object; `name` is its description in the event, as JSON text."""
        if self._things[sort].pop(key, None) is not None:
            self._tell((sort, key), f'{{"{sort.removed}":{name}}}')

    def tell_all(self, key: Key, frame: str) -> None:
        """Send every page an event that is not a state; a later one of that key replaces it."""
        self._tell(key, frame)

    def _tell(self, key: object, frame: str) -> None:
        for page in self._pages:
            page.state(key, frame)

    def _snapshot(self, *, is_local: bool) -> str:
        lists = "".join(
            f',"{sort.listed}":[{",".join(text for _, text in sorted(things.items()))}]'
            for sort, things in self._things.items()
            if things
        )
        local = ',"isLocalPage":true' if is_local else ""
        return f'{{"snapshot":{{"gateway":{self._gateway}{lists}{local}}}}}'
