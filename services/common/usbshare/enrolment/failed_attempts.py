"""How often a wrong invitation may be tried, from one address and in all."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from usbshare.base.addresses import parse_address
from usbshare.base.errors import LimitError

PERIOD_S = 60.0
MOST_OF_ONE = 5
MOST_OF_ALL = 50
MOST_ADDRESSES = 1000


class FailedAttempts:
    """Counts wrong attempts of the last minute; bounded whoever comes. `clock` is monotonic.

    A token cannot be guessed; this keeps log and processor free for those who belong here.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._of: dict[str, deque[float]] = {}
        self._of_all: deque[float] = deque(maxlen=MOST_OF_ALL)

    def require_few(self, address: str) -> None:
        """Raise LimitError while there were too many from there."""
        if self._is_full(self._of.get(network_of(address)), MOST_OF_ONE):
            raise LimitError(
                f"too many wrong attempts from {address}: wait {PERIOD_S:.0f} s, then try again"
            )

    def note_wrong(self, address: str) -> bool:
        """Count one; tell whether it is worth a line in the log, which a flood is not."""
        now, network = self._clock(), network_of(address)
        is_flood = self._is_full(self._of_all, MOST_OF_ALL)
        times = self._of.pop(network, deque(maxlen=MOST_OF_ONE))
        if len(self._of) >= MOST_ADDRESSES:
            del self._of[next(iter(self._of))]
        self._of[network] = times
        times.append(now)
        self._of_all.append(now)
        return not is_flood

    def _is_full(self, times: deque[float] | None, most: int) -> bool:
        if times is None or len(times) < most:
            return False
        return self._clock() - times[0] < PERIOD_S


def network_of(address: str) -> str:
    """Return what one person has many addresses in: with IPv6 the /64."""
    parsed = parse_address(address.partition("%")[0])
    if parsed is None or parsed.version == 4:
        return address
    if mapped := getattr(parsed, "ipv4_mapped", None):
        return str(mapped)
    return ":".join(parsed.exploded.split(":")[:4])
