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
)
from usbshare.bridge.joined.report import Reporter
from usbshare.client.serial.link_state import LinkLostError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 5.0
# Each of these may pass by itself; what a person must mend is raised at once.
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
    """Try until an attempt returns; what passes by itself is told, what does not is raised.

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
