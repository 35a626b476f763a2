"""What the program's threads and the link's thread share, under one lock.

Methods of the first part wait and belong to the program; those of the second never wait.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from math import inf

from usbshare.base.errors import UsbshareError
from usbshare.client.serial.messages import DataEvent, OpenedEvent, OperationEvent, RemotePort
from usbshare.client.serial.upstream import READ_AHEAD_BYTES
from usbshare.line.profiles import RAW
from usbshare.line.settings import ModemLines

# Windows delivers Ctrl-C to a thread that waits for a lock only between two waits.
LONGEST_WAIT_S = 0.5
# A quarter of what the service sends ahead of what was taken, with the link's own 32 KiB less.
TELL_BYTES = 16 * 1024
# A quarter of what is read ahead of the service's credit.
ROOM_BYTES = READ_AHEAD_BYTES // 4


class LineLostError(UsbshareError):
    """The session is over; the text says why."""


class LineRefusedError(UsbshareError):
    """Bytes that were written did not reach the device; the text says why."""


class Exchange:
    """One session's bytes and news between the threads; bounded by the session's windows."""

    def __init__(self) -> None:
        self._news = threading.Condition()
        self._opened: OpenedEvent | None = None
        self._port: RemotePort | None = None
        self._lines = ModemLines()
        self._received = bytearray()
        self._received_offset = self._told_offset = 0
        self._cancelled = False
        self._room = self._handed = self._pending = 0
        self._refusal = self._lost = ""
        self._answers: dict[int, OperationEvent | None] = {}

    @property
    def is_lost(self) -> bool:
        """Whether the session is over."""
        return bool(self._lost)

    # The program's side.

    def wait_opened(self, timeout_s: float) -> OpenedEvent:
        """Return how the session began; raises LineLostError when it did not."""
        with self._news:
            self._wait(lambda: self._opened is not None, after(timeout_s))
            if self._opened is None:
                raise LineLostError(f"no session within {timeout_s:g} s")
            return self._opened

    def read(self, size: int, deadline: float, gap_s: float, gap_end: float = inf) -> bytes:
        """Return `size` bytes, or fewer at the deadline, after a gap or a `cancel_read`.

        `gap_end` is when a gap ends that has begun already. Raises LineLostError once the
        session is over and all that came before has been read.
        """
        with self._news:
            self._wait_received(size, deadline, gap_s, gap_end)
            self._cancelled = False
            data = bytes(self._received[:size])
            del self._received[:size]
            if size and not data:
                self._require_session()
            return data

    def cancel_read(self) -> None:
        """End the read that waits, or else the next one."""
        with self._news:
            self._cancelled = True
            self._news.notify_all()

    def waiting_bytes(self) -> int:
        """Return how many bytes can be read at once."""
        with self._news:
            if not self._received:
                self._require_session()
            return len(self._received)

    def taken_news(self) -> int | None:
        """Return the offset up to which bytes were read, None while that is not worth telling."""
        with self._news:
            offset = self._received_offset - len(self._received)
            if offset - self._told_offset < TELL_BYTES:
                return None
            self._told_offset = offset
            return offset

    def reserve(self, most: int, deadline: float) -> int:
        """Wait for room and return for how many bytes there is some, 0 at the deadline.

        Raises LineRefusedError, once, when earlier bytes did not reach the device.
        """
        with self._news:
            if not self._free:
                # A program that is woken for each byte of room would do nothing else.
                self._wait(lambda: bool(self._refusal) or self._free >= ROOM_BYTES, deadline)
            self._raise_refusal()
            size = min(most, self._free)
            self._handed += size
            return size

    def is_realtime(self, data: bytes) -> bool:
        """Return whether all these bytes overtake what is queued."""
        with self._news:
            profile = self._port.profile if self._port else RAW
            return bool(profile.realtime) and profile.is_realtime(data)

    def unsent_bytes(self) -> int:
        """Return how many bytes were written and are not at the device's driver."""
        with self._news:
            self._require_session()
            return self._handed + self._pending

    def wait_sent(self) -> None:
        """Wait until all bytes are at the device's driver; raises as `reserve` does."""
        with self._news:
            self._wait(lambda: bool(self._refusal) or not self._handed + self._pending, inf)
            self._raise_refusal()

    def wait_answer(self, operation_id: int, timeout_s: float) -> OperationEvent | None:
        """Return what became of an operation that `expect` announced, None if unknown."""
        with self._news:
            try:
                self._wait(lambda: self._answers[operation_id] is not None, after(timeout_s))
            finally:
                answer = self._answers.pop(operation_id)
            return answer

    def expect(self, operation_id: int) -> None:
        """Keep the answer to an operation for `wait_answer`."""
        with self._news:
            self._answers[operation_id] = None

    def modem_lines(self) -> ModemLines:
        """Return the modem lines as last reported."""
        with self._news:
            self._require_session()
            return self._lines

    # The link's side.

    def opened(self, event: OpenedEvent) -> None:
        """Let the program know that the session is established."""
        with self._news:
            self._port, self._lines = event.port, event.lines
            self._received_offset = self._told_offset = event.data_offset
            self._opened = event
            self._news.notify_all()

    def deliver(self, event: DataEvent) -> None:
        """Add bytes from the device."""
        with self._news:
            self._received += event.data
            self._received_offset = event.offset + len(event.data)
            self._news.notify_all()

    def skip_to(self, offset: int) -> None:
        """Note that bytes before `offset` will not come any more."""
        with self._news:
            self._received_offset = offset

    def discard_received(self) -> int:
        """Drop what has not been read; returns the offset up to which all is taken now."""
        with self._news:
            self._received.clear()
            self._told_offset = self._received_offset
            return self._received_offset

    def added(self, size: int) -> None:
        """Note that bytes for which room was reserved are in `upstream` now."""
        with self._news:
            self._handed -= size

    def show_upstream(self, room: int, pending: int) -> None:
        """Show how much more may be written, and how much is not at the device's driver."""
        with self._news:
            self._room, self._pending = room, pending
            if self._free >= ROOM_BYTES or not pending:
                self._news.notify_all()

    def answered(self, event: OperationEvent) -> None:
        """Add the answer to an operation, if anybody waits for it."""
        with self._news:
            if event.id in self._answers:
                self._answers[event.id] = event
                self._news.notify_all()

    def show_lines(self, lines: ModemLines) -> None:
        """Show the modem lines."""
        with self._news:
            self._lines = lines

    def show_port(self, port: RemotePort) -> None:
        """Show the port after a change."""
        with self._news:
            self._port = port

    def refuse(self, why: str) -> None:
        """Report to the program at its next write that earlier bytes did not reach the device."""
        with self._news:
            self._refusal = self._refusal or why
            self._news.notify_all()

    def lose(self, why: str) -> None:
        """End all waits; only the first reason counts."""
        with self._news:
            self._lost = self._lost or why
            self._news.notify_all()

    # Helpers, with the lock held.

    @property
    def _free(self) -> int:
        return max(0, self._room - self._handed)

    def _wait(self, condition: Callable[[], bool], deadline: float) -> None:
        while not condition():
            self._require_session()
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._news.wait(min(left, LONGEST_WAIT_S))

    def _wait_received(self, size: int, deadline: float, gap_s: float, gap_end: float) -> None:
        seen = 0
        while len(self._received) < size and not (self._cancelled or self._lost):
            now = time.monotonic()
            if len(self._received) > seen:
                seen, gap_end = len(self._received), now + gap_s
            left = min(deadline, gap_end) - now
            if left <= 0:
                return
            self._news.wait(min(left, LONGEST_WAIT_S))

    def _raise_refusal(self) -> None:
        self._require_session()
        if self._refusal:
            why, self._refusal = self._refusal, ""
            raise LineRefusedError(why)

    def _require_session(self) -> None:
        if self._lost:
            raise LineLostError(self._lost)


def after(timeout_s: float | None) -> float:
    """Return the monotonic time at which a wait of that many seconds ends."""
    return inf if timeout_s is None else time.monotonic() + timeout_s
