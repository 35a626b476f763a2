"""What was sent and is not known to be consumed: kept to be sent again after a lost link."""

from __future__ import annotations

from collections import deque

from usbshare.client.serial.messages import Configure


class InFlight(deque[tuple[int, bytes | Configure]]):
    """Pairs of an end offset and what ends there, oldest first; bounded by the credit window.

    Settings end one byte beyond the bytes before them: what came after them was consumed after
    them. Append bytes directly, settings with `configured`.
    """

    def configured(self, offset: int, message: Configure) -> None:
        """Add settings sent after the bytes before `offset`; of neighbours the last counts."""
        if self and isinstance(self[-1][1], Configure):
            self.pop()
        self.append((offset + 1, message))

    def consumed(self, offset: int) -> None:
        """Forget what ends up to there."""
        while self and self[0][0] <= offset:
            self.popleft()

    def void(self) -> None:
        """Forget the program's bytes, not the settings."""
        settings = [entry for entry in self if isinstance(entry[1], Configure)]
        self.clear()
        self.extend(settings)

    def beyond(self, offset: int) -> list[bytes | Configure]:
        """Return, in order, what the other side may lack when it has all bytes before `offset`."""
        return [
            what if isinstance(what, Configure) else _last(what, end - offset)
            for end, what in self
            if end > offset
        ]


def _last(data: bytes, size: int) -> bytes:
    return data if size >= len(data) else type(data)(data[-size:])
