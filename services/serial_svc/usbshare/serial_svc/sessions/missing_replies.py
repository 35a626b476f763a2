"""Notices lost replies: the machine is idle and has not replied to a line.

GRBL says so in its reports, Marlin and its kin by `wait` where they are built to. Others say `busy`
while they work (Marlin's host keepalive), or nothing: these are waited for as long as a line may
take. A reply is never guessed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from usbshare.line.flow.gcode_line import dwell_s, marlin_dwell_s
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.sessions.line_queue import Entry, LineQueue

LOOK_S = 1.0
LOST_S = 4.0
ASK_AFTER_S = 2.0
# Marlin says every 2 s that it is busy, unless it is built or told otherwise (M113).
NOT_BUSY_S = 20.0
# Of firmware that never said so. A long move, homing or heating may take minutes.
NOTHING_SAID_S = 300.0
NO_REPLY_S = 1800.0
SILENT_S = 10.0  # what is owed to lines that are void is not waited for any longer
_STATUS = b"?"
_IDLE = re.compile(rb"<Idle\b|wait$")
_FREE = re.compile(rb"\|Bf:\d+,(\d+)")


class MissingReplies:
    """Follows how long an idle machine has owed replies, and asks GRBL for its state meanwhile.

    `look` is called once a second while something is awaited; it says whether that is so still.
    """

    def __init__(
        self,
        line: Line,
        queue: LineQueue,
        clock: Callable[[], float],
        look: Callable[[float], bool],
    ) -> None:
        self._line = line
        self._queue = queue
        self._clock = clock
        self._look = look
        self._asks = False
        self._idle_since: float | None = None
        self._replied_at = self._reported_at = self._alive_at = 0.0
        self._busy_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, *, reports: bool) -> None:
        """Watch firmware that reports its state when it is asked, or one that does not."""
        self._asks = reports

    def ask(self) -> None:
        """Ask the machine for its state, if it can say it."""
        if self._asks:
            self._line.writer.polite(_STATUS)

    def expect(self) -> None:
        """Note that something is awaited."""
        if self._timer is None:
            self.replied()
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._due)

    def rest(self) -> None:
        """Note that nothing is awaited."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def replied(self) -> None:
        """Note a reply."""
        self._replied_at, self._idle_since = self._clock(), None

    def reported(self, text: bytes, buffer_bytes: int, now: float) -> None:
        """Note what the machine says of itself."""
        self._reported_at = now
        free = _FREE.search(text)
        is_empty = free is None or int(free[1]) >= buffer_bytes
        if not (_IDLE.match(text) and is_empty) or self._queue.given:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now

    def alive(self, now: float) -> None:
        """Note that the machine said something."""
        self._alive_at = now

    def busy(self, now: float) -> None:
        """Note that the machine says that it is at work, as it does until it replies."""
        self._busy_at = now

    def why_lost(self, now: float) -> str:
        """Return what was lost, empty while it may still come."""
        expected = self._queue.expected
        lines = [each for each in expected if isinstance(each, Entry)]
        if expected and not lines and now - max(self._alive_at, self._replied_at) >= SILENT_S:
            return f"the machine has been silent for {SILENT_S:g} s"
        if not expected:
            return ""
        rest_s = dwell_s if self._asks else marlin_dwell_s
        rests_s = sum(rest_s(each.wire) for each in lines)
        oldest = f", the oldest of them '{lines[0].text}'" if lines else ""
        if self._idle_since is None:
            found = "" if self._asks else self._why_given_up(now - rests_s)
            return found and f"{found}{oldest}: a reply was lost on its line, or it hangs"
        if now - self._idle_since < LOST_S + rests_s:
            return ""
        return (
            f"the machine is idle, and has not replied to {len(expected)} lines{oldest}: a reply "
            "was lost on its line"
        )

    def _why_given_up(self, now: float) -> str:
        """Return why firmware that does not say whether it is idle is waited for no longer."""
        silent_s = now - max(self._alive_at, self._replied_at)
        if self._busy_at is not None and now - max(self._busy_at, self._replied_at) >= NOT_BUSY_S:
            said = f"for {NOT_BUSY_S:g} s the machine has neither replied nor said that it is busy"
        elif silent_s >= NOTHING_SAID_S:
            said = f"the machine has said nothing for {NOTHING_SAID_S:g} s"
        elif now - self._replied_at >= NO_REPLY_S:
            said = f"the machine has not replied for {NO_REPLY_S:g} s"
        else:
            return ""
        return f"{said}, with {len(self._queue.expected)} lines unanswered"

    def _due(self) -> None:
        self._timer, now = None, self._clock()
        if not self._look(now):
            return
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._due)
        is_late = now - self._replied_at >= ASK_AFTER_S and now - self._reported_at >= LOOK_S
        if is_late and self._queue.expected:
            self.ask()
