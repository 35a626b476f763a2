"""Between messages of serial.proto and the bridge's own; nothing else here knows both."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import Any

from google.protobuf.duration_pb2 import Duration

from usbshare.client.serial import messages as m
from usbshare.client.serial.convert_times import client_times_message, seconds
from usbshare.line.credit import Credit
from usbshare.line.profiles import AUTO, BY_NAME, Priority
from usbshare.line.program_runs import Untouched
from usbshare.line.settings import FlowControl, LineCounts, LineSettings, ModemLines, Parity
from usbshare.rpc.wire_time import duration
from usbshare.serial.v1 import serial_pb2 as pb

_PARITIES = {
    Parity.NONE: pb.PARITY_NONE,
    Parity.EVEN: pb.PARITY_EVEN,
    Parity.ODD: pb.PARITY_ODD,
    Parity.MARK: pb.PARITY_MARK,
    Parity.SPACE: pb.PARITY_SPACE,
}
_STOP_BITS = {1.0: pb.STOP_BITS_ONE, 1.5: pb.STOP_BITS_ONE_AND_HALF, 2.0: pb.STOP_BITS_TWO}
_FLOW_CONTROLS = {
    FlowControl.NONE: pb.FLOW_CONTROL_NONE,
    FlowControl.RTS_CTS: pb.FLOW_CONTROL_RTS_CTS,
    FlowControl.XON_XOFF: pb.FLOW_CONTROL_XON_XOFF,
}
_PRIORITIES = {
    Priority.EMERGENCY: pb.PRIORITY_EMERGENCY,
    Priority.HIGH: pb.PRIORITY_HIGH,
    Priority.NORMAL: pb.PRIORITY_NORMAL,
    Priority.LOW: pb.PRIORITY_LOW,
}
_PARITY_OF = {code: parity for parity, code in _PARITIES.items()}
_STOP_BITS_OF = {code: bits for bits, code in _STOP_BITS.items()}
_FLOW_CONTROL_OF = {code: flow for flow, code in _FLOW_CONTROLS.items()}

_new_tuple = tuple.__new__  # what a NamedTuple's own does, a Python call less


def open_request(
    port_id: str,
    *,
    observe: bool,
    takes: bool = False,
    independent: bool,
    client_name: str,
    resume_token: str = "",
    resume_offset: int = 0,
    lines: m.LineOptions | None = None,
    resume_results: int = 0,
) -> pb.SessionRequest:
    """Return the first message; `independent` commands go by priority, each is answered."""
    answers_all = independent or lines is not None
    opened = pb.Open(
        port_id=port_id,
        mode=_mode(observe=observe, takes=takes),
        ordering=pb.ORDERING_PRIORITY if independent else pb.ORDERING_PROGRAM,
        results=pb.RESULT_POLICY_ALL if answers_all else pb.RESULT_POLICY_FAILURES,
        client_name=client_name,
        resume_token=resume_token,
        resume_offset=resume_offset,
        resume_results=resume_results,
    )
    if lines is not None:
        opened.delivery = pb.DELIVERY_FIRMWARE_FLOW_CONTROL
        opened.checksums = lines.checksums
        if lines.continues:
            opened.on_line_error = pb.LINE_ERROR_POLICY_CONTINUE
    return pb.SessionRequest(open=opened)


def _mode(*, observe: bool, takes: bool) -> pb.SessionMode.ValueType:
    if observe:
        return pb.SESSION_MODE_OBSERVE
    return pb.SESSION_MODE_TAKE if takes else pb.SESSION_MODE_CONTROL


def request(message: m.Message, taken_offset: int) -> pb.SessionRequest:
    """Return a message of the session, with how much of the device's bytes was taken."""
    if type(message) is m.SendCommand:  # what goes most, and must not wait
        packed = _command(message)
    else:
        packed = _MESSAGES[type(message)](message)
    packed.received_offset = taken_offset
    return packed


def event(response: pb.SessionResponse) -> m.Event | None:
    """Return the service's event, None for credit alone or what we do not know yet."""
    kind = response.WhichOneof("event")
    if kind == "data":
        data = response.data
        age_s = seconds(data.age) if data.HasField("age") else 0.0
        return _new_tuple(m.DataEvent, (data.offset, data.data, age_s))
    unpack = _EVENTS.get(kind) if kind else None
    return unpack(getattr(response, kind)) if unpack and kind else None


def credit(response: pb.SessionResponse) -> Credit | None:
    """Return the credit that came with a response."""
    if not response.HasField("credit"):
        return None
    told = response.credit
    fields = (told.limit_offset, told.limit_commands, told.consumed_offset)
    return _new_tuple(Credit, fields)


