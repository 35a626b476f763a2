"""What one session has sent, and how much more it may send."""

from __future__ import annotations

from usbshare.line.credit import Credit

_new_tuple = tuple.__new__  # what a NamedTuple's own does, a Python call less


class Ledger:
    """Counts command bytes and commands from the session's start; limits never fall."""

    def __init__(self, most_commands: int) -> None:
        self._most_commands = most_commands
        self.received_offset = 0
        self._received_commands = 0
        self._told = Credit(0, 0, 0)
        self._due_offset = self._due_commands = 0
        self._must_tell = True

    @property
    def received_commands(self) -> int:
        """Commands received."""
        return self._received_commands

    def tell_again(self) -> None:
        """Forget what the session was sent: it may not have arrived."""
        self._must_tell = True

    def receive(self, size: int) -> None:
        """Note a command of that many bytes."""
        self.received_offset += size
        self._received_commands += 1

    def is_due(self, waiting_commands: int, waiting_bytes: int) -> bool:
        """Return whether the news is worth a separate message: a quarter of either limit."""
        return (
            self.received_offset - waiting_bytes >= self._due_offset
            or self._received_commands - waiting_commands >= self._due_commands
        )

    def tell(self, waiting_commands: int, waiting_bytes: int, window: int) -> Credit | None:
        """Return what to send the session now, given what of it still waits; None for no news."""
        limit, limit_commands, consumed = told = self._told
        consumed_now = self.received_offset - waiting_bytes
        done = self._received_commands - waiting_commands
        # No `max`, which takes thrice as long: this is done for each line of a program.
        consumed = consumed_now if consumed_now > consumed else consumed
        limit_now, commands_now = consumed + window, done + self._most_commands
        limit = limit_now if limit_now > limit else limit
        limit_commands = commands_now if commands_now > limit_commands else limit_commands
        fields = (limit, limit_commands, consumed)
        if fields == told and not self._must_tell:
            return None
        credit = _new_tuple(Credit, fields)
        self._must_tell = False
        self._told = credit
        self._due_offset = consumed + (window // 4 or 1)
        self._due_commands = limit_commands - self._most_commands * 3 // 4
        return credit
