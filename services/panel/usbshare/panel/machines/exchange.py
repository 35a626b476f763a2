"""Matches the lines that were sent to a machine with its replies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from usbshare.base.errors import DeviceError, UsbshareError, WrongStateError
from usbshare.line.flow.replies import Kind
from usbshare.line.machine_report import MachineReport
from usbshare.line.profiles import Profile
from usbshare.panel.machines import firmware_texts
from usbshare.panel.machines.console import Console, Origin
from usbshare.panel.machines.conversation import Conversation, Heard


@dataclass(frozen=True, slots=True)
class Reply:
    """What the firmware replied to lines, the first error or else `ok`, and what it said before."""

    text: str
    said: tuple[str, ...]
    answer_s: float

    @property
    def is_ok(self) -> bool:
        """Whether the firmware took them."""
        return not self.text.lower().startswith("error")


@dataclass(slots=True)
class _Pending:
    """Lines that went together, and how many replies are to come."""

    began: float
    left: int
    shows: bool
    done: asyncio.Future[Reply]
    said: list[str] = field(default_factory=list)
    error: str = ""


class Exchange:
    """One piece of lines at a time; `reported` and `failed` get reports, errors and alarms.

    `calls_off` counts how often what was being done was called off.
    """

    def __init__(
        self,
        console: Console,
        reported: Callable[[MachineReport], None],
        failed: Callable[[str], None],
    ) -> None:
        self._console = console
        self._reported = reported
        self._failed = failed
        self._conversation = Conversation()
        self._pending: _Pending | None = None
        self.calls_off = 0
        self._clock = asyncio.get_running_loop().time

    @property
    def is_waiting(self) -> bool:
        """Whether a line has no reply yet."""
        return self._pending is not None

    def begin(self, lines: int, *, shows: bool) -> asyncio.Future[Reply]:
        """Expect the replies to so many lines; WrongStateError while others have none yet."""
        if self._pending is not None:
            raise WrongStateError("the machine has not replied to the previous line")
        done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        done.add_done_callback(_take_away)
        self._pending = _Pending(self._clock(), lines, shows, done)
        return done

    def call_off(self) -> None:
        """Make tasks that wait for a turn, or send several pieces, send no more."""
        self.calls_off += 1

    def require_meant(self, calls_off: int) -> None:
        """Raise WrongStateError where what began at that count was called off since."""
        if self.calls_off != calls_off:
            raise WrongStateError("it was cancelled: nothing more is sent to the machine")

    async def until_replied(self) -> None:
        """Return once no line waits for its reply."""
        if self._pending is not None:
            await asyncio.wait((self._pending.done,))

    def give_up(self, error: UsbshareError) -> None:
        """Expect no reply any more."""
        pending, self._pending = self._pending, None
        if pending is not None and not pending.done.done():
            pending.done.set_exception(error)

    def reset(self) -> None:
        """Forget a line of the machine that was begun."""
        self._conversation.reset()

    def feed(self, data: bytes, profile: Profile) -> None:
        """Process bytes from the machine."""
        for heard in self._conversation.feed(data, profile):
            self._heard(heard)

    def _heard(self, heard: Heard) -> None:
        if heard.report is not None:
            self._reported(heard.report)
            return
        pending = self._pending
        if heard.is_reply and pending is not None:
            self._reply(pending, heard.text)
            return
        if pending is not None:
            pending.said.append(heard.text)
        is_bad = heard.kind in (Kind.ALARM, Kind.ERROR, Kind.COMPLAINT)
        if heard.text and (pending is None or pending.shows or is_bad):
            origin = Origin.FAILURE if is_bad else Origin.MACHINE
            self._console.add(origin, firmware_texts.explained(heard.text))
        if heard.kind in (Kind.ALARM, Kind.ERROR):
            self._failed(heard.text)
        if heard.kind in (Kind.ALARM, Kind.WELCOME):
            self.give_up(DeviceError(f"the machine says {heard.text}"))

    def _reply(self, pending: _Pending, text: str) -> None:
        pending.left -= 1
        if not text.lower().startswith("ok"):
            pending.error = pending.error or text
            self._failed(text)
        if pending.left:
            return
        self._pending = None
        if not pending.done.done():
            answer_s = self._clock() - pending.began
            pending.done.set_result(Reply(pending.error or text, tuple(pending.said), answer_s))


def _take_away(done: asyncio.Future[Reply]) -> None:
    if not done.cancelled():
        done.exception()  # somebody may wait no longer
