"""Who opens a session or asks for one, and what a reset did."""

from __future__ import annotations

from usbshare.common.identity import Identity
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial_svc import convert
from usbshare.serial_svc.client import Client, new_session_id
from usbshare.serial_svc.description import Holder
from usbshare.serial_svc.stop.machine_reset import ResetRecord


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
    )


def reset_response(record: ResetRecord) -> pb.ResetResponse:
    """Return what a reset did."""
    return pb.ResetResponse(
        epoch=record.epoch,
        latched=record.latched,
        sent=record.sent,
        fenced_commands=record.fenced_commands,
    )


def control_response(holder: Holder | None, told: bool) -> pb.RequestControlResponse:
    """Return who has control, and whether it was told."""
    shown = None if holder is None else convert.holder_message(holder)
    return pb.RequestControlResponse(holder=shown, told=told)
