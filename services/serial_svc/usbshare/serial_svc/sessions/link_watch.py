"""Notices that the client in control is gone, stops its machine, and waits for it to come back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from usbshare.base.errors import DeviceError
from usbshare.line.profiles import StopAction
from usbshare.serial_svc.line.latch import LatchCause
from usbshare.serial_svc.line.port_config import LinkLossPolicy
from usbshare.serial_svc.stop.hold import HoldCause, Holds
from usbshare.serial_svc.stop.known_rest import KnownRest
from usbshare.serial_svc.stop.link_loss import action_of, policy_of
from usbshare.serial_svc.stop.lost_job import LostJob

if TYPE_CHECKING:
    from usbshare.serial_svc.ports.port import SerialPort
    from usbshare.serial_svc.sessions.session import Session

log = logging.getLogger(__name__)

WHO = "link-loss policy"
# Who looks so much later than planned stood still, and what was sent to it meanwhile is unread.
STOOD_STILL_S = 0.25
CATCH_UP_S = 0.5
_WAITED = "it was written before or during a lost link, or its program missed answers"
_UNTOLD = "its client does not report what waits"


class LinkWatch:
    """Watches one port's control session: heard, silent (lost), not taken up in time (ended).

    A session that was lost and came back stays held until its client has said what waits there;
    if anything waits, or the program may have missed an answer, until a person resumes.
    """

    def __init__(self, port: SerialPort, clock: Callable[[], float]) -> None:
        self.rest = KnownRest()
        self.holds = Holds(clock, port.changed)
        self.lost_job = LostJob(port, clock)
        self._port = port
        self._clock = clock
        self._session: Session | None = None
        self._is_lost = self._awaits_word = self._is_back_held = False
        self._rested = self._missed = False
        self._timer: asyncio.TimerHandle | None = None
        self._planned_at, self._catches_up = 0.0, False

    @property
    def is_lost(self) -> bool:
        """Whether the session in control is lost."""
        return self._is_lost

    @property
    def needs_person(self) -> bool:
        """Whether what is held waits for a person."""
        return self.holds.needs_person

    @property
    def refuses(self) -> bool:
        """Whether program bytes are refused: latched, or a lost job's machine is to be reset."""
        return self._port.latch.record is not None or self.lost_job.must_reset

    def why_refused(self) -> str:
        """Return why program bytes are refused, and what to do."""
        name, record = f"port '{self._port.id}'", self._port.latch.record
        if record is None:
            return f"{name} has lost a job; its machine is being reset first"
        if record.cause is LatchCause.JOB_LOST:
            return f"{name} has lost a job; re-arm it or reset the machine first: {record}"
        return f"{name} is latched by a stop; re-arm it first: stopped by {record}"

    @property
    def is_at_work(self) -> bool:
        """Whether the machine may be running a job, as far as the program in control knows."""
        return self._port.activity.is_active or not self.rest.is_known

    # Sessions.

    def begin(self, session: Session, missed_bytes: int = 0) -> None:
        """Watch a session that took control, or came back without so many of the device's bytes."""
        is_back = session is self._session
        self._missed = missed_bytes > 0
        self._is_back_held = is_back and session.is_held
        self._awaits_word = self._is_back_held and not self.needs_person
        self._session, self._is_lost = session, False
        self._look_in(self._port.config.link_timeout_s)

    def client_waits(self, session: Session, size: int, age_s: float | None) -> None:
        """Take what a client that came back has for the device: what waited needs a person."""
        if session is not self._session:
            return
        if not session.is_held:
            if not (self._is_back_held and size):
                return
            # A reset of the time away has let it go; what came after that is of then, too.
            session.hold()
            self.holds.session_held(HoldCause.WAITING, session.client.identity, _WAITED)
        waiting = size + session.waiting()[1]
        if self._awaits_word:
            self._awaits_word = False
            if not waiting and (self._rested or not self._missed):
                session.release()
                return
            self.holds.session_held(HoldCause.WAITING, session.client.identity, _WAITED)
        self.holds.session_waits(waiting, age_s if size else None)

    def client_lost(self, session: Session, size: int) -> None:
        """Refuse the program of a client that gave up a part of it, if it is not refused yet."""
        if session is self._session and size and not self.refuses:
            why = f"its client lost {size} bytes of it"
            self.lost_job.begin(session.client.identity, why, resets=False)

    def acknowledged(self, session: Session, offset: int) -> None:
        """Note how many of the device's bytes the client in control has."""
        if session is self._session and self.rest.acknowledged(offset, self._clock()):
            self._port.crash_recovery.note_now()

    def ends(self, session: Session, *, said_goodbye: bool) -> None:
        """Look at what a session in control leaves behind, before it is forgotten."""
        if session is not self._session:
            return
        size = session.waiting()[1]
        continues = self._policy() is LinkLossPolicy.CONTINUE
        in_doubt = self._is_lost and not self._rested and not continues
        must_reset = self.holds.is_machine_held and not (said_goodbye and self.holds.began_at_rest)
        is_held = self.needs_person or must_reset
        self._session = None
        self.holds.session_released()
        if self._timer is not None:
            self._timer.cancel()
        if size or in_doubt or is_held:
            left = f"{size} bytes of it were dropped" if size else "it may be incomplete"
            how = "ended" if said_goodbye else "was lost"
            self.lost_job.begin(
                session.client.identity, f"its session {how}; {left}", resets=must_reset
            )
        elif said_goodbye:
            self.nothing_left()

    def lose(self, why: str) -> None:
        """Take the session for lost now: act on the machine, hold its queue, end its stream."""
        session, port = self._session, self._port
        if session is None or self._is_lost:
            return
        self._is_lost, self._awaits_word = True, False
        self._rested = not port.activity.is_active and self.rest.was_known(session.last_heard)
        self.act(f"lost {session.holder.identity}: {why}", is_at_work=not self._rested)
        port.counters.lost_sessions += 1
        log.warning("port '%s': lost %s: %s", port.id, session.holder, why)
        port.audit.lost(session.client, why)
        session.detach(f"port '{port.id}': the session is lost: {why}")
        if port.config.resume_window_s > 0:
            self._look_in(port.config.resume_window_s)
        else:
            session.end(why)

    def act(self, why: str, *, is_at_work: bool) -> asyncio.Task[None] | None:
        """Act on a machine that is running a job by the port's policy, and hold what is queued.

        Returns what acts, None if nothing is to be done.
        """
        port, session, policy = self._port, self._session, self._policy()
        if policy is LinkLossPolicy.CONTINUE:
            return None
        if session is not None:
            session.hold()
        action = action_of(policy)
        if action is None or action not in port.profile.stops:
            return None
        if not is_at_work or not port.is_open:
            return None
        port.counters.link_loss_actions += 1
        acting = port.run(self._stop(action, why), action.value)
        if action is StopAction.EMERGENCY_STOP:
            return acting
        if port.profile.hold_keeps_program:
            self.holds.machine_held(HoldCause.LINK_LOSS, WHO, why)
            if session is not None:
                self.holds.session_held(HoldCause.LINK_LOSS, WHO, why)
        else:
            self.lost_job.begin(WHO, f"{why}; the firmware threw moves away", resets=True)
        return acting

    # People and machines.

    def may_resume(self) -> bool:
        """Return whether a resume has bytes for the machine; False if only the queue is held.

        Raises PortLatchedError for a lost job, DeviceError while the client is away.
        """
        self.lost_job.refuse_resume()
        hold, profile = self.holds.current, self._port.profile
        is_left_alone = hold is not None and hold.cause is HoldCause.WAITING
        if not self.needs_person or not is_left_alone or profile.reports_state:
            return True
        if self._is_lost:
            raise DeviceError(
                f"port '{self._port.id}': its client is away; what waits needs another resume "
                "once the client is back"
            )
        return False

    def stop_sent(self, action: StopAction, who: str) -> None:
        """Note a stop whose bytes are on their way to the machine."""
        is_hold = action in (StopAction.HOLD, StopAction.SAFETY_DOOR)
        if not is_hold or who == WHO:
            return
        if self._port.profile.hold_keeps_program:
            self.holds.machine_held(HoldCause.STOP, who)
        elif self.is_at_work:
            why = f"{action.value}: the firmware threw moves away"
            self.lost_job.begin(who, why, resets=True)

    def person_resumed(self) -> None:
        """Let what was held for a person go out, if its client is there to follow it up."""
        self.holds.machine_resumed()
        session = self._session
        if session is not None and not self._is_lost:
            self._awaits_word = self._is_back_held = False
            self.holds.session_released()
            session.release()

    def machine_reset(self) -> None:
        """Note that a client has reset the machine: nothing of before is left, or held."""
        self.nothing_left()
        self.lost_job.superseded()
        self._release()

    def fenced(self) -> None:
        """Note that an emergency stop has voided what was written."""
        self.job_ended()

    def job_ended(self) -> None:
        """Hold nothing any more of what a session wrote: it is void."""
        self._rested = True
        self.holds.session_released()
        self._release()

    def machine_stopped(self) -> None:
        """Note that the machine has taken an emergency stop."""
        self.nothing_left()
        self.lost_job.superseded()

    def nothing_left(self) -> None:
        """Note that the machine has nothing left to do."""
        self._port.activity.stopped()
        self.rest.stopped()
        self._rested = True
        self.holds.cleared()
        self._port.crash_recovery.note_now()

    def machine_works(self, active: bool) -> None:
        """Note what the machine's activity has become."""
        if active:
            self.rest.works()
        else:
            self.rest.idles(self._port.read_offset)
        self._port.crash_recovery.note_now()

    def machine_reported(self, state: bytes, begun_at: float) -> None:
        """Note what the machine says of itself."""
        self.holds.reported(state, begun_at, at_rest=self.rest.is_known)
        self.lost_job.reported(state, begun_at)

    def device_opened(self) -> None:
        """Deal with the machine of a job that was lost while there was no device."""
        if self.lost_job.must_reset:
            self.act("the device is back, but its job is lost", is_at_work=True)
            self.lost_job.device_opened()
            self.job_ended()

    def device_lost(self, reason: str) -> bool:
        """Note that the device is gone; True if a job was lost with it."""
        session = self._session
        dropped = session.waiting()[0] if session is not None else 0
        was_at_work, is_held = self.is_at_work, self.holds.is_machine_held
        self.holds.forget_machine()
        self._port.activity.stopped()
        self.rest.stopped()
        if was_at_work or is_held or dropped:
            why = f"the device was lost: {reason}"
            self.lost_job.begin("the device", why, resets=was_at_work or is_held)
            return True
        return False

    def _policy(self) -> LinkLossPolicy:
        return policy_of(self._port.config.link_loss, self._port.profile)

    def _release(self) -> None:
        if self._session is not None and not self._is_lost:
            self._awaits_word = False
            self._session.release()

    async def _stop(self, action: StopAction, why: str) -> None:
        with suppress(DeviceError):  # the stop path has logged it
            await self._port.stop_path.stop(action, WHO, why)

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
        session = self._session
        if session is None:
            return
        if self._stood_still():
            self._look_in(CATCH_UP_S)
            return
        if self._is_lost:
            session.end(f"not resumed within {self._port.config.resume_window_s:g} s")
            return
        alive_at = session.hearing.alive_at(session.last_heard)
        silent_s = self._clock() - alive_at
        left_s = self._port.config.link_timeout_s - silent_s
        if left_s > 0:
            if self._awaits_word:
                self._awaits_word = False
                self.holds.session_held(HoldCause.WAITING, session.client.identity, _UNTOLD)
            self._look_in(left_s)
        else:
            what = "it received nothing" if alive_at < session.last_heard else "no message received"
            self.lose(f"{what} for {silent_s:.2f} s")
