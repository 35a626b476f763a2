"""A thread that reads a pyserial port, one chunk ahead of its taker at most."""

from __future__ import annotations

import threading
from collections.abc import Callable

import serial

_CHUNK_BYTES = 4096
_GATHER_STEPS = 32


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
        self._purge_steps = 0
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
        """Make chunks read before now recognisable (an older generation); `purge` must follow."""
        self.generation += 1

    def purge(self) -> None:
        """Empty the system's buffer; blocks; runs in any one thread."""
        self._purge_steps += 1
        try:
            self._port.reset_input_buffer()
        finally:
            self._purge_steps += 1

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
            steps = self._purge_steps
            try:
                data = self._read()
            except Exception as error:  # handlers let through more than OSError when closed
                if self._was_purged_since(steps):
                    continue
                self._on_error(str(error))
                return
            if data:
                self._free.clear()
                self._deliver(self.generation, data)
                self._wait_until_free()

    def _was_purged_since(self, steps: int) -> bool:
        # pyserial takes "readable, but then empty" for a lost device, and a purge looks like that.
        return self._purge_steps != steps or steps % 2 == 1

    def _read(self) -> bytes:
        data = self._port.read(1)
        # A socket says 1 however much is there, so ask again; not for long, on a line that is fast.
        for _ in range(_GATHER_STEPS if data else 0):
            there = min(self._port.in_waiting, _CHUNK_BYTES - len(data))
            if not there:
                break
            data += self._port.read(there)
        return data

    def _wait_until_free(self) -> None:
        # `stop` may have come between the clearing and here.
        while not self._stopped and not self._free.wait(timeout=1):
            pass
