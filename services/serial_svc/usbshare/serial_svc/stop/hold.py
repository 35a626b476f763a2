"""Why a port's machine, or what waits for it, does not continue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from math import inf

from usbshare.line.alarm_texts import after_reset, needs_reset
from usbshare.line.profiles import Profile, StopAction
from usbshare.serial_svc.stop.activity import SETTLED_S


class HoldCause(Enum):
    """Why something is held."""

    LINK_LOSS = "link loss"
    WAITING = "waiting"
    STOP = "stop"
    PROGRAM = "program"
    MACHINE = "machine"
    ALARM = "alarm"
    LINE_ERROR = "line error"


@dataclass(frozen=True, slots=True)
class Hold:
    """A machine, or what waits for it, that does not continue automatically; `since` is UTC."""

    cause: HoldCause
    who: str
    since: datetime
    reason: str = ""
    waiting_bytes: int = 0
    waiting_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class SeenHold:
    """What a person saw who decided to resume: the epoch, and the number of the last hold."""

    epoch: int
    number: int


MACHINE = "the machine"
UNCONFIRMED = "the machine was asked and has not reported its state"
_RESUMING = b"Door:3"
_HELD = (b"Hold", b"Door")
_ALARM = b"Alarm"


class Holds:
    """What is held on one port; `number` rises with every hold, also of what is held already.

    A lost session's hold ends by a person alone. Any other is the machine's: what it reports of
    itself counts, unless the report crossed with what was sent. So a resume does not end it where
    the machine reports its state: it may have ignored it. `began_at_rest`: the machine held itself
    with nothing left to do, as when its lid is opened after a job. `was_resumed`: what is held was
    commanded to continue. `on_command` is called after each command to hold or to continue.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        on_change: Callable[[], None],
        utc: Callable[[], datetime] = lambda: datetime.now(UTC),
        on_command: Callable[[], None] = lambda: None,
    ) -> None:
        self.number = 0
        self.machine_state = ""
        self.began_at_rest = False
        self.was_resumed = False
        self._clock = clock
        self._utc = utc
        self._on_change = on_change
        self._on_command = on_command
        self._session: Hold | None = None
        self._machine: Hold | None = None
        self._changed_at = -inf
        self._is_unconfirmed = False

    @property
    def current(self) -> Hold | None:
        """The current hold of the port; None if there is none."""
        if self._session is None and self._machine is not None and self._is_unconfirmed:
            reason = "; ".join(filter(None, (self._machine.reason, UNCONFIRMED)))
            return replace(self._machine, reason=reason)
        return self._session or self._machine

    @property
    def is_machine_held(self) -> bool:
        """Whether the machine itself is known to be held, in the midst of something perhaps."""
        held = self._machine
        return held is not None and held.cause is not HoldCause.ALARM

    @property
    def needs_person(self) -> bool:
        """Whether what a lost session queued waits for a person."""
        return self._session is not None

    def session_held(self, cause: HoldCause, who: str, reason: str) -> None:
        """Note that what a lost session wrote waits; the first loss counts."""
        if self._session is None:
            self.number += 1
            self._session = Hold(cause, who, self._utc(), reason)
            self._on_change()

    def lines_held(self, reason: str) -> None:
        """Note that what a session wrote waits, since the firmware rejected a line of it.

        The first cause counts.
        """
        self.number += 1
        if self._session is None:
            self._session = Hold(HoldCause.LINE_ERROR, MACHINE, self._utc(), reason)
        self._on_change()

    def session_waits(self, size: int, age_s: float | None) -> None:
        """Note how much waits."""
        held = self._session
        if held is not None and (held.waiting_bytes, held.waiting_age_s) != (size, age_s):
            self._session = replace(held, waiting_bytes=size, waiting_age_s=age_s)
            self._on_change()

    def machine_held(self, cause: HoldCause, who: str, reason: str = "") -> None:
        """Note that the machine was commanded to hold."""
        self._changed_at = self._clock()
        self.was_resumed = False
        self.number += 1
        if self._machine is None or self._machine.cause is HoldCause.MACHINE:
            self.began_at_rest = False
            self._machine = Hold(cause, who, self._utc(), reason)
        self._on_change()
        self._on_command()

    def machine_resumed(self, *, will_report: bool) -> None:
        """Note that the machine was commanded to continue; with `will_report` it says whether."""
        if not will_report:
            self._changed_at = self._clock()
            self._change(None)
        elif self._machine is not None:
            self.was_resumed = True
            self._on_command()

    def machine_unconfirmed(self) -> None:
        """Note that the machine was asked, and has not reported what a command did."""
        if self._machine is not None and not self._is_unconfirmed:
            self._is_unconfirmed = True
            self._on_change()

    def session_released(self) -> None:
        """Note that what a session wrote goes on, or is void."""
        if self._session is not None:
            self._session = None
            self._on_change()

    def cleared(self) -> None:
        """Note that nothing is left to be held: a reset, a stop, another device."""
        had = self.current
        self._changed_at = self._clock()
        self._session = self._machine = None
        self._is_unconfirmed = self.was_resumed = False
        if had is not None:
            self._on_change()

    def forget_machine(self) -> None:
        """Forget what a machine that is gone said."""
        self.machine_state = ""
        self.cleared()

    def realtime(self, profile: Profile, data: bytes, who: str) -> None:
        """Note what a client's real-time bytes do to the machine, in their order."""
        if not profile.hold_keeps_program:
            return  # its hold throws moves away, and it goes on with the next line
        plans = profile.stops
        holds = (plans.get(StopAction.HOLD), plans.get(StopAction.SAFETY_DOOR))
        resume = plans.get(StopAction.RESUME)
        for unit in profile.pieces(data, 1):
            if any(plan is not None and plan.data == unit for plan in holds):
                self.machine_held(HoldCause.PROGRAM, who)
            elif resume is not None and resume.data == unit:
                self.machine_resumed(will_report=profile.reports_state)

    def alarmed(self, words: str) -> None:
        """Note an alarm that the machine told of, such as `ALARM:1`.

        After a hard limit GRBL reports nothing more until it is reset.
        """
        self._changed_at = self._clock()
        held = self._machine
        if held is None or held.cause is not HoldCause.ALARM:
            self.number += 1
            held = Hold(HoldCause.ALARM, MACHINE, self._utc())
        self._change(replace(held, reason=words))

    def greeted(self) -> None:
        """Note that the machine was reset; what it reports then says how it is."""
        held = self._machine
        if held is not None and held.cause is HoldCause.ALARM and needs_reset(held.reason):
            self._change(replace(held, reason=after_reset(held.reason)))

    def reported(self, state: bytes, begun_at: float, *, at_rest: bool = False) -> None:
        """Note the state that the machine reports, such as `Hold:0`; `begun_at` is monotonic.

        `at_rest`: it was known to rest before that.
        """
        if begun_at - self._changed_at < SETTLED_S:
            return
        told = state.decode("ascii", errors="replace")
        self.machine_state = told
        if self._is_unconfirmed:
            self._is_unconfirmed = False
            self._on_change()
        name = state.partition(b":")[0]
        held = self._machine
        if name in _HELD and state != _RESUMING:
            if held is None or held.cause is HoldCause.ALARM:
                self.began_at_rest = at_rest
                self.number += 1
                self._change(Hold(HoldCause.MACHINE, MACHINE, self._utc(), told))
        elif name == _ALARM:
            if held is None or held.cause is not HoldCause.ALARM:
                self.number += 1
                self._change(Hold(HoldCause.ALARM, MACHINE, self._utc(), told))
        elif held is not None:
            self._change(None)

    def _change(self, held: Hold | None) -> None:
        if held is not self._machine:
            self._machine, self._is_unconfirmed, self.was_resumed = held, False, False
            self._on_change()
