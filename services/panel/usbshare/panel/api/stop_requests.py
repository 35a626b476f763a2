"""Requests that act on a machine at once: stop, resume, re-arm, reset; unpack, one call, pack."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime

from usbshare.base.errors import InvalidArgumentError
from usbshare.client.serial.stop_report import SeenHold, StopReport
from usbshare.line.stop_actions import StopAction
from usbshare.page.v1 import page_pb2 as pb
from usbshare.panel.api.requests import Handler
from usbshare.panel.machines.acting import Acting
from usbshare.panel.machines.machine_view import MachineKey
from usbshare.panel.socket import Page
from usbshare.rpc.wire_time import duration, timestamp
from usbshare.serial.v1 import serial_pb2

_ACTIONS = {
    serial_pb2.STOP_ACTION_HOLD: StopAction.HOLD,
    serial_pb2.STOP_ACTION_SAFETY_DOOR: StopAction.SAFETY_DOOR,
    serial_pb2.STOP_ACTION_RESUME: StopAction.RESUME,
    serial_pb2.STOP_ACTION_EMERGENCY_STOP: StopAction.EMERGENCY_STOP,
}
REASON = "panel"


def key_of(message: pb.MachineKey) -> MachineKey:
    """Return the machine that is meant; InvalidArgumentError if none is named."""
    if not message.host or not message.port_id:
        raise InvalidArgumentError("the request names no machine: give machine.host and .portId")
    return (message.host, message.port_id)


def acting_handlers(acting: Acting, client_name: str) -> Mapping[str, Handler]:
    """Return the handlers of requests that act at once."""

    async def stop(page: Page, asked: pb.Stop, request_id: int) -> pb.Answer:
        action = _ACTIONS.get(asked.action)
        if action is None:
            raise InvalidArgumentError("stop.action must be one of serial.proto's StopAction")
        seen = SeenHold(asked.epoch, asked.hold_number) if action is StopAction.RESUME else None
        report = await acting.stop(key_of(asked.machine), action, asked.reason or REASON, seen)
        return pb.Answer(stop=stop_done(report))

    async def rearm(page: Page, asked: pb.Rearm, request_id: int) -> pb.Answer:
        epoch = await acting.rearm(key_of(asked.machine), asked.epoch)
        return pb.Answer(rearm=serial_pb2.RearmResponse(epoch=epoch))

    async def reset(page: Page, asked: pb.Reset, request_id: int) -> pb.Answer:
        line = "dtr" if asked.pulse_dtr else "rts" if asked.pulse_rts else ""
        done = await acting.reset(key_of(asked.machine), line, REASON)
        return pb.Answer(
            reset=serial_pb2.ResetResponse(
                epoch=done.epoch,
                latched=done.latched,
                sent=done.sent,
                fenced_commands=done.fenced_commands,
                pulsed_rts=done.pulsed == "RTS",
            )
        )

    async def request_control(page: Page, asked: pb.RequestControl, request_id: int) -> pb.Answer:
        is_told = await acting.request_control(key_of(asked.machine), client_name)
        return pb.Answer(request_control=serial_pb2.RequestControlResponse(told=is_told))

    async def ping(page: Page, asked: pb.Ping, request_id: int) -> pb.Answer:
        clock = duration(asyncio.get_running_loop().time())
        return pb.Answer(alive=pb.Alive(time=timestamp(datetime.now(UTC)), clock=clock))

    return {
        "stop": stop,
        "rearm": rearm,
        "reset": reset,
        "request_control": request_control,
        "ping": ping,
    }


def stop_done(report: StopReport) -> pb.StopDone:
    """Return the result of a stop."""
    response = serial_pb2.StopResponse(
        epoch=report.epoch,
        latched=report.latched,
        sent=report.sent,
        fenced_commands=report.fenced_commands,
        receive_time=timestamp(report.receive_time),
        write_delay=duration(report.write_delay_s),
        hold_number=report.hold_number,
    )
    if report.drain_delay_s is not None:
        response.drain_delay.CopyFrom(duration(report.drain_delay_s))
    return pb.StopDone(response=response, round_trip=duration(report.round_trip_s))
