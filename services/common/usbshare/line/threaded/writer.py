"""A thread that writes a bounded buffer to a pyserial port."""

from __future__ import annotations

import threading
from collections.abc import Callable

import serial

from usbshare.line.threaded.serial_url import waiting_output
from usbshare.line.unsent import Unsent

BUFFER_BYTES = 4096
# What a discard can no longer take back where the system cannot abort a write.
_SLICE_BYTES = 256


class SerialWriter:
    """Bounded output of a port; its methods never wait for the port. `on_*` run in the thread."""

    def __init__(
        self, port: serial.Serial, on_room: Callable[[], None], on_error: Callable[[str], None]
    ) -> None:
        self._port = port
        self._on_room = on_room
        self._on_error = on_error
        self._changed = threading.Condition()
        self._waiting = bytearray()
        self._in_flight_bytes = 0
        self._unsent = Unsent()
        self._purges = 0
        self._wants_room = False
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="usbshare-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def write(self, data: bytes) -> int:
        """Take what fits and return how much; less calls `on_room` later."""
        with self._changed:
            taken = min(len(data), BUFFER_BYTES - self._held_bytes())
            self._waiting += data[:taken]
            self._wants_room = self._wants_room or taken < len(data)
            self._changed.notify_all()
        return taken

    def unsent_bytes(self) -> int:
        """Bytes held here or in the driver; what is being written counts once."""
        with self._changed:
            in_driver = waiting_output(self._port) or 0
            if in_driver or not self._in_flight_bytes:  # else it may not have begun
                in_driver = self._unsent.believed(in_driver)
            return len(self._waiting) + max(self._in_flight_bytes, in_driver)

    def is_empty(self) -> bool:
        """Return whether all was handed to the driver."""
        with self._changed:
            return not self._held_bytes()

    def discard(self) -> None:
        """Drop what is held, and hold what comes until `purge` has run."""
        with self._changed:
            self._waiting.clear()
            self._purges += 1

    def purge(self) -> None:
        """Empty the driver's buffer, aborting a write in it; blocks; once for each `discard`."""
        try:
            self._port.reset_output_buffer()
        except (OSError, NotImplementedError) as error:
            self._on_error(str(error))
        with self._changed:
            self._purges -= 1
            self._changed.notify_all()
        self._tell_room()

    def stop(self) -> None:
        """Let the thread end when its write returns."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; blocks; False when it is still there."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while data := self._take_slice():
            try:
                self._port.write(data)
            except Exception as error:  # handlers let through more than OSError when closed
                self._on_error(str(error))
                return
            with self._changed:
                self._in_flight_bytes = 0
            self._tell_room()

    def _take_slice(self) -> bytes:
        """Wait for bytes; none means that the thread shall end."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or (self._waiting and not self._purges))
            if self._stopped:
                return b""
            data = bytes(self._waiting[:_SLICE_BYTES])
            del self._waiting[:_SLICE_BYTES]
            self._in_flight_bytes = len(data)
            self._unsent.wrote(len(data))
            return data

    def _tell_room(self) -> None:
        with self._changed:
            wanted, self._wants_room = self._wants_room, False
        if wanted:
            self._on_room()

    def _held_bytes(self) -> int:
        return len(self._waiting) + self._in_flight_bytes
