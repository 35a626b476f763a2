"""How often a wrong invitation may be tried, from one address and in total."""

from __future__ import annotations

import threading
from collections.abc import Callable

from usbshare.base.addresses import network_of
from usbshare.base.errors import LimitError
from usbshare.base.throttle import Throttle

PERIOD_S = 60.0
MOST_OF_ONE = 5
MOST_OF_ALL = 50
MOST_ADDRESSES = 1000


class FailedAttempts:
    """Counts wrong attempts of the last minute, from any thread; in bounded memory.

    A token cannot be guessed; this keeps log and processor free for legitimate callers.
    `clock` is monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._of = Throttle[str](PERIOD_S, clock, most=MOST_OF_ONE, most_keys=MOST_ADDRESSES)
        self._of_all = Throttle[None](PERIOD_S, clock, most=MOST_OF_ALL)
        self._lock = threading.Lock()

    def require_few(self, address: str) -> None:
        """Raise LimitError after too many attempts from there."""
        with self._lock:
            is_full = self._of.is_full(network_of(address))
        if is_full:
            raise LimitError(
                f"too many wrong attempts from {address}: wait {PERIOD_S:.0f} s, then try again"
            )

    def note_wrong(self, address: str) -> bool:
        """Count one; return whether it is worth a line in the log, which a flood is not."""
        with self._lock:
            self._of.admits(network_of(address))
            return self._of_all.admits(None)
