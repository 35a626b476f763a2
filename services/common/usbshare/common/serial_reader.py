"""A thread that reads a pyserial port, one chunk ahead of its taker at most."""

from __future__ import annotations

import threading
from collections.abc import Callable

import serial

_CHUNK_BYTES = 4096


class SerialReader:
    """Input of a port; `deliver` and `on_error` run in the thread.

    After `deliver` nothing is read until `taken` is called, so that what is not taken stays in the
    system's buffer.
    """

    def __init__(
        self,
        port: serial.Serial,
        deliver: Callable[[int, bytes], None],
        on_error: Callable[[str], None],
    ) -> None:
        self._port = port
        self._deliver = deliver
        self._on_error = on_error
        self._free = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="usbshare-reader", daemon=True)
        self.generation = 0

    def start(self) -> None:
        """Start the thread."""
        self._free.set()
        self._thread.start()

    def taken(self) -> None:
        """Let the thread read the next chunk."""
        self._free.set()

    def discard(self) -> None:
        """Make chunks read before now recognisable: they carry an older generation."""
        self.generation += 1

    def stop(self) -> None:
        """Let the thread end when its read returns."""
        self._stopped = True
        self._free.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; blocks; False when it is still there."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped:
            try:
                data = self._read()
            except (
                Exception
            ) as error:  # handlers let through more than OSError when closed under us
                self._on_error(str(error))
                return
            if data:
                self._free.clear()
                self._deliver(self.generation, data)
                self._wait_until_free()

    def _read(self) -> bytes:
        data = self._port.read(1)
        # A socket says 1 however much is there: ask until it says none.
        while data and len(data) < _CHUNK_BYTES and (there := self._port.in_waiting):
            data += self._port.read(min(there, _CHUNK_BYTES - len(data)))
        return data

    def _wait_until_free(self) -> None:
        # `stop` may have come between the clearing and here.
        while not self._stopped and not self._free.wait(timeout=1):
            pass
