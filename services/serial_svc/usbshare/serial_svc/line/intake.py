"""What comes from one device: counted, given to the client in control, kept for observers."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.serial_svc.line.counters import PortCounters
from usbshare.serial_svc.sessions.observer_turns import ObserverTurns
from usbshare.serial_svc.sessions.roster import SessionRoster


class Intake:
    """Takes a device's bytes."""

    def __init__(
        self,
        roster: SessionRoster,
        observer_turns: ObserverTurns,
        counters: PortCounters,
        clock: Callable[[], float],
    ) -> None:
        self._roster = roster
        self._turns = observer_turns
        self._counters = counters
        self._clock = clock

    def receive(self, data: bytes) -> None:
        """Give bytes to the session in control, and let observers know."""
        counters = self._counters
        counters.read_bytes += len(data)
        counters.read_chunks += 1
        if (outbox := self._roster.control_outbox) is not None:
            outbox.put_data(self._turns.tail.end_offset, data, self._clock())
        self._turns.put_data(data)
