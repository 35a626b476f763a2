"""What overtakes a program's bytes: its real-time bytes, and messages that wait for nothing.

A real-time byte goes once and in time, or not at all: what comes late is dropped and counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from usbshare.client.serial.messages import Message, SendRealtime
from usbshare.client.serial.outgoing_messages import UrgentMessages
from usbshare.client.serial.realtime_lane import (
    Overtaking,
    RealtimeLane,
    Unit,
    in_messages,
    units_of,
)
from usbshare.line.profiles import Profile


class UrgentQueue:
    """Numbers real-time bytes and keeps them in order; true while anything waits.

    `realtime_bytes` wait; `dropped_bytes` came at the wrong time to be sent; `reset_number` is that
    of the last real-time byte that resets the machine, 0 for none.
    """

    def __init__(self) -> None:
        self.realtime_bytes = 0
        self.dropped_bytes = 0
        self.reset_number = 0
        self._messages = UrgentMessages()
        self._lane = RealtimeLane()

    def __bool__(self) -> bool:
        return bool(self._messages)

    def begin(self) -> None:
        """Begin a session: nothing of the one before is sent any more."""
        self.dropped_bytes += self.realtime_bytes
        self.realtime_bytes = self.reset_number = 0
        self._messages.clear()
        self._lane.begin()

    def lose_link(self, profile: Profile) -> None:
        """Keep what waits but polls, overrides and signs of life.

        Stops that went out and were not confirmed wait again, for another way.
        """
        self._keep_realtime(profile, profile.is_emergency)
        self._put_realtime([*self._lane.lost(profile), *self._messages.realtime(profile)])
        self._messages.drop_signs_of_life()

    def resume(self, profile: Profile) -> None:
        """Drop all real-time bytes: one that stops or starts a machine must not come late."""
        self._keep_realtime(profile, lambda _: False)
        self._lane.lost(profile)

    def append(self, message: Message) -> None:
        """Add a message that waits for nothing."""
        self._messages.append(message)

    def add(self, realtime: bytes, epoch: int, profile: Profile, *, is_late: bool) -> bool:
        """Add real-time bytes, of which late ones are stops only; returns whether any resets."""
        units = self._lane.number(profile.pieces(realtime, 1), epoch)
        resets = [unit.number for unit in units if profile.resets(unit.data)]
        self.reset_number = max(resets, default=self.reset_number)
        if is_late:
            came, units = units, [unit for unit in units if profile.is_emergency(unit.data)]
            self.dropped_bytes += _size(came) - _size(units)
        self.realtime_bytes += _size(units)
        self._messages.extend(in_messages(units))
        return bool(resets)

    def dropped(self, size: int) -> None:
        """Count real-time bytes that were sent as a program's and must not go again."""
        self.dropped_bytes += size

    def take_emergency(self, profile: Profile) -> Overtaking | None:
        """Take the stops that wait, and what stands before them, for another way; None for none."""
        waiting = self._messages.realtime(profile)
        stops = [profile.is_emergency(unit.data) for unit in waiting]
        if True not in stops:
            return None
        last = len(stops) - stops[::-1].index(True)
        self._put_realtime(waiting[last:])
        return self._lane.overtake(waiting[:last], profile)

    def confirmed(self, number: int) -> None:
        """Note that the service has the real-time bytes that were sent up to that number."""
        self._lane.confirmed(number)

    def has_next(self, *, realtime: bool) -> bool:
        """Return whether a message may go, real-time bytes perhaps not."""
        return self._messages.next(realtime=realtime) is not None

    def take(self, profile: Profile, *, realtime: bool) -> Message | None:
        """Return the next message that may go; None for none."""
        if (index := self._messages.next(realtime=realtime)) is None:
            return None
        message = self._messages[index]
        del self._messages[index]
        if isinstance(message, SendRealtime):
            self.realtime_bytes -= len(message.data)
            self._lane.sent(units_of(message, profile))
        return message

    def _put_realtime(self, units: Iterable[Unit]) -> None:
        """Let these alone wait of the real-time bytes."""
        units = list(units)
        self._messages.put_realtime(units)
        self.realtime_bytes = _size(units)

    def _keep_realtime(self, profile: Profile, is_kept: Callable[[bytes], bool]) -> None:
        """Drop and count all real-time bytes that wait but those."""
        waiting = self._messages.realtime(profile)
        kept = [unit for unit in waiting if is_kept(unit.data)]
        self.dropped_bytes += _size(waiting) - _size(kept)
        self._put_realtime(kept)


def _size(units: Iterable[Unit]) -> int:
    return sum(len(unit.data) for unit in units)
