"""Calls to job services, passed on unchanged: unpack, one call, pack."""

from __future__ import annotations

from collections.abc import Mapping

from usbshare.base.errors import ConnectionRefusedByPeerError, InvalidArgumentError
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.job_calls import JobCalls
from usbshare.panel.api.json_text import text
from usbshare.panel.api.requests import Handler
from usbshare.panel.hosts.fleet import Fleet
from usbshare.panel.socket import Page


def job_handlers(fleet: Fleet) -> Mapping[str, Handler]:
    """Return the handler of calls to job services."""

    async def job_call(page: Page, asked: pb.JobCall, request_id: int) -> pb.Answer:
        call = asked.WhichOneof("call")
        if call is None:
            raise InvalidArgumentError("jobCall names no call: see page.proto")
        calls = calls_of(fleet, asked.host)
        if call == "analyse":

            def progress(lines: int) -> None:
                told = pb.Progress(request_id=request_id, done=lines)
                page.outbox.state(("progress", request_id), text(pb.Event(progress=told)))

            reply = pb.JobReply(analyse=await calls.analysis(asked.analyse, progress))
        else:
            reply = pb.JobReply()
            answer = await calls.forwarded(call, getattr(asked, call))
            getattr(reply, call).MergeFrom(answer)
            getattr(reply, call).SetInParent()
        return pb.Answer(job=reply)

    return {"job_call": job_call}


def calls_of(fleet: Fleet, host: str) -> JobCalls:
    """Return the connection to a host's job service; the error says why there is none."""
    calls = fleet.followed(host).job.calls
    if not isinstance(calls, JobCalls):
        raise ConnectionRefusedByPeerError(
            f"host {host!r} has no job service, or it does not answer: is job-svc running there?"
        )
    return calls
