"""The job service's RPCs: unpack, one call, pack."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from usbshare.audit.recorder import Audit
from usbshare.authorization.gate import Gate
from usbshare.authorization.rights import Resource, ResourceKind, Right
from usbshare.base.errors import InvalidArgumentError, NotFoundError
from usbshare.base.waits import first_of
from usbshare.job.v1 import job_pb2 as pb
from usbshare.job.v1.job_pb2_grpc import JobServiceServicer
from usbshare.job_svc.api import convert, convert_analysis
from usbshare.job_svc.api.convert_analysis import pieces_of
from usbshare.job_svc.api.uploads import take_file
from usbshare.job_svc.queue.watch import Watch
from usbshare.job_svc.run.analyses import Analyses
from usbshare.job_svc.run.condition import Condition
from usbshare.job_svc.run.ports import Ports
from usbshare.job_svc.run.program import require_beginning
from usbshare.job_svc.run.runner import Runner
from usbshare.job_svc.run.spool import Spool
from usbshare.job_svc.run.unchecked import require_first_line
from usbshare.job_svc.storage.job import Job, Person, StoredFile
from usbshare.rpc.identity import Identity

SERVICE_NAME = "usbshare.job.v1.JobService"
Context = grpc.aio.ServicerContext[Any, Any]
# A watcher is told ten times a second at most.
WATCH_PAUSE_S = 0.1
ANALYSIS_NEWS_S = 0.5


class JobServicer(JobServiceServicer):
    """Maps RPCs to the spool and the runner."""

    def __init__(
        self,
        spool: Spool,
        runner: Runner,
        analyses: Analyses,
        ports: Ports,
        condition: Condition,
        gate: Gate,
        audit: Audit,
    ) -> None:
        self._spool = spool
        self._runner = runner
        self._analyses = analyses
        self._ports = ports
        self._condition = condition
        self._gate = gate
        self._audit = audit
        self._ending = asyncio.Event()

    async def close(self) -> None:
        """End every watch, as a service that stops does."""
        self._ending.set()

    async def Upload(  # type: ignore[override]  # the stub knows only generators
        self, request_iterator: AsyncIterator[pb.UploadRequest], context: Context
    ) -> None:
        """Take a file, or the rest of it."""
        caller = self._gate.caller(context)
        file = await take_file(self._spool.files, context)
        if file is None:
            return
        self._note("file uploaded", caller, sha256=file.sha256, bytes=file.size_bytes)

    async def Enqueue(self, request: pb.EnqueueRequest, context: Context) -> pb.EnqueueResponse:
        """Make a job of a file; nothing starts."""
        caller = self._gate.caller(context)
        port_id, sha256, file = await self._meant(request, context)
        require_first_line(self._ports.get(port_id), request.first_line)
        await require_beginning(await self._spool.files.path(sha256), request.first_line)
        submitter = Person(caller.name, caller.issued, caller.serial)
        job, is_new = await self._spool.enqueue(convert.order(request, port_id, file, submitter))
        if is_new:
            self._note_job("job enqueued", caller, job, name=job.name, sha256=sha256)
            self._analyses.of(sha256, port_id, job.passes)  # so that it is known at the start
        return pb.EnqueueResponse(job=self._message(job))

    async def Reorder(self, request: pb.ReorderRequest, context: Context) -> pb.ReorderResponse:
        """Move a queued job to a place, counted from 1; raises InvalidArgumentError."""
        caller = self._gate.caller(context)
        if request.place == 0:
            raise InvalidArgumentError("place is 0; the first place is 1")
        queue = self._spool.jobs.reorder(request.job_id, request.place)
        job = self._spool.jobs.get(request.job_id)
        self._note_job("job moved", caller, job, place=self._spool.jobs.place(job))
        return pb.ReorderResponse(jobs=[self._message(each) for each in queue])

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        """Return one job."""
        return pb.GetJobResponse(job=self._message(self._spool.jobs.get(request.job_id)))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """Return the jobs that have not ended."""
        sees = self._seen_by(request.port_id, context)
        jobs, place_of = self._spool.jobs, self._spool.jobs.place
        found = [each for each in jobs.all if not each.state.has_ended and sees(each.port_id)]
        found.sort(key=lambda job: (job.port_id, place_of(job)))  # what runs has place 0
        messages = [self._message(each) for each in found]
        return pb.ListJobsResponse(jobs=messages, troubles=self._condition.troubles)

    async def WatchJobs(
        self, request: pb.WatchJobsRequest, context: Context
    ) -> AsyncIterator[pb.WatchJobsResponse]:
        """Stream the jobs that the caller may see, and their changes."""
        watch = Watch(self._spool.jobs.all, self._seen_by(request.port_id, context))
        self._spool.watches.add(watch)
        try:
            while not self._ending.is_set():
                taking = asyncio.create_task(watch.take(), name="watch jobs")
                try:
                    await first_of(taking, self._ending)
                finally:
                    if not taking.done():
                        taking.cancel()
                if taking.done():
                    for shown, job in taking.result():
                        yield convert.watch_message(shown, job, self._spool.jobs.place(job))
                    await asyncio.sleep(WATCH_PAUSE_S)
        finally:
            self._spool.watches.remove(watch)

    async def ListHistory(
        self, request: pb.ListHistoryRequest, context: Context
    ) -> pb.ListHistoryResponse:
        """Return jobs that have ended."""
        most = convert.page_size(request.page_size)
        sees = self._seen_by(request.port_id, context)
        jobs = self._spool.history(sees, request.before_job_id, most)
        return pb.ListHistoryResponse(jobs=[self._message(each) for each in jobs])

    async def DeleteJob(
        self, request: pb.DeleteJobRequest, context: Context
    ) -> pb.DeleteJobResponse:
        """Forget a job that does not run."""
        caller = self._gate.caller(context)
        job = self._spool.delete(request.job_id)
        self._note_job("job deleted", caller, job, state=job.state.value)
        return pb.DeleteJobResponse()

    async def Start(self, request: pb.StartRequest, context: Context) -> pb.StartResponse:
        """Start a queued job."""
        job = await self._runner.start(
            request.job_id,
            self._gate.caller(context),
            auto_advance=request.auto_advance,
            despite_errors=request.despite_errors,
        )
        return pb.StartResponse(job=self._message(job))

    async def Hold(self, request: pb.HoldRequest, context: Context) -> pb.HoldResponse:
        """Hold the machine of a running job."""
        caller, reason = self._gate.caller(context), convert.reason_of(request.reason)
        job = await self._runner.hold(request.job_id, caller, reason)
        return pb.HoldResponse(job=self._message(job))

    async def Resume(self, request: pb.ResumeRequest, context: Context) -> pb.ResumeResponse:
        """Resume a held job; InvalidArgumentError without the number of the hold."""
        caller = self._gate.caller(context)
        job = await self._runner.resume(request.job_id, request.hold_number, caller)
        return pb.ResumeResponse(job=self._message(job))

    async def HandOver(self, request: pb.HandOverRequest, context: Context) -> pb.HandOverResponse:
        """Give up the port of a job."""
        caller, reason = self._gate.caller(context), convert.reason_of(request.reason)
        job = await self._runner.hand_over(request.job_id, caller, reason)
        return pb.HandOverResponse(job=self._message(job))

    async def Cancel(self, request: pb.CancelRequest, context: Context) -> pb.CancelResponse:
        """End a job for good."""
        caller, reason = self._gate.caller(context), convert.reason_of(request.reason)
        job = await self._runner.cancel(request.job_id, caller, reason)
        return pb.CancelResponse(job=self._message(job))

    async def Analyse(
        self, request: pb.AnalyseRequest, context: Context
    ) -> AsyncIterator[pb.AnalyseResponse]:
        """Stream the progress of an analysis, then its result."""
        port_id, sha256, _ = await self._meant(request, context)
        passes = convert.passes_of(request.passes)
        while not (task := self._analyses.of(sha256, port_id, passes)).done():
            # It starts over if the machine reports its settings meanwhile.
            await asyncio.wait((task,), timeout=ANALYSIS_NEWS_S)
            if not task.done():
                done = self._analyses.lines_done(sha256, port_id, passes)
                yield pb.AnalyseResponse(lines_done=done)
            elif not task.cancelled():
                break
        yield convert_analysis.analysis_response(task.result())

    async def GetPreview(
        self, request: pb.GetPreviewRequest, context: Context
    ) -> AsyncIterator[pb.GetPreviewResponse]:
        """Stream a picture of a file, or its segments."""
        port_id, sha256, _ = await self._meant(request, context)
        asked = convert_analysis.preview_asked(request)
        async with self._analyses.preview(sha256, port_id, sha256[:12], **asked) as path:
            async for piece in pieces_of(path):
                yield pb.GetPreviewResponse(data=piece)

    async def _meant(
        self,
        request: pb.AnalyseRequest | pb.EnqueueRequest | pb.GetPreviewRequest,
        context: Context,
    ) -> tuple[str, str, StoredFile]:
        """Return the port and the file that a request means."""
        known = self._known_to(self._gate.caller(context))
        await self._ports.look_again()
        port_id = self._ports.resolve(request.port_id, known)
        sha256 = convert.sha256_of(request.sha256)
        if (file := await self._spool.files.find(sha256)) is None:
            raise NotFoundError(f"the file {sha256[:12]}… is not on this host: upload it first")
        return port_id, sha256, file

    def _message(self, job: Job) -> pb.Job:
        return convert.job_message(job, self._spool.jobs.place(job))

    def _known_to(self, caller: Identity) -> Callable[..., list[str]]:
        return lambda ids: self._gate.known_to(caller, ResourceKind.PORT, ids)

    def _seen_by(self, port_id: str, context: Context) -> Callable[[str], bool]:
        """Return which ports a caller asks about: one, or all that it may see at the moment."""
        caller = self._gate.caller(context)
        if port_id and port_id not in self._ports.ids:
            self._ports.resolve(port_id, self._known_to(caller))

        def sees(other: str) -> bool:
            resource = Resource(ResourceKind.PORT, other)
            return port_id in ("", other) and self._gate.may(caller, Right.VIEW, resource)

        return sees

    def _note_job(self, event: str, caller: Identity, job: Job, **fields: object) -> None:
        self._note(event, caller, port=job.port_id, job=job.job_id, **fields)

    def _note(self, event: str, caller: Identity, port: str = "", **fields: object) -> None:
        self._audit.note(event, who=caller.name, address=caller.address, port=port, **fields)
