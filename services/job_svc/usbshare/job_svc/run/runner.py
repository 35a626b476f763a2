"""Starts, holds, resumes and cancels jobs, one for each port; holds those that lose their right."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

from usbshare.analysis.records import Analysis
from usbshare.audit.recorder import Audit
from usbshare.authorization.gate import Gate
from usbshare.authorization.rights import Resource, ResourceKind, Right
from usbshare.base.errors import (
    ConnectionRefusedByPeerError,
    DeviceError,
    UsbshareError,
    WrongStateError,
)
from usbshare.base.waits import set_within
from usbshare.client.connection_limiter import Turns
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.dialer import Dialer
from usbshare.client.serial.line_stream import LineStream
from usbshare.client.serial.link_state import SessionChoice
from usbshare.client.serial.messages import LineOptions, RemotePort
from usbshare.client.serial.stop_report import SeenHold
from usbshare.job_svc.run.active import Active, Told
from usbshare.job_svc.run.analyses import Analyses
from usbshare.job_svc.run.bed import require_on_bed
from usbshare.job_svc.run.job_run import End, JobRun
from usbshare.job_svc.run.motion_end import end_motion
from usbshare.job_svc.run.program import Program, beginning
from usbshare.job_svc.run.serial_link import SerialLink
from usbshare.job_svc.run.spool import Spool
from usbshare.job_svc.run.start_checks import (
    require_no_errors,
    require_ready,
    require_untouched,
)
from usbshare.job_svc.run.starting import Starting
from usbshare.job_svc.run.unchecked import require_first_line
from usbshare.job_svc.storage.job import Job, JobState
from usbshare.rpc.identity import Identity
from usbshare.trust.names import short_name

_log = logging.getLogger(__name__)
LONGEST_NAME_BYTES = 64
RESUME_TIMEOUT_S = 5.0
END_TIMEOUT_S = 10.0
LOOK_S = 0.5
OPEN_TIMEOUT_S = 20.0
STOPPED = "the job service was stopped"


class Runner:
    """Runs jobs of the spool on the machines of the serial service."""

    def __init__(
        self,
        spool: Spool,
        link: SerialLink,
        analyses: Analyses,
        gate: Gate,
        audit: Audit,
        site_id: str,
        attended_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool
        self._link = link
        self._analyses = analyses
        self._gate = gate
        self._audit = audit
        self._site_id = site_id
        self._attended_s = attended_s
        self._clock = clock
        self._active: dict[str, Active] = {}
        self._starting = Starting()
        self._is_closing = False

    async def start(
        self,
        job_id: int,
        starter: Identity,
        *,
        auto_advance: bool,
        despite_errors: bool,
        follows: RemotePort | None = None,
    ) -> Job:
        """Start a queued job; returns once its session is open. WrongStateError says why not.

        `follows`: the port as the job left it after which this one starts by itself.
        """
        if self._is_closing:
            raise WrongStateError("the job service is stopping")
        job = self._spool.jobs.require_startable(job_id)
        async with self._starting.turn(job_id, job.port_id) as start:
            self._require_right_of_submitter(job)
            path = await self._spool.files.path(job.file.sha256)
            port = await self._link.get_port(job.port_id)
            require_ready(port)
            if follows is not None:
                require_untouched(follows, port)
            analysis = await require_no_errors(self._analyses, job, despite=despite_errors)
            before = await beginning(path, job.first_line)
            program = Program(path, job.passes, job.first_line, before)
            started = self._spool.jobs.start(job_id, starter.name, auto_advance=auto_advance)
            try:
                await self._spool.require_kept(job_id)
                active = await self._opened(started, program, starter, analysis, port)
                try:
                    remark = self._compared(active, analysis, despite=despite_errors)
                    start.require_wanted()
                    self._require_as_asked(active, port)
                except BaseException:
                    await active.exits.aclose()
                    raise
            except BaseException:
                self._spool.jobs.not_started(job_id)
                raise
        self._active[job.port_id] = active
        if remark:
            self._spool.jobs.remark(job_id, remark)
        active.runs_in(asyncio.create_task(self._serve(active), name=f"job {job_id}"))
        self._note("job started", started, starter.name, starter.address)
        return self._spool.jobs.get(job_id)

    async def hold(self, job_id: int, who: Identity, reason: str) -> Job:
        """Hold a running job's machine; one that is being started goes back to the queue."""
        why = f"held by {self._short(who.name)}" + _because(reason)
        if not await self._call_off(job_id, why, who):
            active = self._require_active(job_id)
            await self._hold(active, why)
            self._note("job held", active.job, who.name, who.address, reason=reason)
        return self._spool.jobs.get(job_id)

    async def resume(self, job_id: int, hold_number: int, who: Identity) -> Job:
        """Resume a held job, from now on with this person's rights.

        DeviceError if it cannot yet.
        """
        self._spool.jobs.require_resumable(job_id, hold_number)
        active = self._require_active(job_id)
        self._require_right_of_submitter(active.job)
        if (port := active.run.port) is None or active.run.link_trouble:
            raise DeviceError(f"job {job_id} cannot continue yet: {active.run.link_trouble}")
        self._watch_rights(active, who)
        active.goes_on.clear()
        seen = SeenHold(port.epoch, active.run.seen_hold)
        await self._link.resume(port.id, f"job {job_id} by {self._short(who.name)}", seen)
        await self._until_it_goes_on(active)
        self._note("job resumed", active.job, who.name, who.address)
        return self._spool.jobs.get(job_id)

    async def hand_over(self, job_id: int, who: Identity, reason: str) -> Job:
        """End a job and release its port; its machine is held at once, and reset at rest."""
        why = f"handed over by {self._short(who.name)}" + _because(reason)
        if await self._call_off(job_id, why, who):
            return self._spool.jobs.get(job_id)
        active = self._require_active(job_id)
        active.run.end(JobState.INTERRUPTED, why, resets=True)
        if active.task is not None:
            await asyncio.wait((active.task,), timeout=END_TIMEOUT_S)
        self._note("job handed over", active.job, who.name, who.address, reason=reason)
        return self._spool.jobs.get(job_id)

    async def cancel(self, job_id: int, who: Identity, reason: str) -> Job:
        """End a job for good; a running one's machine is held at once, and reset at rest.

        Raises WrongStateError for a job that has ended.
        """
        why = f"cancelled by {self._short(who.name)}" + _because(reason)
        await self._call_off(job_id, why, who)
        job = self._spool.jobs.get(job_id)
        active = self._active.get(job.port_id)
        if active is not None and active.job.job_id == job_id:
            active.run.end(JobState.CANCELLED, why, resets=True)
            if active.task is not None:
                await asyncio.wait((active.task,), timeout=END_TIMEOUT_S)
        elif job.state is JobState.QUEUED:
            self._spool.jobs.end(job_id, JobState.CANCELLED, why)
        else:
            raise WrongStateError(f"job {job_id} is already {job.state.value}")
        self._note("job cancelled", job, who.name, who.address, reason=reason)
        return self._spool.jobs.get(job_id)

    async def close(self) -> None:
        """Bring every machine to rest, and end: what runs is interrupted, what starts does not."""
        self._is_closing = True
        await self._starting.call_off_all(STOPPED, END_TIMEOUT_S)
        running = list(self._active.values())
        for active in running:
            active.run.end(JobState.INTERRUPTED, STOPPED, resets=True)
        tasks = [each.task for each in running if each.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=END_TIMEOUT_S)

    async def _call_off(self, job_id: int, why: str, who: Identity) -> bool:
        """End the start of a job before anything moves; returns whether it was being started."""
        job = self._spool.jobs.get(job_id)
        if not await self._starting.call_off(job_id, job.port_id, why, END_TIMEOUT_S):
            return False
        self._note("job start called off", job, who.name, who.address, reason=why)
        return True

    def _require_as_asked(self, active: Active, port: RemotePort) -> None:
        """Raise where what was asked for may not begin any more: starting takes a while."""
        job = active.job
        require_untouched(port, active.run.port)
        require_first_line(active.run.port, job.first_line)
        self._require_right_of_submitter(job)
        resource = Resource(ResourceKind.PORT, job.port_id)
        self._gate.require(active.starter, Right.CONTROL, resource)

    async def _opened(
        self,
        job: Job,
        program: Program,
        starter: Identity,
        analysis: Analysis | None,
        port: RemotePort,
    ) -> Active:
        duration_s = None if analysis is None else analysis.duration_s * job.passes or None
        told = Told(self._spool, job.job_id, self._goes_on)
        run = JobRun(job, program, told, duration_s)
        name = f"job {job.job_id} of {self._short(job.submitter.name)}"
        name = name.encode()[:LONGEST_NAME_BYTES].decode(errors="ignore")
        target, trust = self._link.target, await self._link.trust()
        dialer = Dialer(lambda wait_s: SerialClient(target, trust, wait_s), Turns(), self._clock)
        choice = SessionChoice(job.port_id, observe=False, client_name=name, lines=LineOptions())
        stream, exits = LineStream(dialer, choice, run), AsyncExitStack()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await exits.enter_async_context(stream)
                await run.require_idle(stream)
                require_untouched(port, run.port)
                if (standing := await run.prepare(stream)) is not None:
                    # A work zero is a person's choice of the moment: no analysis keeps it.
                    facts = replace(standing.facts, work_offset=None)
                    self._analyses.machine_told(job.port_id, facts)
        except BaseException as error:
            await exits.aclose()
            if isinstance(error, TimeoutError | ConnectionRefusedByPeerError):
                raise DeviceError(f"serial-svc: {str(error) or 'no answer'}") from error
            raise
        active = Active(job, run, stream, exits, starter, standing)
        told.of(active)
        return active

    def _compared(self, active: Active, analysis: Analysis | None, *, despite: bool) -> str:
        """Return what is to be known of a job and its machine's travel; raises WrongStateError."""
        is_whole = active.job.first_line <= 1
        if despite or analysis is None or active.standing is None or not is_whole:
            return ""
        return require_on_bed(analysis, active.standing)

    async def _serve(self, active: Active) -> None:
        """See a job to its end, then let the next one start if that was asked for."""
        job_id = active.job.job_id
        self._watch_rights(active, active.starter)
        attending = asyncio.create_task(self._attend(active), name="attend a job")
        try:
            end = await active.run.run(active.stream)
        finally:
            attending.cancel()
            active.watch_no_longer()
        await self._leave(active, end)
        del self._active[active.job.port_id]
        ended = self._spool.jobs.end(job_id, end.state, end.reason)
        self._note(f"job {end.state.value}", ended, active.starter.name, "", reason=end.reason)
        _log.info("job %d on '%s': %s %s", job_id, ended.port_id, end.state.value, end.reason)
        await self._start_next(ended, active)

    async def _leave(self, active: Active, end: End) -> None:
        """End the session; the machine of a job that failed does not go on with what it has."""
        if end.resets:
            await end_motion(self._link, active.run, active.stream)
        try:
            await active.exits.aclose()
        except Exception:  # the job has ended, whatever its session does
            _log.exception("job %d: its session did not end cleanly", active.job.job_id)

    async def _start_next(self, ended: Job, active: Active) -> None:
        if self._is_closing or (following := self._spool.jobs.after(ended)) is None:
            return
        try:
            await self.start(
                following.job_id,
                active.starter,
                auto_advance=True,
                despite_errors=False,
                follows=active.run.port,
            )
        except UsbshareError as error:
            _log.warning("job %d does not start automatically: %s", following.job_id, error)

    async def _hold(self, active: Active, reason: str) -> None:
        """Hold the machine, then note it; what the port tells of the same hold changes nothing."""
        active.run.will_be_held(reason)
        report = await self._link.hold(active.job.port_id, reason[:200])
        active.run.held_by_us(reason, report.hold_number)

    async def _hold_for(self, active: Active, reason: str) -> None:
        """Hold for a reason of our own; a machine that cannot be reached is its link's business."""
        if self._active.get(active.job.port_id) is not active:
            return
        try:
            await self._hold(active, reason)
        except UsbshareError as error:
            _log.error("job %d cannot be held (%s): %s", active.job.job_id, reason, error)
        self._note("job held", active.job, "", "", reason=reason)

    def _watch_rights(self, active: Active, starter: Identity) -> None:
        """Hold the job as soon as its starter or its submitter may not control the port."""
        submitter = self._submitter(active.job)
        watches = [
            asyncio.create_task(self._watch_right(active, each), name="watch a job's right")
            for each in {starter.name: starter, submitter.name: submitter}.values()
        ]
        active.needs_rights_of(starter, watches)

    async def _watch_right(self, active: Active, identity: Identity) -> None:
        port = Resource(ResourceKind.PORT, active.job.port_id)
        try:
            async with self._gate.permit_to_stay(identity, Right.CONTROL, port):
                await asyncio.get_running_loop().create_future()
        except UsbshareError as error:
            await self._hold_for(active, str(error))

    def _goes_on(self, active: Active) -> None:
        """Look at the rights of a job that somebody resumed: they may have ended meanwhile."""
        if active.task is not None and not active.task.done():
            self._watch_rights(active, active.starter)

    async def _attend(self, active: Active) -> None:
        """Hold an attended job while nobody has watched for too long."""
        job, seen_at = active.job, self._clock()
        while job.attended:
            await asyncio.sleep(LOOK_S)
            if self._spool.watches.are_on(job.port_id):
                seen_at = self._clock()
            elif self._clock() - seen_at >= self._attended_s:
                seen_at = self._clock()
                if self._spool.jobs.get(job.job_id).state is JobState.RUNNING:
                    why = f"nobody has watched for {self._attended_s:g} s"
                    await self._hold_for(active, why)

    async def _until_it_goes_on(self, active: Active) -> None:
        if not await set_within(active.goes_on, RESUME_TIMEOUT_S):
            job = self._spool.jobs.get(active.job.job_id)
            raise WrongStateError(
                f"job {job.job_id} was resumed, but is {job.state.value}: {job.reason}"
            )

    def _require_active(self, job_id: int) -> Active:
        job = self._spool.jobs.get(job_id)
        active = self._active.get(job.port_id)
        if active is None or active.job.job_id != job_id:
            raise WrongStateError(f"job {job_id} is {job.state.value}: it is not running")
        return active

    def _require_right_of_submitter(self, job: Job) -> None:
        submitter = self._submitter(job)
        port = Resource(ResourceKind.PORT, job.port_id)
        try:
            self._gate.require(submitter, Right.CONTROL, port)
        except UsbshareError as error:
            raise WrongStateError(
                f"job {job.job_id} belongs to {self._short(submitter.name)}, who may no "
                f"longer run it: {error}"
            ) from error

    def _submitter(self, job: Job) -> Identity:
        person = job.submitter
        return Identity(person.name, "", issued=person.issued, serial=person.serial)

    def _short(self, name: str) -> str:
        return short_name(name, self._site_id)

    def _note(self, event: str, job: Job, who: str, address: str, **fields: object) -> None:
        self._audit.note(
            event, who=who, address=address, port=job.port_id, job=job.job_id, **fields
        )


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""
