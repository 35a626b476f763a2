"""What a program writes to a remote port, on its way: many small writes as one, news of credit.

The link's thread is woken once for each run, not once for each write.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from usbshare.client.serial.upstream import Upstream
from usbshare.line.credit import Credit


class WrittenRuns:
    """Runs of written bytes; `post` has the link's thread call something, in order.

    `on_run` is called there with each run. `end_run` and `add` may be called by any thread.
    """

    def __init__(self, post: Callable[..., None], on_run: Callable[[bytes], None]) -> None:
        self._post = post
        self._on_run = on_run
        self._lock = threading.Lock()
        self._run: bytearray | None = None

    def add(self, data: bytes) -> None:
        """Hand bytes over after those before; raises what `post` raises."""
        with self._lock:
            if self._run is not None:
                self._run += data
                return
            run = bytearray(data)
            self._post(self._take, run)
            self._run = run

    def end_run(self) -> None:
        """Let bytes that are written from now on come after what is posted from now on."""
        with self._lock:
            self._run = None

    def _take(self, run: bytearray) -> None:
        with self._lock:
            if self._run is run:
                self._run = None
        self._on_run(bytes(run))


class ToldUpstream(Upstream):
    """Calls `on_credit` after each credit."""

    def __init__(self, on_credit: Callable[[], None]) -> None:
        super().__init__()
        self._on_credit = on_credit

    def credit(self, credit: Credit) -> bool:
        """Take what the service grants, and tell of it."""
        is_awaited = super().credit(credit)
        self._on_credit()
        return is_awaited
