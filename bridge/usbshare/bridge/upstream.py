"""What the program wrote and the service has no credit for yet: bounded, in order.

Pure: time is passed in, nothing here waits. Real-time bytes leave the program's bytes as they
arrive, so that a `!` is seen though a kilobyte waits before it.
"""

from __future__ import annotations

from collections import deque

from usbshare.bridge.messages import (
    Configure,
    Goodbye,
    Message,
    SendCommand,
    SendRealtime,
)
from usbshare.common.credit import Credit
from usbshare.common.gather import LARGEST_CHUNK_BYTES, Gatherer
from usbshare.common.profiles import RAW, Profile

READ_AHEAD_BYTES = 4096
MOST_REALTIME_BYTES = 64


class Upstream:
    """Orders one program's bytes and requests for one session after another."""

    def __init__(self) -> None:
        self._urgent: deque[Message] = deque()
        self._ordered: deque[bytearray | Configure | Goodbye] = deque()
        self._waiting_bytes = 0
        self._realtime_bytes = 0
        self._last_byte = b"\n"
        self._skips_line = False
        self._profile = RAW
        self._epoch = 0
        self.begin(epoch=0, profile=RAW)

    def begin(self, *, epoch: int, profile: Profile) -> None:
        """Start a session: offsets and credit count from 0 again.

        What the program wrote in another epoch is void: `voided_bytes` says how much.
        """
        self._urgent.clear()
        self._realtime_bytes = 0
        self.voided_bytes = self.discard() if epoch != self._epoch else 0
        self._epoch = epoch
        self._profile = profile
        self._credit = Credit(0, 0, 0)
        self._sent_offset = 0
        self._sent_commands = 0
        self._gatherer = Gatherer()

    @property
    def room(self) -> int:
        """How many more bytes of the program may be read now."""
        return max(0, READ_AHEAD_BYTES - self._waiting_bytes - self._realtime_bytes)

    @property
    def waiting_bytes(self) -> int:
        """Bytes read from the program and not sent."""
        return self._waiting_bytes

    @property
    def unconsumed_bytes(self) -> int:
        """Bytes sent whose fate is not known."""
        return self._sent_offset - self._credit.consumed_offset

    def port_changed(self, *, epoch: int, profile: Profile) -> int:
        """Follow the port; what the program wrote in an older epoch is void. Returns how much."""
        self._profile = profile
        if epoch == self._epoch:
            return 0
        self._epoch = epoch
        return self.discard()

    def lose(self) -> int:
        """Give up what was sent and not consumed, and what waits; returns how many bytes.

        Of a G-code program the rest of a line so cut is void too, as it comes.
        """
        in_doubt = self.unconsumed_bytes + self.discard()
        self._sent_offset = self._credit.consumed_offset
        cut = in_doubt > 0 and self._last_byte != b"\n"
        self._skips_line = cut and self._profile.speaks_gcode
        return in_doubt

    def add_program(self, data: bytes) -> None:
        """Take bytes that the program wrote."""
        split = self._profile.split(data)
        if split.reset:
            self.discard()
        for start in range(0, len(split.realtime), MOST_REALTIME_BYTES):
            piece = split.realtime[start : start + MOST_REALTIME_BYTES]
            self._urgent.append(SendRealtime(piece, self._epoch))
            self._realtime_bytes += len(piece)
        program = self._from_a_line_start(split.program)
        if not program:
            return
        if self._ordered and isinstance(self._ordered[-1], bytearray):
            self._ordered[-1] += program
        else:
            self._ordered.append(bytearray(program))
        self._waiting_bytes += len(program)
        self._last_byte = program[-1:]

    def pass_through(self, data: bytes, now: float) -> SendCommand | None:
        """Return the program's bytes as a message if they may go at once and nothing waits.

        None takes nothing: they are for `add_program`.
        """
        if self._ordered or self._urgent or self._skips_line:
            return None
        limit_offset, limit_commands, _ = self._credit
        if self._sent_offset + len(data) > limit_offset or self._sent_commands >= limit_commands:
            return None
        if self._profile.has_realtime(data) or not self._gatherer.is_due(data):
            return None
        self._last_byte = data[-1:]
        return self._command(data, now)

    def add_ordered(self, message: Configure | Goodbye) -> None:
        """Add a request that must come after the bytes before it; the last settings count."""
        last = self._ordered[-1] if self._ordered else None
        if isinstance(last, Configure) and isinstance(message, Configure):
            self._ordered.pop()
        self._ordered.append(message)

    def add_first(self, message: Configure) -> None:
        """Add settings that must be in force before the bytes that wait already."""
        self._ordered.appendleft(message)

    def add_urgent(self, message: Message) -> None:
        """Add a message that waits for nothing."""
        self._urgent.append(message)

    def discard(self) -> int:
        """Drop the program's bytes that have not been sent; returns how many."""
        dropped = self._waiting_bytes
        self._ordered = deque(i for i in self._ordered if not isinstance(i, bytearray))
        self._waiting_bytes = 0
        return dropped

    def credit(self, credit: Credit) -> bool:
        """Take what the service grants; True if bytes wait for it."""
        self._credit = credit
        self._gatherer.acknowledged_offset = credit.consumed_offset
        return self._waiting_bytes > 0

    def wait_s(self, now: float) -> float | None:
        """Return how long until `take` has something; 0 for now, None for until something comes."""
        if self._urgent:
            return 0.0
        if not self._ordered:
            return None
        head = self._ordered[0]
        if not isinstance(head, bytearray):
            return 0.0
        allowed = self._allowed()
        if allowed <= 0:
            return None
        whole = len(head) >= allowed or len(self._ordered) > 1
        return 0.0 if whole else self._gatherer.wait_s(head, now)

    def take(self, now: float) -> Message:
        """Return the next message; only when `wait_s` said 0."""
        if self._urgent:
            message = self._urgent.popleft()
            if isinstance(message, SendRealtime):
                self._realtime_bytes -= len(message.data)
            return message
        head = self._ordered[0]
        if not isinstance(head, bytearray):
            self._ordered.popleft()
            return head
        return self._take_program(head, now)

    def _from_a_line_start(self, program: bytes) -> bytes:
        """Leave out the rest of a line whose beginning was lost."""
        if not self._skips_line:
            return program
        _, end, rest = program.partition(b"\n")
        self._skips_line = not end
        return rest

    def _allowed(self) -> int:
        if self._sent_commands >= self._credit.limit_commands:
            return 0
        return min(LARGEST_CHUNK_BYTES, self._credit.limit_offset - self._sent_offset)

    def _take_program(self, run: bytearray, now: float) -> SendCommand:
        data = bytes(run[: self._allowed()])
        del run[: len(data)]
        if not run:
            self._ordered.popleft()
        self._waiting_bytes -= len(data)
        return self._command(data, now)

    def _command(self, data: bytes, now: float) -> SendCommand:
        offset = self._sent_offset
        self._sent_offset = offset + len(data)
        self._sent_commands += 1
        self._gatherer.sent(self._sent_offset, now)
        return SendCommand(self._sent_commands, offset, data, self._epoch)
