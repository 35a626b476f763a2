"""One job on one machine, from its first line to its end.

The job follows the port: it is held and resumed with the port, whoever does that. It ends with the
first of these: all lines executed (FINISHED); a line that the firmware rejected, an alarm, a stop,
a reset (FAILED); a lost device or serial service (INTERRUPTED); a person (CANCELLED).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

from usbshare.base.errors import SessionLostError, UsbshareError, WrongStateError
from usbshare.base.watched_task import cancel_all
from usbshare.client.serial.line_stream import LOST, LineAnswer
from usbshare.client.serial.messages import AskedEvent, Event, Hold, RemotePort
from usbshare.job_svc.run.bed import Standing
from usbshare.job_svc.run.machine_settings import ANSWERS, MachineSettings
from usbshare.job_svc.run.program import Program
from usbshare.job_svc.run.progress import JobProgress
from usbshare.job_svc.storage.job import Job, JobState, Progress
from usbshare.line.machine_report import MachineReport, parse_report
from usbshare.line.stop_actions import StopAction

_log = logging.getLogger(__name__)
POLL, POLL_S = b"?", 0.2
MOST_AWAY_S = 60.0  # twice the usual window for resuming a session
MOST_REPORT_BYTES = 512
TELL_S = 0.1
# How long what is told of the port may come after what became of its lines.
WHY_S = 1.0
IDLE_REPORTS = 2
EMERGENCY_STOP = "emergency stop"
GONE = frozenset({"absent", "failed"})
# States of grbl in which nothing moves: Hold:1 and Door:2 are on their way there.
RESTING = frozenset({"Idle", "Hold:0", "Door:0", "Door:1", "Alarm", "Sleep"})
# What makes a firmware without status reports reply once its last move is done.
WAIT_FOR_MOVES = b"M400"
# A busy host takes seconds for the first answer.
READY_TIMEOUT_S = 10.0
OWN_NAME = "/job-svc"
_VOID = "what was sent is void"


class Stream(Protocol):
    """What takes a job's lines: `usbshare.client.serial.line_stream.LineStream`."""

    @property
    def is_connected(self) -> bool:
        """Whether the link is there."""
        ...

    async def send(self, line: bytes) -> int:
        """Stream a line with its end; SessionLostError once the session is lost."""
        ...

    def realtime(self, data: bytes) -> bool:
        """Send real-time bytes; False without a link."""
        ...


class Told(Protocol):
    """Receives what happens to the job."""

    def held(self, reason: str) -> None:
        """Note that the job is held, or was held again."""

    def goes_on(self) -> None:
        """Note that a held job runs again."""

    def progressed(self, progress: Progress) -> None:
        """Note how far it is."""

    def asked_for(self, who: str) -> None:
        """Note who would like to have its port."""


@dataclass(frozen=True, slots=True)
class End:
    """How a job ended, and why."""

    state: JobState
    reason: str = ""
    resets: bool = False  # the machine must not go on with what it has


