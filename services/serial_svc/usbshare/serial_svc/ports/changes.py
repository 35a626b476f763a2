"""Reports changes of ports to their watchers; each is described once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from usbshare.base.fair_turns import Turns
from usbshare.serial_svc.line.signal import Signal
from usbshare.serial_svc.sessions.port_description import PortDescription

# Changes within this time are reported together.
GATHER_S = 0.025


class Change(Enum):
    """What happened to a port of a watched set."""

    EXISTING = "existing"
    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"


Describe = Callable[[], PortDescription]


@dataclass(slots=True)
class _Told:
    """A port as last reported; `number` is the number of that change."""

    description: PortDescription
    number: int


class PortNews:
    """Follows ports that come, change and go; `ports` are how to describe those there are, by id.

    Of one event loop.
    """

    def __init__(self, ports: Callable[[], Mapping[str, Describe]]) -> None:
        self._ports = ports
        self._told: dict[str, _Told] = {}
        self._changed: set[str] = set()
        self._number = 0
        self._rules = 0
        self._signal = Signal()
        self._timer: asyncio.TimerHandle | None = None
        self._turns = Turns()

    def changed(self, port_id: str) -> None:
        """Note that a port came, changed or went."""
        self._changed.add(port_id)
        self._wake_soon()

    def rules_changed(self) -> None:
        """Note that the visible ports may have changed."""
        self._rules += 1
        self._wake_soon()

    def described(self) -> list[PortDescription]:
        """Return all ports as they are now, by id; one that did not change is the same object."""
        self._changed.update(self._ports())
        self._refresh()
        return [self._told[port_id].description for port_id in sorted(self._told)]

    async def watch(
        self, is_shown: Callable[[str], bool]
    ) -> AsyncIterator[tuple[Change, PortDescription]]:
        """Yield the ports there are of those shown, then every change, until cancelled."""
        known: dict[str, PortDescription] = {}
        seen, rules, change = -1, -1, Change.EXISTING
        self._changed.update(self._ports())
        while True:
            self._refresh()
            found = self._since(seen if rules == self._rules else -1)
            seen, rules = self._number, self._rules
            shown = {port_id: each for port_id, each in found.items() if is_shown(port_id)}
            gone = [
                port_id
                for port_id in known
                if port_id not in self._told or (port_id in found and port_id not in shown)
            ]
            for port_id in gone:
                yield Change.REMOVED, known.pop(port_id)
            for port_id, description in shown.items():
                before = known.get(port_id)
                known[port_id] = description
                if before is None:
                    yield change, description
                elif before is not description:
                    yield Change.UPDATED, description
            change = Change.ADDED
            while not self._has_news(seen, rules):
                await self._signal.wait()
                await self._turns.take()

    def _has_news(self, seen: int, rules: int) -> bool:
        self._refresh()
        return (self._number, self._rules) != (seen, rules)

    def _since(self, number: int) -> dict[str, PortDescription]:
        return {
            port_id: self._told[port_id].description
            for port_id in sorted(self._told)
            if self._told[port_id].number > number
        }

    def _refresh(self) -> None:
        """Describe the ports that have changed since the last time."""
        if not self._changed:
            return
        ports = self._ports()
        for port_id in self._changed:
            describe, told = ports.get(port_id), self._told.get(port_id)
            if describe is None:
                if told is not None:
                    self._number += 1
                    del self._told[port_id]
                continue
            description = describe()
            if told is None or told.description != description:
                self._number += 1
                self._told[port_id] = _Told(description, self._number)
        self._changed.clear()

    def _wake_soon(self) -> None:
        if self._timer is None and self._signal.is_awaited:
            self._timer = asyncio.get_running_loop().call_later(GATHER_S, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._signal.fire()
