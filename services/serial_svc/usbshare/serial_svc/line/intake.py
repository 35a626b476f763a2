"""What comes from one device: counted, given to the client in control, kept for observers."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.serial_svc.line.counters import PortCounters
from usbshare.serial_svc.sessions.observer_turns import Gallery
from usbshare.serial_svc.sessions.roster import Attendance


class Intake:
    """Takes a device's bytes."""

    def __init__(
        self,
        attendance: Attendance,
        gallery: Gallery,
        counters: PortCounters,
        clock: Callable[[], float],
    ) -> None:
        self._attendance = attendance
        self._gallery = gallery
        self._counters = counters
        self._clock = clock

    def receive(self, data: bytes) -> None:
        """Give bytes to the session in control, and let observers know."""
        counters = self._counters
        counters.read_bytes += len(data)
        counters.read_chunks += 1
        if (outbox := self._attendance.control_outbox) is not None:
            outbox.put_data(self._gallery.tail.end_offset, data, self._clock())
        self._gallery.put_data(data)
