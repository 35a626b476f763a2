"""How full a port's queue is, reported to all sessions when its band changes for a while."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from usbshare.serial_svc.line.scheduler import Band, Scheduler, band_of
from usbshare.serial_svc.sessions.delayed import Delayed
from usbshare.serial_svc.sessions.events import QueueState, SessionEvent

QUIET_DEPTH = 5
# In a stream at the line's rate the depth swings between two bands forty times a second.
LASTS_S = 0.1


class Backlog(Protocol):
    """Lines of a session that wait for the firmware before they wait for the serial line."""

    def waiting(self) -> tuple[int, int]:
        """Return how many lines and bytes wait."""
        ...

    def oldest_age_s(self, now: float) -> float:
        """Return how long the oldest of them has waited; 0 for none."""
        ...


class QueueNews:
    """Follows one queue; `changed` is called whenever its depth may have changed.

    `backlog`: the lines behind it of the session in control, None for one that sends bytes.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        clock: Callable[[], float],
        tell: Callable[[SessionEvent], None],
        backlog: Callable[[], Backlog | None] = lambda: None,
    ) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._tell = tell
        self._backlog = backlog
        self._band = Band.NORMAL
        self._telling = Delayed(self._tell_band, LASTS_S)

    def state(self) -> QueueState:
        """Return how full the queue is now."""
        now, size = self._clock(), self._scheduler.waiting_bytes
        age_s = self._scheduler.oldest_age_s(now)
        if (behind := self._backlog()) is not None:
            size += behind.waiting()[1]
            age_s = max(age_s, behind.oldest_age_s(now))
        return QueueState(self._depth, size, band_of(self._depth), age_s)

    def changed(self) -> None:
        """Report another band, if it is still another one in a while."""
        depth = self._depth
        if depth <= QUIET_DEPTH and self._band is Band.NORMAL:
            return
        if band_of(depth) is not self._band:
            self._telling.ask()

    @property
    def _depth(self) -> int:
        behind = self._backlog()
        return self._scheduler.commands + (0 if behind is None else behind.waiting()[0])

    def _tell_band(self) -> None:
        band = band_of(self._depth)
        if band is not self._band:
            self._band = band
            self._tell(self.state())
