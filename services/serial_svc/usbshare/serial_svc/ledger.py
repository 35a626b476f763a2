"""What one session has sent, and how much more it may send."""

from __future__ import annotations

from usbshare.common.credit import Credit


class Ledger:
    """Counts command bytes and commands from the session's start; limits never fall."""

    def __init__(self, most_commands: int) -> None:
        self._most_commands = most_commands
        self.received_offset = 0
        self._received_commands = 0
        self._told = Credit(0, 0, 0)

    def receive(self, size: int) -> None:
        """Note a command of that many bytes."""
        self.received_offset += size
        self._received_commands += 1

    def credit(self, waiting_commands: int, waiting_bytes: int, window: int) -> Credit:
        """Return what the session may send, given what of it still waits."""
        consumed = self.received_offset - waiting_bytes
        done = self._received_commands - waiting_commands
        return Credit(
            limit_offset=max(self._told.limit_offset, consumed + window),
            limit_commands=max(self._told.limit_commands, done + self._most_commands),
            consumed_offset=max(self._told.consumed_offset, consumed),
        )

    def is_due(self, credit: Credit, window: int) -> bool:
        """Tell whether the news is worth a message of its own: a quarter of either limit."""
        freed_bytes = credit.consumed_offset - self._told.consumed_offset
        freed_commands = credit.limit_commands - self._told.limit_commands
        return freed_bytes * 4 >= window or freed_commands * 4 >= self._most_commands

    def tell(self, credit: Credit) -> bool:
        """Note that the session is told now; False when it would be no news."""
        news = credit != self._told
        self._told = credit
        return news