def remote_port(port: pb.Port) -> m.RemotePort:
    """Return a port."""
    has_usb = port.HasField("usb")
    return m.RemotePort(
        id=port.id,
        description=port.description,
        source=port.source,
        device=port.device,
        vendor_id=port.usb.vendor_id if has_usb else None,
        product_id=port.usb.product_id if has_usb else None,
        serial_number=port.usb.serial_number,
        state=_name(pb.PortState, port.state, "PORT_STATE_"),
        reason=port.state_reason,
        profile=BY_NAME.get(_name(pb.Profile, port.profile, "PROFILE_"), AUTO),
        configured_profile=_name(pb.Profile, port.configured_profile, "PROFILE_"),
        settings=line_settings(port.settings),
        holder=_holder(port),
        observers=port.observers,
        epoch=port.epoch,
        latched=port.latched,
        held=port.held,
        low_latency=port.low_latency if port.HasField("low_latency") else None,
        usb_socket=port.usb_socket,
        latch=_latch(port.latch) if port.HasField("latch") else None,
        stop_bytes=_name(pb.StopBytes, port.stop_bytes, "STOP_BYTES_"),
        sees_gcode=port.sees_gcode,
        hold=_hold(port.hold) if port.HasField("hold") else None,
        hold_number=port.hold_number,
        machine_state=port.machine_state,
    )


def line_settings(settings: pb.SerialSettings) -> LineSettings:
    """Return settings; what is not given is as on a new line."""
    return LineSettings(
        baud=settings.baud or 115200,
        data_bits=settings.data_bits or 8,
        parity=_PARITY_OF.get(settings.parity, Parity.NONE),
        stop_bits=_STOP_BITS_OF.get(settings.stop_bits, 1.0),
        flow_control=_FLOW_CONTROL_OF.get(settings.flow_control, FlowControl.NONE),
    )


def _latch(latch: pb.Latch) -> m.RemoteLatch:
    return m.RemoteLatch(
        cause=_name(pb.LatchCause, latch.cause, "LATCH_CAUSE_"),
        who=latch.who,
        reason=latch.reason,
        at=latch.begin_time.ToDatetime(UTC),
        epoch=latch.epoch,
        release=_name(pb.Release, latch.release, "RELEASE_"),
    )


def _hold(hold: pb.Hold) -> m.Hold:
    return m.Hold(
        cause=_name(pb.HoldCause, hold.cause, "HOLD_CAUSE_"),
        who=hold.who,
        at=hold.begin_time.ToDatetime(UTC),
        release=_name(pb.Release, hold.release, "RELEASE_"),
        waiting_bytes=hold.waiting_bytes,
        waiting_age_s=_seconds(hold.waiting_age) if hold.HasField("waiting_age") else None,
        reason=hold.reason,
    )


def _holder(port: pb.Port) -> str:
    if not port.HasField("holder"):
        return ""
    holder = port.holder
    name = f" ({holder.client_name})" if holder.client_name else ""
    return f"{holder.identity}{name} at {holder.peer}"


def _name(enum: Any, value: int, prefix: str) -> str:
    known = value in enum.values()
    return enum.Name(value).removeprefix(prefix).lower().replace("_", " ") if known else "unknown"


def _seconds(message: Duration) -> float:
    return message.seconds + message.nanos * 1e-9


def _command(message: m.SendCommand) -> pb.SessionRequest:
    packed = pb.SessionRequest()
    command = packed.command
    command.id, command.offset, data, command.epoch, priority, after_reset = message
    command.data = data
    if priority is not None:
        command.priority = _PRIORITIES[priority]
    if after_reset:
        command.after_reset = after_reset
    if type(data) is Untouched:
        command.untouched = True
    return packed


def _configure(message: m.Configure) -> pb.SessionRequest:
    settings = message.settings
    packed = pb.SerialSettings(
        baud=settings.baud,
        data_bits=settings.data_bits,
        parity=_PARITIES[settings.parity],
        stop_bits=_STOP_BITS[float(settings.stop_bits)],
        flow_control=_FLOW_CONTROLS[settings.flow_control],
    )
    return pb.SessionRequest(configure=pb.Configure(id=message.id, settings=packed))


def _set_lines(message: m.SetLines) -> pb.SessionRequest:
    lines = pb.SetLines(id=message.id, dtr=message.dtr, rts=message.rts)
    return pb.SessionRequest(set_lines=lines)


def _hold_break(message: m.HoldBreak) -> pb.SessionRequest:
    return pb.SessionRequest(hold_break=pb.HoldBreak(id=message.id, on=message.on))


def _flush(message: m.Flush) -> pb.SessionRequest:
    directions = {
        (True, True): pb.FLUSH_DIRECTION_BOTH,
        (True, False): pb.FLUSH_DIRECTION_INPUT,
        (False, True): pb.FLUSH_DIRECTION_OUTPUT,
    }
    direction = directions[message.received, message.written]
    return pb.SessionRequest(flush=pb.Flush(id=message.id, direction=direction))


