"""How much may be ahead of the device, beyond our control: a few milliseconds of line time.

Both what the driver says has not left (TIOCOUTQ) and what cannot have left by line time count;
the larger one holds, so a driver that cannot tell is paced by the clock, and a line that stalls
is noticed although the clock runs on. A device with a USB connection of its own has no line: it
is paced by what its driver still holds, see `DriverWindow`.
"""

from __future__ import annotations

from usbshare.serial_svc.line.driver_window import MOST_LEAD_BYTES, DriverWindow

LEAD_S = 0.003
LEAST_LEAD_BYTES = 32
LARGEST_UNSENT_BYTES = 1 << 20
SHARED_BYTES = 256
_SHORTEST_WAIT_S = 0.001
_LONGEST_WAIT_S = 0.020


class Pacer:
    """Allows bytes at the rate of the line, never more than a lead ahead of it.

    Without a line rate it allows them as fast as the device takes them. There the driver reports
    what is unsent; if that is always 0, the device is faster than we look.
    """

    def __init__(self, bytes_per_s: float) -> None:
        self._clear_at = 0.0
        self._stalls = 0
        self._last_unsent = 0
        self._window: DriverWindow | None = None
        self._is_paced = False
        self.set_rate(bytes_per_s)

    def set_rate(
        self, bytes_per_s: float, *, has_line_rate: bool = True, is_paced: bool = False
    ) -> None:
        """Follow a change of the line's settings; `has_line_rate` as `Device` says.

        A device that paces itself (`is_paced`) gets all that it accepts.
        """
        self._rate = bytes_per_s
        self._line_lead_bytes = max(LEAST_LEAD_BYTES, int(bytes_per_s * LEAD_S))
        self._window = None if has_line_rate else DriverWindow(self._line_lead_bytes, LEAD_S)
        self._is_paced = is_paced

    @property
    def lead_bytes(self) -> int:
        """How many bytes may lie ahead of the device."""
        window = self._window
        return self._line_lead_bytes if window is None else window.lead_bytes

    @property
    def shared_bytes(self) -> int:
        """Return how many bytes of several commands may go out in one write.

        A driver that counts whole buffers is the more exact the smaller they are.
        """
        if self._is_paced:
            return SHARED_BYTES
        window = self._window
        return self._line_lead_bytes if window is None else window.lead_bytes // 4

    @property
    def bytes_per_s(self) -> float:
        """What the device takes: the rate of the line, or what it was last seen to take."""
        window = self._window
        return self._rate if window is None else max(self._rate, window.bytes_per_s)

    @property
    def clear_at(self) -> float:
        """Monotonic time at which all that was written has left the line; 0.0 if it has no rate."""
        return self._clear_at if self._window is None else 0.0

    def reset(self) -> None:
        """Forget what was written: it has been discarded."""
        self._clear_at = 0.0
        self._stalls = self._last_unsent = 0
        if self._window is not None:
            self._window.reset()

    def allowance(self, now: float, unsent: int, wanted: int) -> int:
        """Return how many of the wanted bytes may be written now; 0: ask again after `wait_s`.

        Less than half a lead is not worth a write, unless it is all that is wanted: a writer that
        wrote each byte as soon as line time allows would do nothing else.
        """
        if (window := self._window) is not None:
            allowed = window.allowance(now, unsent, wanted)
            return min(wanted, MOST_LEAD_BYTES) if self._is_paced else allowed
        if self._clear_at > now:
            unsent = self._ahead(now, unsent)
        free = self._line_lead_bytes - unsent
        if wanted <= free:
            return wanted
        return free if free >= min(wanted, self._line_lead_bytes // 2) else 0

    def written(self, size: int, now: float) -> float:
        """Note bytes handed to the driver; returns `clear_at`."""
        clear_at = self._clear_at
        self._clear_at = clear_at = (clear_at if clear_at > now else now) + size / self._rate
        self._stalls = self._last_unsent = 0  # an equal count later is of other bytes
        if self._window is None:
            return clear_at
        self._window.written(size, now)
        return 0.0

    def wait_s(self, now: float, unsent: int) -> float:
        """Return the time until half of the lead is free; longer each time the line is stopped."""
        self._stalls = self._stalls + 1 if unsent and unsent == self._last_unsent else 0
        self._last_unsent = unsent
        unsent = min(unsent, LARGEST_UNSENT_BYTES)
        due = (self._ahead(now, unsent) - self.lead_bytes // 2) / self.bytes_per_s
        stalled = min(_LONGEST_WAIT_S, _SHORTEST_WAIT_S * 2 ** min(self._stalls, 8))
        wait_s = max(due, stalled if self._stalls else _SHORTEST_WAIT_S)
        if self._window is not None:
            self._window.waits(now + wait_s)
        return wait_s

    def _ahead(self, now: float, unsent: int) -> int:
        if self._window is not None or self._clear_at <= now:
            return unsent
        return max(unsent, int((self._clear_at - now) * self._rate + 0.999))
