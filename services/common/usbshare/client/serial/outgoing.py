"""What a link needs of whatever orders what goes to the service."""

from __future__ import annotations

from typing import Protocol

from usbshare.base.time_stats import TimeStats
from usbshare.client.serial.messages import Goodbye, Message, SendCommand
from usbshare.client.serial.send_window import SendWindow
from usbshare.line.credit import Credit
from usbshare.line.profiles import Profile


class Outgoing(Protocol):
    """A program's bytes or lines for one session after another; nothing here waits.

    `results` is how many results of lines have come in this session.
    """

    window: SendWindow
    results: int

    @property
    def waited(self) -> TimeStats:
        """How long what is sent had waited here; empty where that is not measured."""
        ...

    def begin(self, *, epoch: int, profile: Profile) -> None:
        """Start a session: offsets and credit count from 0 again."""

    def lose_link(self) -> None:
        """Keep what a session that may be taken up goes on with."""

    def can_resume(self, accepted_offset: int) -> bool:
        """Return whether we can send what follows there."""
        ...

    def has_sent(self, accepted_offset: int, epoch: int) -> bool:
        """Return whether what was sent ends there, in this epoch: then nothing is to be resumed."""
        ...

    def resume(
        self,
        accepted_offset: int,
        accepted_commands: int,
        *,
        epoch: int,
        profile: Profile,
        age_s: float = 0.0,
    ) -> int:
        """Go on with a session that has what was sent before the offset.

        Returns how many bytes go again.
        """
        ...

    @property
    def unconsumed_bytes(self) -> int:
        """Bytes sent whose fate is not known."""
        ...

    def lose(self) -> int:
        """Give up what was sent and not consumed, and what waits; returns how many bytes."""
        ...

    def pass_through(self, data: bytes, now: float) -> SendCommand | None:
        """Return bytes as a message if they may go at once and nothing waits."""
        ...

    def add_ordered(self, message: Goodbye) -> None:
        """Add a request that must come after what was added before it."""

    def add_urgent(self, message: Message) -> None:
        """Add a message that waits for nothing."""

    def realtime_confirmed(self, number: int) -> None:
        """Note that the service has the real-time bytes that were sent up to that number."""

    def wants_answer(self) -> bool:
        """Return, once until an answer, whether only the network keeps back what waits."""
        ...

    def answered(self, operation_id: int) -> None:
        """Note that settings need not be sent again."""

    def credit(self, credit: Credit) -> bool:
        """Take what the service grants; True if something waits for it."""
        ...

    def wait_s(self, now: float) -> float | None:
        """Return how many seconds until `take` has something; None if it waits for an event."""
        ...

    def take(self, now: float) -> Message:
        """Return the next message; only when `wait_s` said 0."""
        ...
