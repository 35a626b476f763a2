"""Waits for what is not there yet: a host that is not up, a port that is away or another's."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable

from usbshare.base.errors import (
    ConnectionRefusedByPeerError,
    DeviceError,
    DrainingError,
    LimitError,
    NotFoundError,
    PortHeldError,
    UsbshareError,
)
from usbshare.bridge.forwarding.report import Reporter
from usbshare.bridge.forwarding.virtual_com_port import client_name
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.link_state import LinkLostError
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

AGAIN_S = 60.0


class Asking:
    """Asks at once, then once a minute: the holder must not be asked at each attempt."""

    def __init__(self, reporter: Reporter, clock: Callable[[], float] = time.monotonic) -> None:
        self._reporter = reporter
        self._clock = clock
        self._asked_at = float("-inf")

    async def ask(self, where: Target, trust: ClientBundle | None, port_id: str) -> None:
        """Ask, unless that was just done; only a failure to ask is reported."""
        if self._clock() - self._asked_at < AGAIN_S:
            return
        self._asked_at = self._clock()
        client = SerialClient(where, trust)
        try:
            told = await client.request_control(port_id, client_name("bridge"))
        except UsbshareError as error:
            self._reporter.event("not_asked", f"the holder was not asked: {error}")
        else:
            if told:
                self._reporter.event("asking", "the holder was asked to hand it over")
        finally:
            await client.close()


FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 5.0
# Each of these may be temporary; what a person must fix is raised at once.
PASSING = (
    ConnectionRefusedByPeerError,
    DeviceError,
    DrainingError,
    LimitError,
    LinkLostError,
    NotFoundError,
    PortHeldError,
)


def wait_until_there(
    attempt: Callable[[], None],
    reporter: Reporter,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Try until an attempt returns; temporary failures are reported, others are raised.

    SIGINT and SIGTERM end it with exit code 0, as they end a bridge.
    """
    wait_s = FIRST_PAUSE_S
    while True:
        _end_by_signal()
        try:
            attempt()
        except PASSING as error:
            _end_by_signal()  # an event loop leaves handlers that do nothing
            reporter.event("waiting", f"{error}; waiting for it", reason=str(error))
        else:
            return
        pause(wait_s)
        wait_s = min(LONGEST_PAUSE_S, 2 * wait_s)


def _end_by_signal() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
