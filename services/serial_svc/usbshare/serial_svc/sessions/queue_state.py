"""How full a port's queue is, reported to all sessions when its band changes for a while."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.serial_svc.line.scheduler import Band, Scheduler, band_of
from usbshare.serial_svc.sessions.delayed import Delayed
from usbshare.serial_svc.sessions.events import QueueState, SessionEvent

QUIET_DEPTH = 5
# In a stream at the line's rate the depth swings between two bands forty times a second.
LASTS_S = 0.1


class QueueNews:
    """Follows one queue; `changed` is called whenever its depth may have changed."""

    def __init__(
        self,
        scheduler: Scheduler,
        clock: Callable[[], float],
        tell: Callable[[SessionEvent], None],
    ) -> None:
        self._scheduler = scheduler
        self._clock = clock
        self._tell = tell
        self._band = Band.NORMAL
        self._telling = Delayed(self._tell_band, LASTS_S)

    def state(self) -> QueueState:
        """Return how full the queue is now."""
        depth = self._scheduler.commands
        age_s = self._scheduler.oldest_age_s(self._clock())
        return QueueState(depth, self._scheduler.waiting_bytes, band_of(depth), age_s)

    def changed(self) -> None:
        """Report another band, if it is still another one in a while."""
        depth = self._scheduler.commands
        if depth <= QUIET_DEPTH and self._band is Band.NORMAL:
            return
        if band_of(depth) is not self._band:
            self._telling.ask()

    def _tell_band(self) -> None:
        band = band_of(self._scheduler.commands)
        if band is not self._band:
            self._band = band
            self._tell(self.state())
