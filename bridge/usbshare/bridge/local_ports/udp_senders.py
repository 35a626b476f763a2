"""Who sent datagrams lately, and so is answered: bounded, whoever comes. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

WINDOW_S = 60.0
MOST_SENDERS = 16
MOST_DATAGRAM_BYTES = 512
# What fits through every network interface as one packet.
LARGEST_ANSWER_BYTES = 1200

Address = tuple[str, int]


def sender_of(address: tuple[object, ...]) -> Address:
    """Return address and port, without what IPv6 has besides."""
    return str(address[0]), int(str(address[1]))


class Senders(Generic[T]):
    """What is kept for each sender that spoke within the window, at most so many of them."""

    def __init__(self, clock: Callable[[], float], most: int = MOST_SENDERS) -> None:
        self._clock = clock
        self._most = most
        self._known: OrderedDict[Address, tuple[float, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def addresses(self) -> list[Address]:
        """Return every sender."""
        return list(self._known)

    def heard(self, address: Address, make: Callable[[], T]) -> T | None:
        """Note a datagram; returns what is kept for its sender, None where there are too many."""
        if address in self._known:
            kept = self._known[address][1]
        elif len(self._known) < self._most:
            kept = make()
        else:
            return None
        self._known[address] = (self._clock(), kept)
        self._known.move_to_end(address)
        return kept

    def evict(self) -> T:
        """Forget the one that was silent longest; returns what was kept for it."""
        return self._known.popitem(last=False)[1][1]

    def expire(self) -> list[T]:
        """Forget those that were silent for the window; returns what was kept for them."""
        end, gone = self._clock() - WINDOW_S, []
        while self._known and next(iter(self._known.values()))[0] <= end:
            gone.append(self._known.popitem(last=False)[1][1])
        return gone

    def clear(self) -> list[T]:
        """Forget all; returns what was kept for them."""
        gone = [kept for _, kept in self._known.values()]
        self._known.clear()
        return gone

    def wait_s(self) -> float | None:
        """Return how long until the next one is due to be forgotten; None where there is none."""
        if not self._known:
            return None
        heard_at = next(iter(self._known.values()))[0]
        return max(0.0, heard_at + WINDOW_S - self._clock())


def packed(lines: list[bytes]) -> list[bytes]:
    """Put lines together in as few datagrams as may be; a longer line is cut."""
    datagrams: list[bytes] = []
    for line in (each[:LARGEST_ANSWER_BYTES] for each in lines):
        if datagrams and len(datagrams[-1]) + len(line) <= LARGEST_ANSWER_BYTES:
            datagrams[-1] += line
        else:
            datagrams.append(line)
    return datagrams
