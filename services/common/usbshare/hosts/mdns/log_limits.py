"""What python-zeroconf logs, held within bounds: strangers' packets cause it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from usbshare.base.throttle import Throttle

_LINES_A_MINUTE, _MINUTE_S = 5, 60.0
_MOST_CHARACTERS = 200


class Quiet(logging.Filter):
    """Lets few lines through, short and without tracebacks; of DEBUG all, as it was asked for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._throttle = Throttle[None](_MINUTE_S, clock, most=_LINES_A_MINUTE)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether it may be seen."""
        if record.levelno <= logging.DEBUG:
            return True
        record.msg, record.args = f"mDNS: {record.getMessage()[:_MOST_CHARACTERS]}", ()
        record.exc_info = record.exc_text = None
        return self._throttle.admits(None)


@contextmanager
def quieted() -> Iterator[None]:
    """Hold the library's log within bounds meanwhile."""
    logger, quiet = logging.getLogger("zeroconf"), Quiet()
    logger.addFilter(quiet)
    try:
        yield
    finally:
        logger.removeFilter(quiet)