def _heartbeat(message: m.Heartbeat) -> pb.SessionRequest:
    nanos = int(min(message.round_trip_s, 60.0) * 1e9)
    round_trip = Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
    beat = pb.Heartbeat(id=message.id, round_trip=round_trip, heard_id=message.heard_id)
    if message.times is not None:
        beat.times.CopyFrom(client_times_message(message.times))
    return pb.SessionRequest(heartbeat=beat)


_MESSAGES: dict[type, Callable[[Any], pb.SessionRequest]] = {
    m.SendRealtime: lambda e: pb.SessionRequest(
        realtime=pb.Realtime(data=e.data, epoch=e.epoch, first_number=e.first_number)
    ),
    m.Configure: _configure,
    m.SetLines: _set_lines,
    m.HoldBreak: _hold_break,
    m.Flush: _flush,
    m.Heartbeat: _heartbeat,
    m.Acknowledge: lambda _: pb.SessionRequest(),
    m.Waiting: lambda e: pb.SessionRequest(waiting=pb.Waiting(bytes=e.size, age=duration(e.age_s))),
    m.Lost: lambda e: pb.SessionRequest(lost=pb.Lost(bytes=e.size)),
    m.Goodbye: lambda _: pb.SessionRequest(close=pb.Close()),
}


def _opened(event: pb.Opened) -> m.OpenedEvent:
    return m.OpenedEvent(
        session_id=event.session_id,
        port=remote_port(event.port),
        data_offset=event.data_offset,
        lines=_lines(event.lines),
        resume_token=event.resume_token,
        resumed=event.resumed,
        not_resumed_reason=event.not_resumed_reason,
        accepted_offset=event.accepted_offset,
        accepted_commands=event.accepted_commands,
        link_timeout_s=_seconds(event.link_timeout),
        resume_window_s=_seconds(event.resume_window),
        firmware_buffer_bytes=event.firmware_buffer_bytes,
    )


def _result(event: pb.CommandResult) -> m.ResultEvent:
    return m.ResultEvent(
        id=event.id,
        outcome=_name(pb.CommandOutcome, event.outcome, "COMMAND_OUTCOME_"),
        queue_time_s=_seconds(event.queue_time),
        write_time_s=_seconds(event.write_time),
        message=event.message,
        written_bytes=event.written_bytes,
        reply=event.reply,
        answer_time_s=_seconds(event.answer_time) if event.HasField("answer_time") else None,
    )


def _operation(event: pb.OperationResult) -> m.OperationEvent:
    outcome = _name(pb.OperationOutcome, event.outcome, "OPERATION_OUTCOME_")
    return m.OperationEvent(event.id, outcome, event.message)


def reset_report(reply: pb.ResetResponse) -> m.ResetReport:
    """Return what a reset did."""
    pulsed = "" if reply.sent else "RTS" if reply.pulsed_rts else "DTR"
    return m.ResetReport(reply.epoch, reply.latched, reply.sent, reply.fenced_commands, pulsed)


def _lines(lines: pb.LineState) -> ModemLines:
    names = ("cts", "dsr", "ri", "cd", "dtr", "rts")
    known = {n: getattr(lines, n) if lines.HasField(n) else None for n in names}  # type: ignore[arg-type]
    counts = LineCounts(lines.breaks, lines.framing_errors, lines.parity_errors, lines.overruns)
    return ModemLines(**known, counts=counts if lines.HasField("breaks") else None)


def _queue(event: pb.QueueState) -> m.QueueEvent:
    return m.QueueEvent(event.commands, _name(pb.QueueBand, event.band, "QUEUE_BAND_"))


def _asker(asked: pb.ControlRequested) -> str:
    name = "".join(each for each in asked.client_name if each.isprintable())
    return f"{asked.identity} ({name})" if name else asked.identity


def _host_time_s(reply: pb.HeartbeatReply) -> float | None:
    return seconds(reply.host_time) if reply.HasField("host_time") else None


_EVENTS: dict[str, Callable[[Any], m.Event]] = {
    "opened": _opened,
    "command_result": _result,
    "operation_result": _operation,
    "settings_changed": lambda e: m.SettingsEvent(line_settings(e.settings)),
    "lines_changed": lambda e: m.LinesEvent(_lines(e.lines)),
    "port_changed": lambda e: m.PortEvent(remote_port(e.port)),
    "queue_state": _queue,
    "gap": lambda e: m.GapEvent(e.lost_bytes, e.next_offset),
    "heartbeat": lambda e: m.HeartbeatEvent(e.id, e.realtime_number, _host_time_s(e)),
    "closed": lambda _: m.ClosedEvent(),
    "control_requested": lambda e: m.AskedEvent(_asker(e)),
}
