"""What goes to the service ahead of the program's bytes, in the order in which it came."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from usbshare.client.serial.messages import Acknowledge, Heartbeat, Message, SendRealtime
from usbshare.client.serial.realtime_lane import Unit, in_messages, units_of
from usbshare.line.profiles import Profile


class UrgentMessages(deque[Message]):
    """A queue of them; real-time bytes among them can be looked at and replaced."""

    def realtime(self, profile: Profile) -> list[Unit]:
        """Return the real-time bytes that wait."""
        waiting = (each for each in self if isinstance(each, SendRealtime))
        return [unit for each in waiting for unit in units_of(each, profile)]

    def put_realtime(self, units: Iterable[Unit]) -> None:
        """Let these alone wait of the real-time bytes, after all else."""
        others = [message for message in self if not isinstance(message, SendRealtime)]
        self.clear()
        self.extend([*others, *in_messages(units)])

    def drop_signs_of_life(self) -> None:
        """Drop what has its time."""
        kept = [message for message in self if not isinstance(message, Heartbeat | Acknowledge)]
        self.clear()
        self.extend(kept)

    def next(self, *, realtime: bool) -> int | None:
        """Return which message may go, real-time bytes perhaps not."""
        if realtime:
            return 0 if self else None
        may_go = (not isinstance(message, SendRealtime) for message in self)
        return next((index for index, may in enumerate(may_go) if may), None)
