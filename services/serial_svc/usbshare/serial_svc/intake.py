"""What comes from one device: counted, given to all."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.serial_svc.attendance import Attendance
from usbshare.serial_svc.stats import PortCounters


class Intake:
    """Takes a device's bytes."""

    def __init__(
        self,
        attendance: Attendance,
        counters: PortCounters,
        clock: Callable[[], float],
    ) -> None:
        self.offset = 0
        self._attendance = attendance
        self._counters = counters
        self._clock = clock

    def receive(self, data: bytes) -> None:
        """Give bytes to every session."""
        counters = self._counters
        counters.read_bytes += len(data)
        counters.read_chunks += 1
        offset = self.offset
        self.offset = offset + len(data)
        now = self._clock()
        for outbox in self._attendance.outboxes:
            outbox.put_data(offset, data, now)
