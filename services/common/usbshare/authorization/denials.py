"""Reports refused calls in the log and the audit log: at most one per second of each kind."""

from __future__ import annotations

import logging
from collections.abc import Callable

from usbshare.audit.recorder import Audit
from usbshare.base.errors import UsbshareError
from usbshare.base.throttle import Throttle

_log = logging.getLogger(__name__)

PAUSE_S = 1.0
# Whose call, of which method, refused with which error, and why.
_Kind = tuple[str, str, type[UsbshareError], int]


class Refusals:
    """Counts what it leaves out, and says so with the next report."""

    def __init__(self, audit: Audit, clock: Callable[[], float]) -> None:
        self._audit = audit
        self._throttle = Throttle[_Kind](PAUSE_S, clock)

    def note(self, error: UsbshareError, *, who: str, address: str, method: str, port: str) -> None:
        """Report a refused call."""
        # Callers without an identity can only be distinguished by the reason.
        reason = 0 if who else hash(str(error))
        kind = (who or address.rpartition(":")[0], method, type(error), reason)
        if not self._throttle.admits(kind):
            return
        left_out = self._throttle.take_left_out(kind)
        more = f" ({left_out} more of these)" if left_out else ""
        _log.warning("refused %s of %s at %s: %s%s", method, who or "?", address, error, more)
        self._audit.note(
            "refused",
            who=who,
            address=address,
            port=port,
            method=method,
            reason=str(error),
            left_out=left_out,
        )