class JobRun:
    """Streams one job; also the listener of its stream."""

    def __init__(
        self,
        job: Job,
        program: Program,
        told: Told,
        duration_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.port: RemotePort | None = None
        self.seen_hold = 0
        self.link_trouble = ""
        self.machine_state = ""
        self.resting_reports = 0
        self.job = job
        self._program = program
        self._told = told
        self._machine = MachineSettings()
        self._progress = JobProgress(job.progress, clock, duration_s)
        self._end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self._stream: Stream
        self._hold = self._own_reason = ""
        self._rest = b""
        self._first_epoch = 0
        self._idle_reports = 0
        self._doubt: asyncio.Task[None] | None = None
        self._feeding: asyncio.Task[None] | None = None

    def end(self, state: JobState, reason: str, *, resets: bool = False) -> None:
        """End the job in this state, unless it has ended already."""
        if not self._end.done():
            self._end.set_result(End(state, reason, resets))

    def will_be_held(self, reason: str) -> None:
        """Note why we request a hold: the port reports it before the answer arrives."""
        self._own_reason = reason

    def held_by_us(self, reason: str, number: int) -> None:
        """Note a hold that we asked for, unless the port has told of it already."""
        if self._end.done():
            return
        if number != self.seen_hold or not self._hold:
            self.seen_hold = number
            self._hold_for(reason)

    def count_rest_anew(self) -> None:
        """Count the reports of a machine at rest from now on."""
        self.resting_reports = 0

    async def require_idle(self, stream: Stream) -> None:
        """Ask the machine how it is before anything is sent; WrongStateError unless it is idle."""
        if not self._has_reports:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_TIMEOUT_S):
                while not self.machine_state:
                    stream.realtime(POLL)
                    await asyncio.sleep(TELL_S)
        if self._end.done():
            raise WrongStateError(f"the job cannot begin: {self._end.result().reason}")
        if not self.machine_state:
            raise WrongStateError(
                f"the machine has not reported its state within {READY_TIMEOUT_S:g} s: "
                "check that it is switched on and connected"
            )
        if self.machine_state != "Idle":
            raise WrongStateError(
                f"the machine reports {self.machine_state}, not Idle: "
                "home, unlock or reset it first"
            )

    async def prepare(self, stream: Stream) -> Standing | None:
        """Set the machine's modes before anything else is sent; return what it says of itself.

        None: it has no settings.
        """
        if self.port is None or self.port.profile.name not in ANSWERS:
            return None
        await self._machine.ask(stream)
        await self._machine.set_modes(stream)
        return self._machine.standing

    def stop(self, stream: Stream) -> None:
        """Stop the machine by the session itself; without a link its host acts."""
        if self.port is not None:
            stream.realtime(self.port.profile.stop_plan(StopAction.EMERGENCY_STOP).data)

    async def run(self, stream: Stream) -> End:
        """Stream to the end on a stream that is open, and stays so; returns how it ended."""
        self._stream = stream
        async with self._beside():
            end = await self._end
        if end.state is JobState.FINISHED:
            self._progress.finished()
        self._told.progressed(self._progress.progress())
        return end

    @asynccontextmanager
    async def _beside(self) -> AsyncIterator[None]:
        self._feeding = asyncio.create_task(self._guarded(self._feed), name="feed a job")
        tasks = [
            self._feeding,
            asyncio.create_task(self._guarded(self._poll), name="poll a job's machine"),
            asyncio.create_task(self._guarded(self._tell), name="tell a job's progress"),
        ]
        try:
            yield
        finally:
            await cancel_all(*tasks, self._doubt)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do work; an error in it ends the job."""
        try:
            await work()
        except OSError as error:
            why = error.strerror or str(error)
            self.end(JobState.FAILED, f"the job's file cannot be read: {why}", resets=True)
        except SessionLostError as error:
            self._is_lost(str(error))
        except UsbshareError as error:
            self.end(JobState.FAILED, str(error), resets=True)
        except Exception as error:
            _log.exception("job %d", self.job.job_id)
            what = f"internal error of usbshare, see its log: {type(error).__name__}"
            self.end(JobState.FAILED, what, resets=True)

    async def _feed(self) -> None:
        async for group in self._program.steps():
            for step in group:
                await self._stream.send(step.code + b"\n")
                self._progress.sent(step)
        if not self._has_reports:
            await self._stream.send(WAIT_FOR_MOVES + b"\n")
            self._progress.sent_last(WAIT_FOR_MOVES)
        self._progress.has_all()
        self._look_for_the_end()

    async def _poll(self) -> None:
        """Ask for status reports; a link that is down for too long is lost."""
        away_s = 0.0
        while True:
            away_s = 0.0 if self._stream.is_connected else away_s + POLL_S
            if self._has_reports:
                self._stream.realtime(POLL)
            if away_s > MOST_AWAY_S:
                self._is_lost(self.link_trouble)
            await asyncio.sleep(POLL_S)

    async def _tell(self) -> None:
        while True:
            self._told.progressed(self._progress.progress())
            await asyncio.sleep(TELL_S)

    # Events of the stream: a `LineListener`.

    def port_changed(self, port: RemotePort) -> None:
        """Follow the port."""
        self.port = port
        self._first_epoch = self._first_epoch or port.epoch
        if self._end.done():
            return
        if port.state in GONE:
            self.end(JobState.INTERRUPTED, f"the device was lost: {port.reason or port.state}")
        elif port.latched:
            is_stop = port.latch is None or port.latch.cause == EMERGENCY_STOP
            self.end(JobState.FAILED if is_stop else JobState.INTERRUPTED, _latched(port))
        elif self.machine_state and port.machine_state.startswith("Alarm"):  # since we asked
            self.end(JobState.FAILED, f"the machine reports {port.machine_state}")
        elif port.epoch != self._first_epoch:
            self._doubts(_VOID)
        else:
            self._follow_hold(port)

    def line_answered(self, answer: LineAnswer) -> None:
        """Count a line that the firmware replied to, or end the job if it was not accepted."""
        if self._machine.is_asking:
            self._machine.replied("" if answer.is_ok else answer.reply or answer.message)
            return
        if self._end.done() or self._doubt is not None:
            return
        self._idle_reports = 0
        step = self._progress.next_unanswered
        if answer.is_ok:
            if step is not None:
                self._progress.answered()
            self._look_for_the_end()
        elif answer.outcome == LOST:
            self._is_lost(answer.message)
        elif answer.outcome in {"rejected", "refused"}:
            is_alarm = answer.reply.startswith("ALARM")
            what = answer.reply or answer.message
            where = f" at {step}" if step else ""
            self.end(
                JobState.FAILED,
                f"the machine reports {what}{where}" if is_alarm else f"{what}{where}",
                resets=not is_alarm,
            )
        else:
            self._doubts(answer.message or f"its lines were {answer.outcome}")

    def device_said(self, data: bytes) -> None:
        """Find the status reports in the machine's output."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-MOST_REPORT_BYTES:]
        for line in lines:
            self._machine.said(line)
            if line.startswith(b"<") and (report := parse_report(line)) is not None:
                self.machine_reported(report)

    def link_changed(self, text: str, *, is_connected: bool) -> None:
        """Hold without a link: the host has acted on the machine as its policy says."""
        self.link_trouble = "" if is_connected else f"the link to serial-svc was lost: {text}"
        if self.link_trouble and not self._end.done():
            self._hold_for(self.link_trouble)

    def session_event(self, event: Event) -> None:
        """Tell who asks for the port; the job keeps it until a person hands it over."""
        if isinstance(event, AskedEvent):
            number, port_id = self.job.job_id, self.job.port_id
            _log.info("job %d: %s asks for port '%s'", number, event.who, port_id)
            self._told.asked_for(event.who)

    def session_lost(self, why: str) -> None:
        """End the job: nothing of it can be sent any more."""
        self._is_lost(why)

    def machine_reported(self, report: MachineReport) -> None:
        """Count what was executed; a machine that rests after the last reply has done all."""
        substate = "" if report.substate is None else f":{report.substate}"
        self.machine_state = report.state + substate
        is_resting = self.machine_state in RESTING
        self.resting_reports = self.resting_reports + 1 if is_resting else 0
        self._machine.reported(report)
        self._progress.reported(report)
        if report.state == "Alarm":
            self.end(JobState.FAILED, "the machine reports an alarm")
        is_idle = report.state in {"Idle", "Sleep", "Check"} and self._progress.is_acknowledged
        self._idle_reports = self._idle_reports + 1 if is_idle else 0
        if self._idle_reports >= IDLE_REPORTS:
            self.end(JobState.FINISHED, "")

    @property
    def _has_reports(self) -> bool:
        """Whether the firmware answers `?` with a status report."""
        return self.port is not None and self.port.profile.is_realtime(POLL)

    def _look_for_the_end(self) -> None:
        """End a job whose firmware has replied that its last move is done."""
        if self._progress.is_acknowledged and not self._has_reports:
            self.end(JobState.FINISHED, "")

    def _is_lost(self, reason: str) -> None:
        """End the job: what was sent and not acknowledged is unknown."""
        self.end(JobState.INTERRUPTED, f"the session with serial-svc ended: {reason}")

    def _doubts(self, why: str) -> None:
        """Send nothing more: what comes now would be of a new epoch, in other modes."""
        if self._feeding is not None:
            self._feeding.cancel()
        if self._doubt is None:
            self._doubt = asyncio.create_task(self._find_out(why), name="why a job ended")

    async def _find_out(self, otherwise: str) -> None:
        """Give the port a moment to tell of a latch or a lost device, which end the job too."""
        await asyncio.sleep(WHY_S)
        is_reset = self.port is not None and self.port.epoch != self._first_epoch
        what = "the machine was reset" if is_reset else "its lines were not carried out"
        self.end(JobState.FAILED, f"{what}: {otherwise}", resets=not is_reset)

    def _follow_hold(self, port: RemotePort) -> None:
        if port.hold is None:
            if self._hold and port.hold_number >= self.seen_hold:
                self._hold = ""
                self._progress.is_held(False)
                self._told.goes_on()
            return
        if port.hold_number != self.seen_hold or not self._hold:
            self.seen_hold = port.hold_number
            self._hold_for(self._reason_of(port.hold))

    def _reason_of(self, hold: Hold) -> str:
        if hold.who.endswith(OWN_NAME) and self._own_reason:
            return self._own_reason
        reason = f": {hold.reason}" if hold.reason else ""
        by = f" by {hold.who}" if hold.who else ""
        return f"{hold.cause}{by}{reason}"

    def _hold_for(self, reason: str) -> None:
        self._hold = reason
        self._progress.is_held(True)
        self._told.held(reason)


def _latched(port: RemotePort) -> str:
    if (latch := port.latch) is None:
        return "the port is latched"
    if latch.cause == EMERGENCY_STOP:
        return f"{EMERGENCY_STOP} by {latch}"
    return latch.reason or latch.cause
