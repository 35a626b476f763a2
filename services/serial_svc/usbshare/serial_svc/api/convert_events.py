"""What a session tells its client, as messages of serial.proto."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from usbshare.line.credit import Credit
from usbshare.rpc.wire_time import duration
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc.api import convert_port
from usbshare.serial_svc.api.convert_stats import queue_message
from usbshare.serial_svc.line.scheduler import CommandOutcome
from usbshare.serial_svc.sessions import events as ev

HEARTBEAT_INTERVAL_S = 0.25

_OUTCOMES = {
    CommandOutcome.WRITTEN: pb.COMMAND_OUTCOME_WRITTEN,
    CommandOutcome.FENCED: pb.COMMAND_OUTCOME_FENCED,
    CommandOutcome.FLUSHED: pb.COMMAND_OUTCOME_FLUSHED,
    CommandOutcome.REFUSED: pb.COMMAND_OUTCOME_REFUSED,
    CommandOutcome.FAILED: pb.COMMAND_OUTCOME_FAILED,
    CommandOutcome.ANSWERED: pb.COMMAND_OUTCOME_ANSWERED,
    CommandOutcome.REJECTED: pb.COMMAND_OUTCOME_REJECTED,
    CommandOutcome.UNANSWERED: pb.COMMAND_OUTCOME_UNANSWERED,
}
_OPERATION_OUTCOMES = {
    ev.OperationOutcome.OK: pb.OPERATION_OUTCOME_OK,
    ev.OperationOutcome.ASSUMED_SUCCESS: pb.OPERATION_OUTCOME_ASSUMED_SUCCESS,
    ev.OperationOutcome.ERROR: pb.OPERATION_OUTCOME_ERROR,
    ev.OperationOutcome.TIMEOUT: pb.OPERATION_OUTCOME_TIMEOUT,
    ev.OperationOutcome.NOT_SUPPORTED: pb.OPERATION_OUTCOME_NOT_SUPPORTED,
}


def response(event: ev.SessionEvent | None, credit: Credit | None) -> pb.SessionResponse:
    """Return one message of a session: an event, credit, or both."""
    if type(event) is ev.Data:  # what comes most, and must not wait
        message = pb.SessionResponse()
        data = message.data
        data.offset, data.data, age_s = event
        if age_s:
            data.age.CopyFrom(duration(age_s))
    else:
        message = pb.SessionResponse() if event is None else _EVENTS[type(event)](event)
    if credit is not None:
        told = message.credit
        told.limit_offset, told.limit_commands, told.consumed_offset = credit
    return message


def _opened(event: ev.Opened) -> pb.SessionResponse:
    opened = pb.Opened(
        session_id=event.session_id,
        port=convert_port.port_message(event.port),
        data_offset=event.data_offset,
        lines=convert_port.lines_message(event.lines),
        heartbeat_interval=duration(HEARTBEAT_INTERVAL_S),
        resume_token=event.token,
        resumed=event.resumed,
        not_resumed_reason=event.not_resumed_reason,
        accepted_offset=event.accepted_offset,
        accepted_commands=event.accepted_commands,
        link_timeout=duration(event.link_timeout_s),
        resume_window=duration(event.resume_window_s),
        firmware_buffer_bytes=event.firmware_buffer_bytes,
    )
    return pb.SessionResponse(opened=opened)


def _command_result(event: ev.CommandResult) -> pb.SessionResponse:
    result = pb.CommandResult(
        id=event.command_id,
        outcome=_OUTCOMES[event.outcome],
        written_bytes=event.written_bytes,
        queue_time=duration(event.queue_time_s),
        write_time=duration(event.write_time_s),
        message=event.message,
        reply=event.reply,
    )
    if event.answer_time_s is not None:
        result.answer_time.CopyFrom(duration(event.answer_time_s))
    return pb.SessionResponse(command_result=result)


def _heartbeat_reply(event: ev.HeartbeatReply) -> pb.HeartbeatReply:
    reply = pb.HeartbeatReply(id=event.heartbeat_id, realtime_number=event.realtime_number)
    if event.read_at is not None:  # this is the last that is done before it is handed over
        reply.host_time.CopyFrom(duration(time.monotonic() - event.read_at))
    return reply


def _operation_result(event: ev.OperationResult) -> pb.SessionResponse:
    result = pb.OperationResult(
        id=event.operation_id, outcome=_OPERATION_OUTCOMES[event.outcome], message=event.message
    )
    if event.settings is not None:
        result.settings.CopyFrom(convert_port.settings_message(event.settings))
    return pb.SessionResponse(operation_result=result)


_EVENTS: dict[type, Callable[[Any], pb.SessionResponse]] = {
    ev.Opened: _opened,
    ev.CommandResult: _command_result,
    ev.OperationResult: _operation_result,
    ev.SettingsChanged: lambda e: pb.SessionResponse(
        settings_changed=pb.SettingsChanged(settings=convert_port.settings_message(e.settings))
    ),
    ev.LinesChanged: lambda e: pb.SessionResponse(
        lines_changed=pb.LinesChanged(lines=convert_port.lines_message(e.lines))
    ),
    ev.PortChanged: lambda e: pb.SessionResponse(
        port_changed=pb.PortChanged(port=convert_port.port_message(e.port))
    ),
    ev.QueueState: lambda e: pb.SessionResponse(queue_state=queue_message(e)),
    ev.Gap: lambda e: pb.SessionResponse(
        gap=pb.Gap(lost_bytes=e.lost_bytes, next_offset=e.next_offset)
    ),
    ev.HeartbeatReply: lambda e: pb.SessionResponse(heartbeat=_heartbeat_reply(e)),
    ev.Closed: lambda _: pb.SessionResponse(closed=pb.Closed()),
    ev.ControlRequested: lambda e: pb.SessionResponse(
        control_requested=pb.ControlRequested(identity=e.identity, client_name=e.client_name)
    ),
}
