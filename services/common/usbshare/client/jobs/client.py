"""Calls to one job service; refusals come out as domain errors that say why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress
from functools import partial
from typing import TypeVar

import grpc

from usbshare.base.errors import ConnectionRefusedByPeerError, SessionLostError, UsbshareError
from usbshare.client.explanation import explain
from usbshare.client.jobs import convert
from usbshare.client.jobs.messages import JobOrder, JobView, RemoteFile, RemoteJob
from usbshare.client.streamed_call import streamed
from usbshare.job.v1 import job_pb2 as pb
from usbshare.job.v1.job_pb2_grpc import JobServiceStub
from usbshare.rpc.channel import Target, open_channel
from usbshare.rpc.stream_writes import write
from usbshare.rpc.tls import ClientBundle

CALL_TIMEOUT_S = 15.0  # the first call of a connection makes it
LOOK_TIMEOUT_S = 5.0
# A start waits for the analysis of the file, and for the machine.
START_TIMEOUT_S = 120.0
OUR_SERVICE = "usbshare.job.v1.JobService"

_Reply = TypeVar("_Reply")
_Call = grpc.aio.StreamStreamCall[pb.UploadRequest, pb.UploadResponse]


class UploadStream:
    """One attempt to send a file; its methods raise grpc.aio.AioRpcError, see `explain`."""

    def __init__(self, call: _Call) -> None:
        self._call = call

    async def begin(self, name: str, size_bytes: int, sha256: str) -> None:
        """Announce the file that follows."""
        begin = pb.UploadBegin(name=name, size_bytes=size_bytes, sha256=bytes.fromhex(sha256))
        await self._write(pb.UploadRequest(begin=begin))

    async def send(self, offset: int, data: bytes) -> None:
        """Send a piece; if the stream has ended, `accepted` raises."""
        await self._write(pb.UploadRequest(piece=pb.UploadPiece(offset=offset, data=data)))

    async def accepted(self) -> tuple[int, RemoteFile | None]:
        """Return how far the host has the file, and the file once it is whole; raises EOFError."""
        response = await self._call.read()
        if not isinstance(response, pb.UploadResponse):
            raise EOFError
        is_whole = response.HasField("complete")
        return response.accepted_offset, convert.file(response.complete) if is_whole else None

    def cancel(self) -> None:
        """End the stream at once; the host keeps what it has accepted."""
        self._call.cancel()

    async def _write(self, message: pb.UploadRequest) -> None:
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
            await write(self._call, message)


class JobClient:
    """A connection of its own to one job service."""

    def __init__(self, target: Target, bundle: ClientBundle | None) -> None:
        self.target = target
        self._bundle = bundle
        self._channel = open_channel(target, bundle)
        self._stub = JobServiceStub(self._channel)

    def upload(self) -> UploadStream:
        """Begin to send a file."""
        return UploadStream(self._stub.Upload())

    async def require_room(self, name: str, size_bytes: int) -> None:
        """Raise LimitError that says why the host would refuse a file of that size.

        Hosts that do not know the question refuse none.
        """
        stream = self.upload()
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await stream.begin(name, size_bytes, "")
                await stream.accepted()
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise await self.explain(error) from error
        except EOFError as error:
            raise SessionLostError(f"{self.target} ended the upload") from error
        except TimeoutError as error:
            raise SessionLostError(f"{self.target} does not answer") from error
        finally:
            stream.cancel()

    async def enqueue(self, order: JobOrder) -> RemoteJob:
        """Make a job of a file that the host has."""
        request = convert.enqueue_request(order)
        reply = await self._told(self._stub.Enqueue(request, timeout=CALL_TIMEOUT_S))
        return convert.job(reply.job)

    async def start(
        self, job_id: int, *, auto_advance: bool = False, despite_errors: bool = False
    ) -> RemoteJob:
        """Start a queued job."""
        request = pb.StartRequest(
            job_id=job_id, auto_advance=auto_advance, despite_errors=despite_errors
        )
        reply = await self._told(self._stub.Start(request, timeout=START_TIMEOUT_S))
        return convert.job(reply.job)

    async def hold(self, job_id: int, reason: str = "") -> RemoteJob:
        """Hold the machine of a running job."""
        request = pb.HoldRequest(job_id=job_id, reason=reason)
        return convert.job((await self._told(self._stub.Hold(request, timeout=CALL_TIMEOUT_S))).job)

    async def resume(self, job_id: int, hold_number: int) -> RemoteJob:
        """Resume a job from the hold that was seen."""
        request = pb.ResumeRequest(job_id=job_id, hold_number=hold_number)
        reply = await self._told(self._stub.Resume(request, timeout=CALL_TIMEOUT_S))
        return convert.job(reply.job)

    async def hand_over(self, job_id: int, reason: str = "") -> RemoteJob:
        """End a running job and release its port."""
        request = pb.HandOverRequest(job_id=job_id, reason=reason)
        reply = await self._told(self._stub.HandOver(request, timeout=CALL_TIMEOUT_S))
        return convert.job(reply.job)

    async def cancel(self, job_id: int, reason: str = "") -> RemoteJob:
        """End a job for good."""
        request = pb.CancelRequest(job_id=job_id, reason=reason)
        reply = await self._told(self._stub.Cancel(request, timeout=CALL_TIMEOUT_S))
        return convert.job(reply.job)

    async def reorder(self, job_id: int, place: int) -> list[RemoteJob]:
        """Move a queued job; returns the queue of its port."""
        request = pb.ReorderRequest(job_id=job_id, place=place)
        reply = await self._told(self._stub.Reorder(request, timeout=CALL_TIMEOUT_S))
        return [convert.job(each) for each in reply.jobs]

    async def delete(self, job_id: int) -> None:
        """Forget a job that does not run."""
        request = pb.DeleteJobRequest(job_id=job_id)
        await self._told(self._stub.DeleteJob(request, timeout=CALL_TIMEOUT_S))

    async def get(self, job_id: int) -> RemoteJob:
        """Return one job."""
        request = pb.GetJobRequest(job_id=job_id)
        reply = await self._told(self._stub.GetJob(request, timeout=CALL_TIMEOUT_S))
        return convert.job(reply.job)

    async def list_jobs(
        self, port_id: str = "", timeout_s: float = CALL_TIMEOUT_S
    ) -> list[RemoteJob]:
        """Return the jobs that have not ended, of one port or of all."""
        return list((await self.look(port_id, timeout_s)).jobs)

    async def look(self, port_id: str = "", timeout_s: float = CALL_TIMEOUT_S) -> JobView:
        """Return the jobs that have not ended, and what is wrong with the job service itself."""
        request = pb.ListJobsRequest(port_id=port_id)
        reply = await self._told(self._stub.ListJobs(request, timeout=timeout_s))
        return JobView(tuple(convert.job(each) for each in reply.jobs), tuple(reply.troubles))

    async def history(self, port_id: str, most: int, before: int = 0) -> list[RemoteJob]:
        """Return jobs that have ended, the latest first."""
        request = pb.ListHistoryRequest(port_id=port_id, page_size=most, before_job_id=before)
        reply = await self._told(self._stub.ListHistory(request, timeout=CALL_TIMEOUT_S))
        return [convert.job(each) for each in reply.jobs]

    async def watch(self, port_id: str = "") -> AsyncGenerator[tuple[RemoteJob, bool], None]:
        """Yield the jobs there are, and each again as it changes; raises UsbshareError.

        With each: whether it has ended or is forgotten.
        """
        call = self._stub.WatchJobs(pb.WatchJobsRequest(port_id=port_id))
        async with streamed(call, self.explain):
            while isinstance(reply := await call.read(), pb.WatchJobsResponse):
                yield convert.job(reply.job), reply.change == pb.JOB_CHANGE_REMOVED

    async def explain(self, error: grpc.aio.AioRpcError) -> UsbshareError:
        """Return why an RPC failed; looks closer where gRPC only says that it did."""
        look = partial(self._unreachable, LOOK_TIMEOUT_S)
        return await explain(error, self.target, self._bundle, OUR_SERVICE, look)

    async def close(self) -> None:
        """Close the connection."""
        await self._channel.close()

    async def _told(self, call: Awaitable[_Reply]) -> _Reply:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error

    async def _unreachable(self, timeout_s: float) -> ConnectionRefusedByPeerError | None:
        from usbshare.handshakes.unreachable import unreachable  # noqa: PLC0415 - half of TLS

        return await unreachable(self.target, self._bundle, timeout_s)
