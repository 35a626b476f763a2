"""Between messages of serial.proto and the domain; nothing else here knows both."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from usbshare.base.errors import InvalidArgumentError
from usbshare.line.credit import Credit
from usbshare.line.profiles import Priority, StopAction
from usbshare.line.program_runs import Untouched
from usbshare.line.settings import FlowControl, LineSettings, ModemLines, Parity, SettingsChange
from usbshare.rpc.wire_time import duration, seconds_of, timestamp
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc.api.convert_holds import hold_message, latch_message
from usbshare.serial_svc.api.convert_stats import queue_message
from usbshare.serial_svc.line.firmware import StopBytes
from usbshare.serial_svc.line.keeper import PortState
from usbshare.serial_svc.line.port_config import LinkLossPolicy
from usbshare.serial_svc.line.scheduler import CommandOutcome, Ordering
from usbshare.serial_svc.ports.changes import Change
from usbshare.serial_svc.sessions import events as ev
from usbshare.serial_svc.sessions.client import Command, Holder, Mode, Resumption
from usbshare.serial_svc.sessions.operations import LineStep
from usbshare.serial_svc.sessions.port_description import PortDescription

LONGEST_NAME_BYTES = 64
HEARTBEAT_INTERVAL_S = 0.25

T = TypeVar("T")
_new_tuple = tuple.__new__  # what a NamedTuple's own does, a Python call less

_PRIORITIES = {
    pb.PRIORITY_UNSPECIFIED: None,
    pb.PRIORITY_EMERGENCY: Priority.EMERGENCY,
    pb.PRIORITY_HIGH: Priority.HIGH,
    pb.PRIORITY_NORMAL: Priority.NORMAL,
    pb.PRIORITY_LOW: Priority.LOW,
}
_MODES = {
    pb.SESSION_MODE_CONTROL: Mode.CONTROL,
    pb.SESSION_MODE_TAKE: Mode.CONTROL,
    pb.SESSION_MODE_OBSERVE: Mode.OBSERVE,
}
_ORDERINGS = {
    pb.ORDERING_UNSPECIFIED: Ordering.PROGRAM,
    pb.ORDERING_PROGRAM: Ordering.PROGRAM,
    pb.ORDERING_PRIORITY: Ordering.PRIORITY,
}
_STOPS = {
    pb.STOP_ACTION_HOLD: StopAction.HOLD,
    pb.STOP_ACTION_SAFETY_DOOR: StopAction.SAFETY_DOOR,
    pb.STOP_ACTION_RESUME: StopAction.RESUME,
    pb.STOP_ACTION_EMERGENCY_STOP: StopAction.EMERGENCY_STOP,
}
_PARITIES = {
    pb.PARITY_NONE: Parity.NONE,
    pb.PARITY_EVEN: Parity.EVEN,
    pb.PARITY_ODD: Parity.ODD,
    pb.PARITY_MARK: Parity.MARK,
    pb.PARITY_SPACE: Parity.SPACE,
}
_STOP_BITS = {
    pb.STOP_BITS_ONE: 1.0,
    pb.STOP_BITS_ONE_AND_HALF: 1.5,
    pb.STOP_BITS_TWO: 2.0,
}
_FLOW_CONTROLS = {
    pb.FLOW_CONTROL_NONE: FlowControl.NONE,
    pb.FLOW_CONTROL_RTS_CTS: FlowControl.RTS_CTS,
    pb.FLOW_CONTROL_XON_XOFF: FlowControl.XON_XOFF,
}
_PARITY_CODES = {value: key for key, value in _PARITIES.items()}
_STOP_BIT_CODES = {value: key for key, value in _STOP_BITS.items()}
_FLOW_CONTROL_CODES = {value: key for key, value in _FLOW_CONTROLS.items()}
_STATES = {
    PortState.AVAILABLE: pb.PORT_STATE_AVAILABLE,
    PortState.OPEN: pb.PORT_STATE_OPEN,
    PortState.ABSENT: pb.PORT_STATE_ABSENT,
    PortState.FAILED: pb.PORT_STATE_FAILED,
}
_PROFILES = {
    "raw": pb.PROFILE_RAW,
    "grbl": pb.PROFILE_GRBL,
    "marlin": pb.PROFILE_MARLIN,
    "grblhal": pb.PROFILE_GRBLHAL,
    "grbl09": pb.PROFILE_GRBL09,
    "smoothie": pb.PROFILE_SMOOTHIE,
    "reprap": pb.PROFILE_REPRAP,
    "gcode": pb.PROFILE_GCODE,
    "auto": pb.PROFILE_AUTO,
}
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
_STOP_BYTES = {
    StopBytes.OWN: pb.STOP_BYTES_OWN,
    StopBytes.FALLBACK: pb.STOP_BYTES_FALLBACK,
    StopBytes.NONE: pb.STOP_BYTES_NONE,
}
_POLICIES = {
    LinkLossPolicy.DOOR: pb.LINK_LOSS_POLICY_DOOR,
    LinkLossPolicy.HOLD: pb.LINK_LOSS_POLICY_HOLD,
    LinkLossPolicy.STOP: pb.LINK_LOSS_POLICY_STOP,
    LinkLossPolicy.CONTINUE: pb.LINK_LOSS_POLICY_CONTINUE,
    LinkLossPolicy.NONE: pb.LINK_LOSS_POLICY_NONE,
}
_CHANGES = {
    Change.EXISTING: pb.PORT_CHANGE_EXISTING,
    Change.ADDED: pb.PORT_CHANGE_ADDED,
    Change.UPDATED: pb.PORT_CHANGE_UPDATED,
    Change.REMOVED: pb.PORT_CHANGE_REMOVED,
}


# What clients send.


def mode(message: pb.Open) -> Mode:
    """Return the mode; raises InvalidArgumentError when it is missing."""
    return known(_MODES, message.mode, "open.mode", pb.SessionMode)


def ordering(message: pb.Open) -> Ordering:
    """Return the ordering."""
    return known(_ORDERINGS, message.ordering, "open.ordering", pb.Ordering)


def resumption(message: pb.Open, require_begin: Callable[[], None]) -> Resumption | None:
    """Return which lost session to take up, None for a new one."""
    if not message.resume_token:
        return None
    token, offset, results = message.resume_token, message.resume_offset, message.resume_results
    return Resumption(token, offset, require_begin, results)


def client_name(message: pb.Open | pb.RequestControlRequest) -> str:
    """Return what the client calls itself, on one printable line."""
    field = "open.client_name" if isinstance(message, pb.Open) else "client_name"
    return one_line(message.client_name, field, LONGEST_NAME_BYTES)


def one_line(text: str, field: str, most_bytes: int) -> str:
    """Return a text that may go into a log; raises InvalidArgumentError naming the field."""
    if len(text.encode()) > most_bytes or not text.isprintable():
        raise InvalidArgumentError(f"{field} is not at most {most_bytes} printable bytes")
    return text


def cleaned(text: str, most_bytes: int) -> str:
    """Return a text made fit for a log: a stop is not refused for its words."""
    shown = "".join(each if each.isprintable() else " " for each in text[:most_bytes])
    return shown.encode()[:most_bytes].decode(errors="ignore")


def command(message: pb.Command) -> Command:
    """Return a command."""
    priority = None
    if message.priority:
        priority = known(_PRIORITIES, message.priority, "command.priority", pb.Priority)
    data = Untouched(message.data) if message.untouched else message.data
    after_reset = message.after_reset
    fields = (message.id, priority, message.epoch, message.offset, data, after_reset)
    return _new_tuple(Command, fields)


def settings_change(message: pb.SerialSettings) -> SettingsChange:
    """Return which settings to change."""
    parity, stop_bits = message.parity, message.stop_bits
    flow = message.flow_control
    return SettingsChange(
        baud=message.baud if message.HasField("baud") else None,
        data_bits=message.data_bits if message.HasField("data_bits") else None,
        parity=_optional(_PARITIES, parity, "settings.parity", pb.Parity),
        stop_bits=_optional(_STOP_BITS, stop_bits, "settings.stop_bits", pb.StopBits),
        flow_control=_optional(_FLOW_CONTROLS, flow, "settings.flow_control", pb.FlowControl),
    )


def stop_action(message: pb.StopRequest) -> StopAction:
    """Return the action; raises InvalidArgumentError when it is missing."""
    return known(_STOPS, message.action, "action", pb.StopAction)


def optional_bool(message: Any, field: str) -> bool | None:
    """Return an optional field, None where it is absent."""
    return getattr(message, field) if message.HasField(field) else None


def line_steps(message: pb.LineSequence) -> list[LineStep]:
    """Return the steps of a sequence."""
    return [
        LineStep(
            dtr=optional_bool(step, "dtr"),
            rts=optional_bool(step, "rts"),
            line_break=optional_bool(step, "line_break"),
            delay_s=seconds_of(step.delay, "line_sequence.steps.delay", most=10.0),
        )
        for step in message.steps
    ]


def known(table: Mapping[Any, T], value: Any, field: str, enum: Any) -> T:
    """Return what a value stands for; raises InvalidArgumentError naming what is accepted."""
    if value in table:
        return table[value]
    accepted = ", ".join(enum.Name(key) for key in table)
    given = enum.Name(value) if value in enum.values() else value
    raise InvalidArgumentError(f"{field} is {given}; accepted: {accepted}")


def _optional(table: Mapping[Any, T], value: Any, field: str, enum: Any) -> T | None:
    return None if value == 0 else known(table, value, field, enum)


# What the service sends.


def settings_message(settings: LineSettings) -> pb.SerialSettings:
    """Return all settings."""
    return pb.SerialSettings(
        baud=settings.baud,
        data_bits=settings.data_bits,
        parity=_PARITY_CODES[settings.parity],
        stop_bits=_STOP_BIT_CODES[float(settings.stop_bits)],
        flow_control=_FLOW_CONTROL_CODES[settings.flow_control],
    )


def lines_message(lines: ModemLines) -> pb.LineState:
    """Return the lines; what cannot be read is absent."""
    names = ("cts", "dsr", "ri", "cd", "dtr", "rts")
    known = {name: getattr(lines, name) for name in names if getattr(lines, name) is not None}
    if (counts := lines.counts) is None:
        return pb.LineState(**known)
    return pb.LineState(
        **known,
        breaks=counts.breaks,
        framing_errors=counts.framing_errors,
        parity_errors=counts.parity_errors,
        overruns=counts.overruns,
    )


def port_message(port: PortDescription) -> pb.Port:
    """Return a port; the message is shared by all recipients, so do not change it."""
    if not port.made:
        port.made.append(_port_message(port))
    return cast("pb.Port", port.made[0])


def _port_message(port: PortDescription) -> pb.Port:
    message = pb.Port(
        id=port.id,
        description=port.description,
        source=port.source,
        device=port.device,
        state=_STATES[port.state],
        state_reason=port.state_reason,
        configured_profile=_PROFILES[port.configured_profile],
        profile=_PROFILES[port.profile],
        settings=settings_message(port.settings),
        observers=port.observers,
        epoch=port.epoch,
        latched=port.latched,
        held=port.held,
        link_loss=_POLICIES[port.link_loss],
        low_latency=port.low_latency,
        stop_bytes=_STOP_BYTES[port.stop_bytes],
        sees_gcode=port.sees_gcode,
        machine_state=port.machine_state,
        hold_number=port.hold_number,
    )
    if port.holder is not None:
        message.holder.CopyFrom(holder_message(port.holder))
    message.usb_socket = port.usb_socket
    if port.usb is not None:
        usb = port.usb
        message.usb.vendor_id, message.usb.product_id = usb.vendor_id, usb.product_id
        message.usb.serial_number = usb.serial_number
        message.usb.manufacturer, message.usb.product = usb.manufacturer, usb.product
    if port.latch is not None:
        message.latch.CopyFrom(latch_message(port.latch))
    if port.hold is not None:
        message.hold.CopyFrom(hold_message(port.hold))
    return message


def holder_message(holder: Holder) -> pb.Holder:
    """Return who has control."""
    return pb.Holder(
        session_id=holder.session_id,
        identity=holder.identity,
        client_name=holder.client_name,
        peer=holder.peer,
        open_time=timestamp(holder.open_time),
    )


def watch_message(change: Change, port: PortDescription) -> pb.WatchPortsResponse:
    """Return what happened to a port."""
    return pb.WatchPortsResponse(change=_CHANGES[change], port=port_message(port))


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
        port=port_message(event.port),
        data_offset=event.data_offset,
        lines=lines_message(event.lines),
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
        result.settings.CopyFrom(settings_message(event.settings))
    return pb.SessionResponse(operation_result=result)


_EVENTS: dict[type, Callable[[Any], pb.SessionResponse]] = {
    ev.Opened: _opened,
    ev.CommandResult: _command_result,
    ev.OperationResult: _operation_result,
    ev.SettingsChanged: lambda e: pb.SessionResponse(
        settings_changed=pb.SettingsChanged(settings=settings_message(e.settings))
    ),
    ev.LinesChanged: lambda e: pb.SessionResponse(
        lines_changed=pb.LinesChanged(lines=lines_message(e.lines))
    ),
    ev.PortChanged: lambda e: pb.SessionResponse(
        port_changed=pb.PortChanged(port=port_message(e.port))
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
