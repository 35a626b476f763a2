"""What sessions write to the audit log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from usbshare.audit.bursts import QUIET_S, Burst
from usbshare.line.settings import LineSettings
from usbshare.serial_svc.sessions.client import Client


class SessionAudit(Protocol):
    """Who notes what becomes of sessions; nothing here waits or fails."""

    def sending(self, client: Client) -> Sending:
        """Return what takes note of the program bytes of a session."""
        ...

    def opened(self, client: Client) -> None:
        """Note a session that opened."""

    def resumed(self, client: Client, address: str) -> None:
        """Note that a client came back to its session, perhaps from another address."""

    def lost(self, client: Client, why: str) -> None:
        """Note that the client in control is gone."""

    def closed(self, client: Client, dropped_commands: int) -> None:
        """Note the end of a session."""

    def taken(self, client: Client, holder: Client) -> None:
        """Note that a client took control from the holder."""

    def configured(self, client: Client, before: LineSettings, settings: LineSettings) -> None:
        """Note other settings of the line."""


class Sending:
    """The bursts of one session; each is reported once it is over."""

    def __init__(
        self,
        clock: Callable[[], float],
        tell: Callable[..., None],
        *,
        keeps_contents: bool,
    ) -> None:
        self._clock = clock
        self._tell = tell
        self._keeps_contents = keeps_contents
        self._burst: Burst | None = None
        self._timer: asyncio.TimerHandle | None = None

    def sent(self, data: bytes) -> None:
        """Note bytes that the client sent as a command."""
        burst = self._burst
        if burst is None:
            burst = self._burst = Burst(keeps_contents=self._keeps_contents)
            self._look_in(QUIET_S)
        burst.add(data, self._clock())
        if burst.is_long():
            self._burst = Burst(keeps_contents=self._keeps_contents)
            self._tell(burst, goes_on=True)

    def end(self) -> None:
        """Report what was sent last; there will be no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        burst, self._burst = self._burst, None
        if burst is not None and burst.commands:
            self._tell(burst, goes_on=False)

    def _look_in(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        burst, now = self._burst, self._clock()
        if burst is None or burst.is_over(now):
            self.end()
        else:
            self._look_in(max(0.0, burst.last_at + QUIET_S - now))
