"""Notices that the client in control is gone, has its machine stopped, and waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.line.port_config import LinkLossPolicy
from usbshare.serial_svc.sessions.audit import SessionAudit
from usbshare.serial_svc.sessions.session import Session
from usbshare.serial_svc.stop.hold import HoldCause, Holds
from usbshare.serial_svc.stop.stops import Stops

log = logging.getLogger(__name__)

# Who looks so much later than planned stood still, and what was sent to it meanwhile is unread.
STOOD_STILL_S = 0.25
CATCH_UP_S = 0.5
_WAITED = "it was written before or while the link was lost, or its program missed answers"
_UNTOLD = "its client does not report what waits"


class LinkWatch:
    """Watches a session in control: heard, silent (lost), not taken up in time (ended).

    A session that was lost and came back stays held until its client has said what waits there;
    if anything waits, or the program may have missed an answer, until a person resumes.
    """

    def __init__(
        self,
        session: Session,
        stops: Stops,
        line: Line,
        audit: SessionAudit,
        clock: Callable[[], float],
    ) -> None:
        self._session = session
        self._stops = stops
        self._line = line
        self._audit = audit
        self._clock = clock
        self._is_lost = self._awaits_word = self._is_back_held = False
        self._rested = self._missed = False
        self._timer: asyncio.TimerHandle | None = None
        self._planned_at, self._catches_up = 0.0, False

    @property
    def is_lost(self) -> bool:
        """Whether the client is gone."""
        return self._is_lost

    def begin(self) -> None:
        """Watch from now on."""
        self._look_in(self._line.config.link_timeout_s)

    def taken_up(self, missed_bytes: int) -> None:
        """Watch a client that came back without so many of the device's bytes."""
        self._missed = missed_bytes > 0
        self._is_back_held = self._session.is_held
        self._awaits_word = self._is_back_held and not self._holds.needs_person
        self._is_lost = False
        self.begin()

    def client_waits(self, size: int, age_s: float | None) -> None:
        """Take what a client that came back has for the device: what waited needs a person."""
        session = self._session
        if not session.is_held:
            if not (self._is_back_held and size):
                return
            # A reset of the time away has let it go; what came after that is of then, too.
            session.hold()
            self._needs_person(_WAITED)
        waiting = size + session.waiting()[1]
        if self._awaits_word:
            self._awaits_word = False
            if not waiting and (self._rested or not self._missed):
                session.release()
                return
            self._needs_person(_WAITED)
        self._holds.session_waits(waiting, age_s if size else None)

    def client_lost(self, size: int) -> None:
        """Refuse the program of a client that gave up a part of it, if it is not refused yet."""
        lost_job = self._stops.lost_job
        if size and not lost_job.refuses:
            why = f"its client lost {size} bytes of it"
            lost_job.begin(self._session.client.identity, why, resets=False)

    def lose(self, why: str) -> None:
        """Take the session for lost now: act on the machine, hold its queue, end its stream."""
        if self._is_lost:
            return
        session, line, machine = self._session, self._line, self._stops.machine
        self._is_lost, self._awaits_word = True, False
        rested = machine.rest.was_known(session.hearing.last_heard)
        self._rested = not machine.activity.is_active and rested
        lost = f"lost {session.holder.identity}: {why}"
        self._stops.link_loss.act(lost, is_at_work=not self._rested)
        line.counters.session_lost()
        log.warning("port '%s': lost %s: %s", line.id, session.holder, why)
        self._audit.lost(session.client, why)
        session.detach(f"port '{line.id}': the session is lost: {why}")
        if line.config.resume_window_s > 0:
            self._look_in(line.config.resume_window_s)
        else:
            session.end(why)

    def end(self, *, said_goodbye: bool) -> None:
        """Look at what a session leaves behind that has ended, and watch no more."""
        holds, lost_job = self._holds, self._stops.lost_job
        size = self._session.waiting()[1]
        continues = self._stops.link_loss.policy is LinkLossPolicy.CONTINUE
        in_doubt = self._is_lost and not self._rested and not continues
        must_reset = holds.is_machine_held and not (said_goodbye and holds.began_at_rest)
        is_held = holds.needs_person or must_reset
        holds.session_released()
        if self._timer is not None:
            self._timer.cancel()
        if size or in_doubt or is_held:
            left = f"{size} bytes of it were dropped" if size else "it may be incomplete"
            how = "ended" if said_goodbye else "was lost"
            who = self._session.client.identity
            lost_job.begin(who, f"its session {how}; {left}", resets=must_reset)
        elif said_goodbye:
            self._stops.machine.nothing_left()

    # What stops do to what the session wrote.

    def hold(self) -> None:
        """Let nothing of it go out."""
        self._session.hold()

    def waiting_commands(self) -> int:
        """Return how many of its commands wait."""
        return self._session.waiting()[0]

    def rested(self) -> None:
        """Note that the machine has nothing left to do of it."""
        self._rested = True

    def release(self) -> None:
        """Let what is held go out, if its client is there: a stop left nothing of before."""
        if not self._is_lost:
            self._awaits_word = False
            self._session.release()

    def resume(self) -> None:
        """Let what is held go out, if its client is there: a person decided so."""
        if not self._is_lost:
            self._is_back_held = False
            self.release()

    @property
    def _holds(self) -> Holds:
        return self._stops.machine.holds

    def _needs_person(self, why: str) -> None:
        self._holds.session_held(HoldCause.WAITING, self._session.client.identity, why)

    def _look_in(self, wait_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._planned_at = self._clock() + wait_s
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._look)

    def _stood_still(self) -> bool:
        """Return whether signs of life may lie unread; once, and then not for the next look."""
        is_late = self._clock() - self._planned_at > STOOD_STILL_S
        self._catches_up = is_late and not self._catches_up
        return self._catches_up

    def _look(self) -> None:
        if self._stood_still():
            self._look_in(CATCH_UP_S)
            return
        session = self._session
        if self._is_lost:
            session.end(f"not resumed within {self._line.config.resume_window_s:g} s")
            return
        hearing = session.hearing
        alive_at = hearing.alive_at()
        silent_s = self._clock() - alive_at
        left_s = self._line.config.link_timeout_s - silent_s
        if left_s > 0:
            if self._awaits_word:
                self._awaits_word = False
                self._needs_person(_UNTOLD)
            self._look_in(left_s)
        else:
            is_deaf = alive_at < hearing.last_heard
            what = "it received nothing" if is_deaf else "no message received"
            self.lose(f"{what} for {silent_s:.2f} s")
