"""The real-time bytes of one program, which go two ways to the service: numbered, each once.

A unit is what overtakes as one: a byte of GRBL's, a line of Marlin's. Those that went out and were
not confirmed are kept, since a stop that takes the other way must bring along what may be behind
it: it must not overtake the `~` before it, which would undo it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from usbshare.client.serial.messages import SendRealtime
from usbshare.line.profiles import Profile

MOST_REALTIME_BYTES = 64


class Unit(NamedTuple):
    """What overtakes as one, its number in the session, and the epoch in which it was written."""

    number: int
    data: bytes
    epoch: int


@dataclass(frozen=True, slots=True)
class Overtaking:
    """Units for the other way, in messages: `first` once and at once, or else `stops` in time."""

    first: tuple[SendRealtime, ...]
    stops: tuple[SendRealtime, ...]
    last_number: int
    resets: bool

    @property
    def data(self) -> bytes:
        """All of it."""
        return b"".join(message.data for message in self.first)


class RealtimeLane:
    """Numbers units, and knows which may not have been carried out."""

    def __init__(self) -> None:
        self._number = 0
        self._unconfirmed: deque[Unit] = deque()

    def begin(self) -> None:
        """Count from 1 on: it is a new session."""
        self._number = 0
        self._unconfirmed.clear()

    def lost(self, profile: Profile) -> list[Unit]:
        """Forget what went out on a stream that is lost; returns its stops, for another way.

        All else must not come late.
        """
        stops = [unit for unit in self._unconfirmed if profile.is_emergency(unit.data)]
        self._unconfirmed.clear()
        return stops

    def number(self, units: Iterable[bytes], epoch: int) -> list[Unit]:
        """Give the program's next units their numbers; it writes them in that epoch."""
        first = self._number + 1
        numbered = [Unit(number, data, epoch) for number, data in enumerate(units, first)]
        self._number += len(numbered)
        return numbered

    def sent(self, units: Iterable[Unit]) -> None:
        """Note units that went out, either way."""
        self._unconfirmed.extend(units)
        self._trim(MOST_REALTIME_BYTES)

    def confirmed(self, number: int) -> None:
        """Note that the service has what was sent up to there."""
        while self._unconfirmed and self._unconfirmed[0].number <= number:
            self._unconfirmed.popleft()

    def overtake(self, taken: list[Unit], profile: Profile) -> Overtaking:
        """Send units another way, with what may be behind them otherwise."""
        self._trim(max(0, MOST_REALTIME_BYTES - sum(len(unit.data) for unit in taken)))
        units = [*self._unconfirmed, *taken]
        stops = [unit for unit in units if profile.is_emergency(unit.data)]
        self.sent(taken)
        return Overtaking(
            tuple(in_messages(units)),
            tuple(in_messages(stops)),
            taken[-1].number,
            any(profile.resets(unit.data) for unit in taken),
        )

    def _trim(self, most_bytes: int) -> None:
        size = sum(len(unit.data) for unit in self._unconfirmed)
        while size > most_bytes:
            size -= len(self._unconfirmed.popleft().data)


def in_messages(units: Iterable[Unit]) -> list[SendRealtime]:
    """Put units in as few messages as may be.

    In each numbers follow on, the epoch is one, and there are 64 bytes at most.
    """
    messages: list[SendRealtime] = []
    after = (0, 0)
    for number, data, epoch in units:
        last = messages[-1] if messages else None
        if last and (number, epoch) == after and len(last.data) + len(data) <= MOST_REALTIME_BYTES:
            messages[-1] = SendRealtime(last.data + data, epoch, last.first_number)
        else:
            messages.append(SendRealtime(data, epoch, number))
        after = number + 1, epoch
    return messages


def units_of(message: SendRealtime, profile: Profile) -> list[Unit]:
    """Take a message apart again."""
    pieces = profile.pieces(message.data, 1)
    first = message.first_number
    return [Unit(number, data, message.epoch) for number, data in enumerate(pieces, first)]
