"""The serial line in time: bytes leave the driver's buffer no faster than the line carries them."""

from __future__ import annotations

from collections import deque

from usbshare.line.settings import LineSettings
from usbshare.sim.controller import Controller

DRIVER_BUFFER_BYTES = 4096
# What a host's driver buffers while nothing reads; the rest is lost.
REPLY_BUFFER_BYTES = 65536
# Bytes of one batch share the time of the last; a quarter of a millisecond at 115200 baud.
_BATCH_BYTES = 4


class Uart:
    """Both directions between a host's driver and a controller; every call takes the time.

    Outgoing bytes wait in a driver buffer of 4096; a reply reaches the host when its last byte
    has left, as with an adapter set to low latency.
    """

    def __init__(self, controller: Controller, settings: LineSettings) -> None:
        self._controller = controller
        self._settings = settings
        self._driver = bytearray()
        self._line_free_s = 0.0
        self._replies: deque[tuple[float, bytes]] = deque()
        self._reply_bytes = 0
        self._reply_free_s = 0.0

    @property
    def settings(self) -> LineSettings:
        """The settings in force."""
        return self._settings

    def configure(self, settings: LineSettings, now_s: float) -> None:
        """Change the speed of bytes that have not left yet."""
        self.run(now_s)
        self._settings = settings

    def write(self, data: bytes, now_s: float) -> int:
        """Take as many bytes as fit into the driver's buffer and return how many."""
        self.run(now_s)
        if not self._driver:
            self._line_free_s = max(self._line_free_s, now_s)
        taken = data[: self.room]
        self._driver += taken
        return len(taken)

    @property
    def room(self) -> int:
        """How many bytes fit into the driver's buffer."""
        return DRIVER_BUFFER_BYTES - len(self._driver)

    def unsent(self, now_s: float) -> int:
        """Return how many bytes were taken and have not left."""
        self.run(now_s)
        return len(self._driver)

    def discard(self, now_s: float) -> None:
        """Discard bytes that have not left."""
        self.run(now_s)
        self._driver.clear()

    def discard_replies(self) -> None:
        """Discard replies that `read` has not returned."""
        self._replies.clear()
        self._reply_bytes = 0

    def read(self, now_s: float) -> bytes:
        """Return the replies that have arrived."""
        self.run(now_s)
        arrived = bytearray()
        while self._replies and self._replies[0][0] <= now_s:
            arrived += self._replies.popleft()[1]
        self._reply_bytes -= len(arrived)
        return bytes(arrived)

    def run(self, now_s: float) -> None:
        """Run both directions and the controller until `now_s`."""
        byte_s = 1 / self._settings.bytes_per_s
        while self._driver:
            count = self._batch(now_s, byte_s)
            if not count:
                break
            self._line_free_s += count * byte_s
            batch = bytes(self._driver[:count])
            del self._driver[:count]
            self._advance_to(self._line_free_s)
            self._controller.receive(batch, self._line_free_s)
            self._collect(self._line_free_s)
        self._advance_to(now_s)

    def next_event_s(self) -> float | None:
        """Return when `run` is due; None while nothing is under way."""
        times = [self._controller.next_event_s()]
        if self._driver:
            byte_s = 1 / self._settings.bytes_per_s
            times.append(self._line_free_s + min(len(self._driver), _BATCH_BYTES * 4) * byte_s)
        return min((time for time in times if time is not None), default=None)

    def next_reply_s(self) -> float | None:
        """Return when `read` is due; None while no reply is on its way."""
        return self._replies[0][0] if self._replies else None

    def hard_reset(self, now_s: float) -> None:
        """Pull the controller's reset pin."""
        self.run(now_s)
        self._controller.hard_reset(now_s)
        self._collect(now_s)

    def _batch(self, now_s: float, byte_s: float) -> int:
        # The tolerance makes a wake-up at the computed time find its byte despite rounding.
        done = int((now_s - self._line_free_s) / byte_s + 1e-6)
        return max(0, min(done, len(self._driver), _BATCH_BYTES))

    def _advance_to(self, now_s: float) -> None:
        while (due_s := self._controller.next_event_s()) is not None and due_s < now_s:
            self._collect(due_s)
        self._collect(now_s)

    def _collect(self, now_s: float) -> None:
        reply = self._controller.advance(now_s)
        if reply and self._reply_bytes + len(reply) <= REPLY_BUFFER_BYTES:
            start_s = max(now_s, self._reply_free_s)
            self._reply_free_s = start_s + len(reply) / self._settings.bytes_per_s
            self._replies.append((self._reply_free_s, reply))
            self._reply_bytes += len(reply)
