"""Calls to a job service whose answers are passed to pages unchanged."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from google.protobuf.message import Message

from usbshare.base.errors import SessionLostError
from usbshare.client.jobs.client import CALL_TIMEOUT_S, START_TIMEOUT_S, JobClient
from usbshare.client.streamed_call import streamed
from usbshare.job.v1 import job_pb2 as pb
from usbshare.panel.seen import SeenJob

# Calls of page.proto's JobCall that have one reply: the method, and how long it may take.
FORWARDED = {
    "enqueue": ("Enqueue", CALL_TIMEOUT_S),
    "start": ("Start", START_TIMEOUT_S),
    "hold": ("Hold", CALL_TIMEOUT_S),
    "resume": ("Resume", CALL_TIMEOUT_S),
    "cancel": ("Cancel", CALL_TIMEOUT_S),
    "reorder": ("Reorder", CALL_TIMEOUT_S),
    "list_history": ("ListHistory", CALL_TIMEOUT_S),
    "delete": ("DeleteJob", CALL_TIMEOUT_S),
    "hand_over": ("HandOver", CALL_TIMEOUT_S),
}


class JobCalls(JobClient):
    """A separate connection to one job service; errors are UsbshareErrors."""

    async def connect(self) -> None:
        """Connect, or raise why that fails."""
        request = pb.ListJobsRequest()
        await self._told(self._stub.ListJobs(request, timeout=CALL_TIMEOUT_S))

    async def forwarded(self, call: str, request: Message) -> Message:
        """Make one of the calls of `FORWARDED`; returns the service's reply."""
        method, timeout_s = FORWARDED[call]
        reply: Message = await self._told(getattr(self._stub, method)(request, timeout=timeout_s))
        return reply

    async def analysis(
        self, request: pb.AnalyseRequest, progress: Callable[[int], None]
    ) -> pb.Analysis:
        """Analyse a file; `progress` gets the number of finished lines.

        Raises SessionLostError.
        """
        call = self._stub.Analyse(request)
        async with streamed(call, self.explain):
            while isinstance(reply := await call.read(), pb.AnalyseResponse):
                if reply.HasField("analysis"):
                    return reply.analysis
                progress(reply.lines_done)
        raise SessionLostError(f"{self.target} ended the analysis")

    async def preview(self, request: pb.GetPreviewRequest) -> AsyncGenerator[bytes, None]:
        """Yield the pieces of a preview."""
        call = self._stub.GetPreview(request)
        async with streamed(call, self.explain):
            while isinstance(reply := await call.read(), pb.GetPreviewResponse):
                yield reply.data

    async def seen_jobs(self) -> AsyncGenerator[SeenJob, None]:
        """Yield the jobs that have not ended, then each that changes; raises UsbshareError."""
        call = self._stub.WatchJobs(pb.WatchJobsRequest())
        async with streamed(call, self.explain):
            while isinstance(reply := await call.read(), pb.WatchJobsResponse):
                has_ended = reply.change == pb.JOB_CHANGE_REMOVED
                job = reply.job
                yield SeenJob(job.job_id, job.port_id, has_ended, job)
