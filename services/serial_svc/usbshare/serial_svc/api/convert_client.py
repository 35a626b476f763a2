"""Who opens a session or asks for one, and what a reset did."""

from __future__ import annotations

from usbshare.base.errors import InvalidArgumentError
from usbshare.rpc.identity import Identity
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc.api import convert, convert_port
from usbshare.serial_svc.line.scheduler import Ordering
from usbshare.serial_svc.sessions.client import Client, Holder, LineChoice, Mode, new_session_id
from usbshare.serial_svc.stop.audit import Pulse, ResetRecord

_DELIVERIES = {
    pb.DELIVERY_UNSPECIFIED: False,
    pb.DELIVERY_BYTES: False,
    pb.DELIVERY_FIRMWARE_FLOW_CONTROL: True,
}
_LINE_ERRORS = {
    pb.LINE_ERROR_POLICY_UNSPECIFIED: False,
    pb.LINE_ERROR_POLICY_HOLD: False,
    pb.LINE_ERROR_POLICY_CONTINUE: True,
}


def client_of(message: pb.Open, identity: Identity) -> Client:
    """Return the client; raises InvalidArgumentError for what it may not ask."""
    return Client(
        session_id=new_session_id(),
        identity=identity.name,
        name=convert.client_name(message),
        peer=identity.address,
        mode=convert.mode(message),
        ordering=convert.ordering(message),
        only_failures=message.results == pb.RESULT_POLICY_FAILURES,
        takes=message.mode == pb.SESSION_MODE_TAKE,
        lines=_lines_of(message),
    )


def _lines_of(message: pb.Open) -> LineChoice | None:
    """Return how lines are delivered, None for bytes."""
    continues = convert.known(
        _LINE_ERRORS, message.on_line_error, "open.on_line_error", pb.LineErrorPolicy
    )
    if not convert.known(_DELIVERIES, message.delivery, "open.delivery", pb.Delivery):
        if message.on_line_error or message.checksums:
            raise InvalidArgumentError(
                "open.on_line_error and open.checksums require delivery "
                "DELIVERY_FIRMWARE_FLOW_CONTROL"
            )
        return None
    what = "with DELIVERY_FIRMWARE_FLOW_CONTROL"
    if convert.mode(message) is not Mode.CONTROL:
        raise InvalidArgumentError(f"open.mode must be SESSION_MODE_CONTROL or TAKE {what}")
    if convert.ordering(message) is not Ordering.PROGRAM:
        raise InvalidArgumentError(f"open.ordering must be ORDERING_PROGRAM {what}")
    if message.results == pb.RESULT_POLICY_FAILURES:
        raise InvalidArgumentError(f"open.results must be RESULT_POLICY_ALL {what}")
    return LineChoice(continues=continues, checksums=message.checksums)


def reset_response(record: ResetRecord) -> pb.ResetResponse:
    """Return what a reset did."""
    return pb.ResetResponse(
        epoch=record.epoch,
        latched=record.latched,
        sent=record.sent,
        fenced_commands=record.fenced_commands,
        pulsed_rts=record.pulsed is Pulse.RTS,
    )


def pulse_of(request: pb.ResetRequest) -> Pulse | None:
    """Return which line is to be pulsed in any case; raises InvalidArgumentError."""
    if request.pulse_dtr and request.pulse_rts:
        raise InvalidArgumentError("pulse_dtr and pulse_rts cannot be combined")
    if request.pulse_rts:
        return Pulse.RTS
    return Pulse.DTR if request.pulse_dtr else None


def control_response(holder: Holder | None, told: bool) -> pb.RequestControlResponse:
    """Return who has control, and whether it was notified."""
    shown = None if holder is None else convert_port.holder_message(holder)
    return pb.RequestControlResponse(holder=shown, told=told)
