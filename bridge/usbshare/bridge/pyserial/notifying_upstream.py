"""What a program wrote to a remote port, on its way; tells of credit."""

from __future__ import annotations

from collections.abc import Callable

from usbshare.client.serial.upstream import Upstream
from usbshare.line.credit import Credit


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
