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
        """Return the recorder of a session's program bytes."""
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


# So much is counted together, since this is done for each line of a program.
MOST_UNCOUNTED = 64
COUNT_EVERY_S = 1.0


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
        self._most_uncounted = 1 if keeps_contents else MOST_UNCOUNTED
        self._burst: Burst | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._uncounted: list[bytes] = []
        self._since = self._last_at = 0.0

    def sent(self, data: bytes) -> None:
        """Note bytes that the client sent as a command."""
        now, uncounted = self._clock(), self._uncounted
        if self._burst is None:
            self._burst = Burst(keeps_contents=self._keeps_contents)
            self._look_in(QUIET_S)
        if now - self._since >= COUNT_EVERY_S or len(uncounted) >= self._most_uncounted:
            self._count(self._burst)
            self._since = now
        uncounted.append(data)
        self._last_at = now

    def _count(self, burst: Burst) -> None:
        if not self._uncounted:
            return
        data, commands = b"".join(self._uncounted), len(self._uncounted)
        self._uncounted.clear()
        burst.add(data, self._last_at, commands, self._since)
        if burst.is_long():
            self._burst = Burst(keeps_contents=self._keeps_contents)
            self._tell(burst, goes_on=True)

    def end(self) -> None:
        """Report what was sent last; there will be no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._burst is not None:
            self._count(self._burst)
        burst, self._burst = self._burst, None
        if burst is not None and burst.commands:
            self._tell(burst, goes_on=False)

    def _look_in(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _look(self) -> None:
        if self._burst is not None:
            self._count(self._burst)
        burst, now = self._burst, self._clock()
        if burst is None or burst.is_over(now):
            self.end()
        else:
            self._look_in(max(0.0, burst.last_at + QUIET_S - now))
