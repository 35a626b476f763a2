"""Calls to a job service whose answers go to pages as they are."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import grpc

from usbshare.client.jobs.client import CALL_TIMEOUT_S, JobClient
from usbshare.job.v1 import job_pb2 as pb
from usbshare.panel.seen import SeenJob


class JobCalls(JobClient):
    """A separate connection to one job service; what it raises says why."""

    async def connect(self) -> None:
        """Connect, or raise why that fails."""
        request = pb.ListJobsRequest()
        await self._told(self._stub.ListJobs(request, timeout=CALL_TIMEOUT_S))

    async def seen_jobs(self) -> AsyncGenerator[SeenJob, None]:
        """Yield the jobs that have not ended, then each that changes; raises UsbshareError."""
        call = self._stub.WatchJobs(pb.WatchJobsRequest())
        try:
            while isinstance(reply := await call.read(), pb.WatchJobsResponse):
                has_ended = reply.change == pb.JOB_CHANGE_REMOVED
                job = reply.job
                yield SeenJob(job.job_id, job.port_id, has_ended, job)
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        finally:
            call.cancel()
