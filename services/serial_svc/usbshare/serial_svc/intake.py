"""What comes from one device: counted, looked at for what firmware speaks, given to all."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.common.profiles import Profile, Recogniser
from usbshare.serial_svc.attendance import Attendance
from usbshare.serial_svc.stats import PortCounters


class Intake:
    """Takes a device's bytes; `on_recognised` is called when they give the firmware away."""

    def __init__(
        self,
        attendance: Attendance,
        counters: PortCounters,
        clock: Callable[[], float],
        on_recognised: Callable[[Profile], None],
    ) -> None:
        self.offset = 0
        self._attendance = attendance
        self._counters = counters
        self._clock = clock
        self._on_recognised = on_recognised
        self._recogniser: Recogniser | None = None

    def recognise(self) -> None:
        """Find out anew what firmware speaks."""
        self._recogniser = Recogniser()

    def receive(self, data: bytes) -> None:
        """Give bytes to every session."""
        counters = self._counters
        counters.read_bytes += len(data)
        counters.read_chunks += 1
        offset = self.offset
        self.offset = offset + len(data)
        if self._recogniser is not None and (profile := self._recogniser.feed(data)) is not None:
            self._on_recognised(profile)
        now = self._clock()
        for outbox in self._attendance.outboxes:
            outbox.put_data(offset, data, now)
