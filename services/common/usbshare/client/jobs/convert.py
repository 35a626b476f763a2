"""Between messages of job.proto and our own; nothing else here knows both."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from usbshare.client.jobs.messages import (
    ControlRequest,
    JobOrder,
    JobProgress,
    RemoteFile,
    RemoteJob,
)
from usbshare.job.v1 import job_pb2 as pb


def job(message: pb.Job) -> RemoteJob:
    """Return a job."""
    return RemoteJob(
        id=message.job_id,
        port_id=message.port_id,
        name=message.name,
        file=file(message.file),
        submitter=message.submitter,
        starter=message.starter,
        state=_state(message.state),
        reason=message.state_reason,
        passes=message.passes,
        priority=message.priority,
        attended=message.attended,
        first_line=message.first_line,
        place=message.place,
        auto_advance=message.auto_advance,
        hold_number=message.hold_number,
        enqueued=_moment(message.enqueue_time),
        started=_moment(message.start_time) if message.HasField("start_time") else None,
        ended=_moment(message.end_time) if message.HasField("end_time") else None,
        progress=_progress(message.progress),
        control_requests=tuple(
            ControlRequest(each.who, _moment(each.request_time))
            for each in message.control_requests
        ),
    )


def file(message: pb.File) -> RemoteFile:
    """Return a file that the host keeps."""
    return RemoteFile(message.sha256.hex(), message.size_bytes, message.lines)


def enqueue_request(order: JobOrder) -> pb.EnqueueRequest:
    """Return what asks for a job."""
    return pb.EnqueueRequest(
        port_id=order.port_id,
        sha256=bytes.fromhex(order.sha256),
        name=order.name,
        passes=order.passes,
        priority=order.priority,
        attended=order.attended,
        first_line=order.first_line,
        request_id=order.request_id,
    )


def _progress(message: pb.Progress) -> JobProgress:
    has_rest = message.HasField("remaining")
    return JobProgress(
        lines=message.lines,
        size_bytes=message.size_bytes,
        sent_lines=message.sent_lines,
        sent_bytes=message.sent_bytes,
        acknowledged_lines=message.acknowledged_lines,
        acknowledged_bytes=message.acknowledged_bytes,
        executed_lines=message.executed_lines,
        run=getattr(message, "pass"),  # a keyword of Python
        elapsed_s=_seconds(message.elapsed),
        remaining_s=_seconds(message.remaining) if has_rest else None,
    )


def _state(state: pb.JobState.ValueType) -> str:
    known = state in pb.JobState.values()
    return pb.JobState.Name(state).removeprefix("JOB_STATE_").lower() if known else "unknown"


def _moment(message: Timestamp) -> datetime:
    return message.ToDatetime(UTC)


def _seconds(message: Duration) -> float:
    return message.seconds + message.nanos * 1e-9
