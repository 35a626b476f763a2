"""Notifies systemd that the service is ready, alive or stopping: the protocol of sd_notify(3).

Nothing here waits: a datagram that systemd does not accept at once is dropped, except READY=1,
which is sent until it is accepted. WATCHDOG=1 comes from the event loop, so that systemd notices a
hung one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager

from usbshare.base.watched_task import cancel_all

_log = logging.getLogger(__name__)

RETRY_S = 0.5
# A datagram may be lost to a full queue: the next one comes before systemd gives up.
BEATS_A_PERIOD = 3


class Systemd:
    """Sends to a notification socket; does nothing if `address` is empty."""

    def __init__(self, address: str = "", watchdog_s: float = 0.0) -> None:
        self._address = address
        self._interval_s = watchdog_s / BEATS_A_PERIOD
        self._socket: socket.socket | None = None
        self._telling: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._trouble = ""

    def ready(self) -> None:
        """Report that the service serves, and from now on that its event loop is running."""
        if self._address and not self._is_stopping:
            self._telling = asyncio.create_task(self._keep_telling(), name="tell systemd")

    def stopping(self) -> None:
        """Report that the service ends."""
        if self._address and not self._is_stopping:
            self._is_stopping = True
            self._send("STOPPING=1")

    async def close(self) -> None:
        """Report nothing more."""
        await cancel_all(self._telling)
        if self._socket is not None:
            self._socket.close()

    async def _keep_telling(self) -> None:
        is_told = False
        while not is_told or self._interval_s:
            if is_told:
                self._send("WATCHDOG=1")
            else:
                is_told = self._is_stopping or self._send("READY=1")
            await asyncio.sleep(self._interval_s if is_told else RETRY_S)

    def _send(self, state: str) -> bool:
        """Return whether systemd has accepted it."""
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._socket.setblocking(False)
            self._socket.sendto(state.encode(), _path(self._address))
        except BlockingIOError:
            return False
        except OSError as error:
            self._say(f"{self._address}: {error.strerror or error}")
            return False
        return True

    def _say(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            _log.warning("cannot notify systemd: %s", trouble)


@asynccontextmanager
async def notified_systemd(environment: MutableMapping[str, str]) -> AsyncIterator[Systemd]:
    """Yield the notifier of the systemd that started this process, if that asked for it.

    Removes its variables from the environment: a child would notify as this process.
    """
    address = environment.pop("NOTIFY_SOCKET", "")
    period_us = environment.pop("WATCHDOG_USEC", "")
    watched = environment.pop("WATCHDOG_PID", "")
    if not address.startswith(("/", "@")) or not hasattr(socket, "AF_UNIX"):
        address = ""
    is_watched = period_us.isdecimal() and watched in ("", str(os.getpid()))
    systemd = Systemd(address, int(period_us) / 1e6 if is_watched else 0.0)
    try:
        yield systemd
    finally:
        systemd.stopping()
        await systemd.close()


def _path(address: str) -> str:
    return "\0" + address[1:] if address.startswith("@") else address
