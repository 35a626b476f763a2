"""What is known of the machine on one line: whether it works, rests, or is held."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from usbshare.line.profiles import Profile, StopAction
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.stop.activity import Activity
from usbshare.serial_svc.stop.alarms import Alarms
from usbshare.serial_svc.stop.fence import Programs
from usbshare.serial_svc.stop.hold import Holds
from usbshare.serial_svc.stop.report_requests import ReportRequests

REST_S = 1.0


class Machine:
    """Follows one machine by what it is sent and what it says.

    `on_work` is called when `is_at_work` may have changed, `on_report` with what the machine says
    of itself and when that report began.
    """

    def __init__(
        self,
        line: Line,
        programs: Programs,
        clock: Callable[[], float],
        on_work: Callable[[], None],
        on_report: Callable[[bytes, float], None],
    ) -> None:
        self.rest = KnownRest()
        self.activity = Activity(self._works, self._reported, lambda: line.firmware.profile)
        self.requests = ReportRequests(line, self.activity.reports, clock, self._is_silent)
        self.holds = Holds(clock, line.changed, on_command=self.requests.begin)
        self._alarms = Alarms()
        self._line = line
        self._programs = programs
        self._clock = clock
        self._on_work = on_work
        self._on_report = on_report

    @property
    def is_at_work(self) -> bool:
        """Whether the machine may be running a job, as far as the program in control knows."""
        return self.activity.is_active or not self.rest.is_known

    @property
    def awaits_resume(self) -> bool:
        """Whether it was told to continue, and may still report that it does."""
        return self.holds.was_resumed and self.requests.is_pending

    def heard(self, data: bytes, now: float) -> None:
        """Take bytes from the device."""
        if self._line.profile.reports_state:
            for words in self._alarms.feed(data):
                if words:
                    self.holds.alarmed(words)
                else:
                    self.holds.greeted()
        nothing_waits = not (self._line.scheduler.commands or self._programs.awaits_replies)
        self.activity.heard(data, now, nothing_waits=nothing_waits)

    def acknowledged(self, offset: int) -> None:
        """Note that the program in control has every device byte before `offset`."""
        if self.rest.acknowledged(offset, self._clock()):
            self._on_work()

    def sent(self, data: bytes) -> None:
        """Note bytes that overtook all: a person may have resumed, and not stopped again after."""
        profile = self._line.profile
        if profile.resets(data):
            self.was_reset()
        elif profile.urgent_lines:
            self._programs.overtaken(sum(bool(line.strip()) for line in data.splitlines()))
        if _resumes(profile, data):
            self.resumed()

    def was_reset(self) -> None:
        """Note that the machine was reset: it replies to no line of before."""
        self.activity.line_is_void()
        self._line.answers.forget()
        self._line.firmware.take_unanswered()
        self._programs.machine_reset()

    def resumed(self) -> None:
        """Let what was held for a person go out, if its client is there to follow it up.

        The machine itself is held until it reports otherwise, if it reports anything.
        """
        self.holds.machine_resumed(will_report=self._line.profile.reports_state)
        if not self._programs.is_away:
            self.holds.session_released()
            self._programs.resume()

    def program_voided(self) -> None:
        """Hold nothing any more of what a session wrote: it is void."""
        self._programs.rested()
        self.holds.session_released()
        self._programs.release()

    def nothing_left(self) -> None:
        """Note that the machine has nothing left to do."""
        self.activity.stopped()
        self.rest.stopped()
        self._programs.rested()
        self.holds.cleared()
        self._on_work()

    def lost(self) -> bool:
        """Note that the device was lost; True if the machine may have been running a job."""
        was_busy = self.is_at_work or self.holds.is_machine_held
        self.holds.forget_machine()
        self.activity.reports.forget()
        self.activity.line_is_void()
        self.activity.stopped()
        self.rest.stopped()
        return was_busy

    def _works(self, active: bool) -> None:
        if active:
            self.rest.works()
        else:
            self.rest.idles(self._line.read_offset)
        self._on_work()

    def _is_silent(self) -> None:
        self.holds.machine_unconfirmed()

    def _reported(self, state: bytes, begun_at: float) -> None:
        awaited = self.awaits_resume
        self._line.answers.reported(begun_at)
        self.requests.reported(state, begun_at)
        self.holds.reported(state, begun_at, at_rest=self.rest.is_known)
        if awaited and not self.awaits_resume:
            self._line.write_progressed()
        self._on_report(state, begun_at)


class KnownRest:
    """Whether the program in control knew that its machine had nothing left to do.

    A machine that says that it is idle may only be starved: its answers did not reach the program,
    or the program's next lines did not reach it. It rests only if the program has that very report,
    and wrote nothing after it. `is_known` until program bytes are written. `awaited_offset`: it is
    known once the program has all bytes before that; None if nothing of that kind is awaited.
    """

    def __init__(self) -> None:
        self.awaited_offset: int | None = None
        self._known_at: float | None = -inf

    @property
    def is_known(self) -> bool:
        """Whether the program knows that the machine rests."""
        return self._known_at is not None

    def works(self) -> None:
        """Note that the machine was given something to do, or says that it works."""
        self.awaited_offset = self._known_at = None

    def idles(self, offset: int) -> None:
        """Note that the machine said that it is idle, in bytes that end before `offset`."""
        if self.awaited_offset is None and self._known_at is None:
            self.awaited_offset = offset

    def acknowledged(self, offset: int, now: float) -> bool:
        """Note that the program has every device byte before `offset`; True if it rests by that."""
        if self.awaited_offset is None or offset < self.awaited_offset:
            return False
        self.awaited_offset, self._known_at = None, now
        return True

    def stopped(self) -> None:
        """Note that nothing is left to do: the program was discarded, or closed its session."""
        self.awaited_offset, self._known_at = None, -inf

    def was_known(self, moment: float) -> bool:
        """Return whether the program had known it for REST_S at that moment, and left it at that.

        What is shorter may be a pause between two lines.
        """
        return self._known_at is not None and moment - self._known_at >= REST_S


def resume_bytes(profile: Profile) -> bytes:
    """Return what resumes a machine; empty where nothing does."""
    plan = profile.stops.get(StopAction.RESUME)
    return plan.data if plan is not None else b""


def _resumes(profile: Profile, data: bytes) -> bool:
    """Return whether bytes end with a resume, or with what does not stop the machine after one."""
    resume = resume_bytes(profile)
    if not resume:
        return False
    if not (profile.realtime or profile.urgent_lines):
        return data.endswith(resume)
    _, found, after = data.rpartition(resume)
    units = profile.pieces(after, 1) if after else []
    return bool(found) and not any(profile.is_emergency(unit) for unit in units)
