"""Closes connections that flood a service with frames, from a separate thread."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from usbshare.rpc.byte_rates import ByteRates, Connection

_log = logging.getLogger(__name__)

LOOK_S = 0.25
# How often to check while there are no connections.
QUIET_LOOK_S = 1.0
# How often to look while somebody floods: a new connection of theirs is ended that soon.
ALARM_LOOK_S = 0.02
ALARM_S = 5.0
SAY_EVERY_S = 60.0
JOIN_TIMEOUT_S = 1.0


class Note(Protocol):
    """Takes note of an event in the audit log."""

    def __call__(self, event: str, *, address: str = "", **fields: object) -> None:
        """Note it; may be called from any thread."""


@contextmanager
def flood_guard(port: int, bytes_per_s: Callable[[], float], note: Note) -> Iterator[None]:
    """End connections to a listening port whose address sends more, while the block lasts.

    Only where the system counts the bytes of each connection, which is Linux.
    """
    if sys.platform != "linux" or port == 0:
        yield
        return
    guard = FloodGuard(port, bytes_per_s, note)
    guard.start()
    try:
        yield
    finally:
        guard.close()


class FloodGuard:
    """Looks at the connections again and again; often while somebody floods."""

    def __init__(self, port: int, bytes_per_s: Callable[[], float], note: Note) -> None:
        self._port = port
        self._bytes_per_s = bytes_per_s
        self._note = note
        self._rates = ByteRates()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flood guard", daemon=True)
        self._alarm_until = float("-inf")
        self._is_quiet = False
        self._said: dict[str, float] = {}

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._closed.set()
        self._thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        # The module reads /proc, which only Linux has.
        from usbshare.rpc.linux_connections import (  # noqa: PLC0415
            accepted_connections,
            end_connection,
        )

        while not self._closed.wait(self._pause_s()):
            try:
                found = accepted_connections(self._port)
                self._is_quiet = not found
                greedy = self._rates.over_limit(found, self._bytes_per_s(), time.monotonic())
                for each in greedy:
                    end_connection(each)
                self._say(greedy)
            except Exception:  # whatever it is, the service goes on, and the next look may do
                _log.exception("cannot inspect the connections to port %d", self._port)

    def _pause_s(self) -> float:
        if time.monotonic() < self._alarm_until:
            return ALARM_LOOK_S
        return QUIET_LOOK_S if self._is_quiet else LOOK_S

    def _say(self, ended: list[Connection]) -> None:
        if not ended:
            return
        now = time.monotonic()
        self._alarm_until = now + ALARM_S
        self._said = {host: at for host, at in self._said.items() if now - at < SAY_EVERY_S}
        for host in {each.host for each in ended} - self._said.keys():
            self._said[host] = now
            rate = self._bytes_per_s()
            _log.warning(
                "closed a connection from %s, which sent more than %.0f bytes per second",
                host,
                rate,
            )
            self._note("connection ended", address=host, reason="sent too fast", limit=rate)
