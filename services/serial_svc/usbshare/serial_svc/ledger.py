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

    def is_due(self, waiting_commands: int, waiting_bytes: int, window: int) -> bool:
        """Tell whether the news is worth a message of its own: a quarter of either limit."""
        freed_bytes = self.received_offset - waiting_bytes - self._told.consumed_offset
        done = self._received_commands - waiting_commands
        freed_commands = done + self._most_commands - self._told.limit_commands
        return freed_bytes * 4 >= window or freed_commands * 4 >= self._most_commands

    def tell(self, waiting_commands: int, waiting_bytes: int, window: int) -> Credit | None:
        """Return what to tell the session now, given what of it still waits; None for no news."""
        told = self._told
        consumed = max(told.consumed_offset, self.received_offset - waiting_bytes)
        done = self._received_commands - waiting_commands
        credit = Credit(
            max(told.limit_offset, consumed + window),
            max(told.limit_commands, done + self._most_commands),
            consumed,
        )
        if credit == told:
            return None
        self._told = credit
        return credit
