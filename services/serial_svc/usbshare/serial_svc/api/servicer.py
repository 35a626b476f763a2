"""The serial service's RPCs: unpack, one call, pack."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import grpc

from usbshare.authorization.gate import Gate
from usbshare.authorization.permit import Permit
from usbshare.authorization.rights import Resource, ResourceKind, Right
from usbshare.base.errors import InvalidArgumentError, SessionLostError, UsbshareError
from usbshare.base.lateness import Lateness
from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all
from usbshare.client.serial.convert_times import client_times
from usbshare.rpc.first_message import first_message
from usbshare.rpc.identity import Identity
from usbshare.rpc.pump import StreamPump
from usbshare.rpc.wire_time import duration, optional_duration, seconds_of, timestamp
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceServicer
from usbshare.serial_svc.api import convert, convert_events, convert_port
from usbshare.serial_svc.api.convert_client import (
    client_of,
    control_response,
    pulse_of,
    reset_response,
)
from usbshare.serial_svc.api.convert_holds import seen_epoch, seen_hold
from usbshare.serial_svc.api.visible_ports import KnownPorts
from usbshare.serial_svc.api.watches import Watches
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.sessions.attachment import Attachment
from usbshare.serial_svc.sessions.client import Client, Mode, Resumption
from usbshare.serial_svc.sessions.control_requests import HandOver
from usbshare.serial_svc.sessions.events import OperationResult, SessionEvent
from usbshare.serial_svc.sessions.operations import LineOperations
from usbshare.serial_svc.sessions.session import Session

SERVICE_NAME = "usbshare.serial.v1.SerialService"
Context = grpc.aio.ServicerContext[Any, Any]
LONGEST_REASON_BYTES = 200
GOODBYE_TIMEOUT_S = 2.0


class SerialServicer(SerialServiceServicer):
    """Maps RPCs to the registry and its ports."""

    def __init__(self, registry: Registry, gate: Gate, lateness: Lateness | None = None) -> None:
        self._registry = registry
        self._gate = gate
        self._known = KnownPorts(registry, gate)
        self._watches = Watches(self._known, lateness or Lateness())
        self._hand_over = HandOver(time.monotonic)

    async def ListPorts(
        self, request: pb.ListPortsRequest, context: Context
    ) -> pb.ListPortsResponse:
        """List every port that the caller may view."""
        caller, found = self._gate.caller(context), self._registry.described()
        visible = set(self._gate.visible(caller, ResourceKind.PORT, [each.id for each in found]))
        ports = [convert_port.port_message(each) for each in found if each.id in visible]
        return pb.ListPortsResponse(ports=ports)

    async def GetPort(self, request: pb.GetPortRequest, context: Context) -> pb.GetPortResponse:
        """Return one port."""
        start = time.monotonic()
        port = self._known.get(request.port_id, self._gate.caller(context))
        reply = pb.GetPortResponse(port=convert_port.port_message(port.describe()))
        reply.host_time.CopyFrom(duration(time.monotonic() - start))
        return reply

    async def WatchPorts(
        self, request: pb.WatchPortsRequest, context: Context
    ) -> AsyncIterator[pb.WatchPortsResponse]:
        """Stream the ports that the caller may view, and their changes."""
        caller = self._gate.caller(context)
        async for change, port in self._registry.watch(
            lambda port_id: self._gate.may(caller, Right.VIEW, Resource(ResourceKind.PORT, port_id))
        ):
            yield convert_port.watch_message(change, port)

    async def Session(  # type: ignore[override]  # the stub knows only generators
        self, request_iterator: AsyncIterator[pb.SessionRequest], context: Context
    ) -> None:
        """Serve one session: one task reads, one writes, the first to end ends both."""
        first = await first_message(context, "open")
        caller = self._gate.caller(context)
        port = self._known.to_view(first.open.port_id, caller)
        client = client_of(first.open, caller)
        resumption = convert.resumption(first.open, lambda: self._require_begin(caller, port))
        session = None
        try:
            async with self._permit(caller, port, client, resumption):
                session = await port.open_session(client, resumption)
                await _serve(session, port, first, context)
        except SessionLostError:
            raise
        except UsbshareError as error:  # breaks the rules, or lost its right: does not come back
            if session is not None:
                session.fail(str(error))
            raise

    async def Stop(self, request: pb.StopRequest, context: Context) -> pb.StopResponse:
        """Act on the machine at once."""
        received = datetime.now(UTC)
        reason = convert.cleaned(request.reason, LONGEST_REASON_BYTES)
        caller = self._gate.caller(context)
        port, action = self._known.get(request.port_id, caller), convert.stop_action(request)
        who = caller.name, reason, caller.address
        record = await port.stops.path.stop(action, *who, seen_hold(request))
        return pb.StopResponse(
            epoch=record.epoch,
            latched=record.latched,
            sent=record.sent,
            fenced_commands=record.fenced_commands,
            receive_time=timestamp(received),
            write_delay=duration(record.write_delay_s),
            drain_delay=optional_duration(record.drain_delay_s),
            hold_number=record.hold_number,
        )

    async def Rearm(self, request: pb.RearmRequest, context: Context) -> pb.RearmResponse:
        """Release the latch of the stop that the caller has seen."""
        caller = self._gate.caller(context)
        port, seen = self._known.get(request.port_id, caller), seen_epoch(request)
        epoch = port.stops.path.rearm(caller.name, seen, caller.address)
        await port.stops.lost_job.until_reset()  # until then programs are still refused
        return pb.RearmResponse(epoch=epoch)

    async def Reset(self, request: pb.ResetRequest, context: Context) -> pb.ResetResponse:
        """Reset the machine."""
        why = convert.cleaned(request.reason, LONGEST_REASON_BYTES)
        caller = self._gate.caller(context)
        port = self._known.get(request.port_id, caller)
        pulse = pulse_of(request)
        record = await port.stops.machine_reset.reset(caller.name, caller.address, why, pulse)
        return reset_response(record)

    async def RequestControl(
        self, request: pb.RequestControlRequest, context: Context
    ) -> pb.RequestControlResponse:
        """Ask the holder to hand over control."""
        caller, name = self._gate.caller(context), convert.client_name(request)
        roster = self._known.get(request.port_id, caller).roster
        asked = self._hand_over.request(roster, caller.name, name)
        return control_response(*asked)

    async def SendRealtime(
        self, request: pb.SendRealtimeRequest, context: Context
    ) -> pb.SendRealtimeResponse:
        """Write real-time bytes ahead of every queue; InvalidArgumentError unless 1 to 64 bytes."""
        start = time.monotonic()
        if not 1 <= len(request.data) <= 64:
            raise InvalidArgumentError(f"data has {len(request.data)} bytes; 1 to 64 are allowed")
        caller = self._gate.caller(context)
        port = self._known.get(request.port_id, caller)
        self._require_realtime(caller, port, request)
        realtime = port.stops.realtime
        await realtime.ready_for(request.data, request.epoch)
        own = port.roster.own_control(request.session_id, caller.name)
        if own is not None and request.first_number:
            own.realtime.overtake(request.data, request.first_number, request.epoch)
        else:
            data = realtime.require_meant(request.data, request.epoch)
            realtime.write(data, caller.name, caller.address)
        return pb.SendRealtimeResponse(write_delay=duration(time.monotonic() - start))

    async def WatchStats(
        self, request: pb.WatchStatsRequest, context: Context
    ) -> AsyncIterator[pb.WatchStatsResponse]:
        """Stream counters until the client leaves."""
        async for message in self._watches.stats(request, lambda: self._gate.caller(context)):
            yield message

    async def WatchMachine(
        self, request: pb.WatchMachineRequest, context: Context
    ) -> AsyncIterator[pb.WatchMachineResponse]:
        """Stream what the machine of one port reports of itself."""
        async for message in self._watches.machine(request, lambda: self._gate.caller(context)):
            yield message

    def _permit(
        self, caller: Identity, port: SerialPort, client: Client, resumption: Resumption | None
    ) -> Permit:
        resource = Resource(ResourceKind.PORT, port.id)
        if client.mode is not Mode.CONTROL:
            return self._gate.permit(caller, Right.VIEW, resource)
        if client.takes:
            self._gate.check(caller, Right.ADMIN, resource, arms=True)
        if port.roster.is_to_resume(client, resumption):
            return self._gate.permit_to_stay(caller, Right.CONTROL, resource)
        return self._gate.permit(caller, Right.CONTROL, resource, arms=True)

    def _require_begin(self, caller: Identity, port: SerialPort) -> None:
        self._gate.check(caller, Right.CONTROL, Resource(ResourceKind.PORT, port.id), arms=True)

    def _require_realtime(
        self, caller: Identity, port: SerialPort, request: pb.SendRealtimeRequest
    ) -> None:
        """Ask for what bytes take that stop nothing; for a stop the gate has asked."""
        if port.line.profile.is_emergency(request.data):
            return
        resource = Resource(ResourceKind.PORT, port.id)
        if port.roster.own_control(request.session_id, caller.name) is not None:
            self._gate.require(caller, Right.CONTROL, resource)
        else:
            self._gate.check(caller, Right.CONTROL, resource, arms=True)


async def _serve(
    session: Session,
    port: SerialPort,
    first: pb.SessionRequest,
    context: Context,
) -> None:
    def write(event: SessionEvent | None) -> Coroutine[Any, Any, None]:
        return context.write(convert_events.response(event, session.credit_due()))

    outbox = session.outbox
    observes = session.client.mode is Mode.OBSERVE
    queue_up = port.observer_turns.queue_up if observes else None
    pump = StreamPump(outbox, write, time.monotonic, queue_up)
    if observes:
        port.observer_turns.join(pump)
    attachment = session.attach(pump)
    reader = asyncio.create_task(
        _read(session, port, first, context, attachment), name=f"read {session.client.name}"
    )
    try:
        ends = (reader, pump.ended, attachment.ended)
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if attachment.ended.done():
            raise attachment.ended.result()
        if pump.ended.done():
            raise pump.ended.result()
        if reader.result():  # closed: the last events are sent; a lost client gets none
            await set_within(outbox.finished, GOODBYE_TIMEOUT_S)
    finally:
        pump.close()
        port.observer_turns.leave(pump)
        session.stream_ended(attachment)
        await cancel_all(reader)


async def _read(
    session: Session,
    port: SerialPort,
    first: pb.SessionRequest,
    context: Context,
    attachment: Attachment,
) -> bool:
    """Handle requests until the stream ends, or a close has been carried out: then True."""
    requests = _Requests(session, port)
    if first.open.HasField("settings"):
        requests.configure(pb.Configure(settings=first.open.settings))
    while (request := await context.read()) is not grpc.aio.EOF:
        if attachment.ended.done():  # what comes now has been asked for on another stream
            return False
        kind = _heard(session, port, request)
        if kind == "command":  # what comes most, and must not wait
            await session.command(convert.command(request.command))
            continue
        if kind == "close":
            await _close(session, _read_on(session, port, context, requests))
            return True
        if kind is not None:
            requests.handle(kind, request)
    return False


async def _close(session: Session, reading_on: Coroutine[Any, Any, None]) -> None:
    """End a session after what is queued, while its client still shows that it lives."""
    closing = asyncio.create_task(session.close(), name=f"close {session.client.name}")
    reading = asyncio.create_task(reading_on, name=f"read on {session.client.name}")
    try:
        await asyncio.wait((closing, reading), return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            reading.result()
        await closing
    finally:
        await cancel_all(closing, reading)


async def _read_on(
    session: Session, port: SerialPort, context: Context, requests: _Requests
) -> None:
    """Handle what may follow a close: heartbeats and real-time bytes."""
    while (request := await context.read()) is not grpc.aio.EOF:
        kind = _heard(session, port, request)
        if kind in ("heartbeat", "realtime"):
            requests.handle(kind, request)


def _heard(session: Session, port: SerialPort, request: pb.SessionRequest) -> str | None:
    """Note that the client lives and what it has; returns what it sends."""
    session.hearing.heard(time.monotonic())
    if request.HasField("received_offset"):
        offset = request.received_offset
        session.outbox.acknowledged(offset)
        machine = port.stops.machine
        if machine.rest.awaited_offset is not None and session is port.roster.control:
            machine.acknowledged(session.outbox.line_offset(offset))
    return request.WhichOneof("message")


class _Requests:
    """Unpacks one session's requests, a method a kind."""

    def __init__(self, session: Session, port: SerialPort) -> None:
        self._session = session
        self._roster = port.roster
        self._operations = LineOperations(port.line, session, port.audit)
        self._handlers: dict[str, Callable[[Any], None]] = {
            "realtime": self.realtime,
            "configure": self.configure,
            "set_lines": self.set_lines,
            "line_sequence": self.line_sequence,
            "send_break": self.send_break,
            "hold_break": self.hold_break,
            "flush": self.flush,
            "drain": self.drain,
            "heartbeat": self.heartbeat,
            "waiting": self.waiting,
            "lost": self.lost,
        }

    def handle(self, kind: str, request: pb.SessionRequest) -> None:
        """Carry out a request."""
        handler = self._handlers.get(kind)
        if handler is None:
            raise InvalidArgumentError(f"`{kind}` is allowed only as the first message")
        handler(getattr(request, kind))

    def realtime(self, message: pb.Realtime) -> None:
        self._session.realtime.in_stream(message.data, message.first_number, message.epoch)

    def heartbeat(self, message: pb.Heartbeat) -> None:
        read_at = time.monotonic()
        round_trip_s = message.round_trip.seconds + message.round_trip.nanos * 1e-9
        heard_id = message.heard_id if message.HasField("heard_id") else None
        times = client_times(message.times) if message.HasField("times") else None
        self._session.heartbeat(message.id, round_trip_s, heard_id, times, read_at)

    def waiting(self, message: pb.Waiting) -> None:
        age_s = message.age.seconds + message.age.nanos * 1e-9
        if (watch := self._roster.watch_of(self._session)) is not None:
            watch.client_waits(message.bytes, age_s)

    def lost(self, message: pb.Lost) -> None:
        if (watch := self._roster.watch_of(self._session)) is not None:
            watch.client_lost(message.bytes)

    def configure(self, message: pb.Configure) -> None:
        change = convert.settings_change(message.settings)
        self._later(message.id, lambda: self._operations.configure(message.id, change))

    def line_sequence(self, message: pb.LineSequence) -> None:
        steps = convert.line_steps(message)
        self._later(message.id, lambda: self._operations.play(message.id, steps))

    def send_break(self, message: pb.SendBreak) -> None:
        duration_s = seconds_of(message.duration, "send_break.duration", most=5.0, absent=0.25)
        self._later(message.id, lambda: self._operations.send_break(message.id, duration_s))

    def hold_break(self, message: pb.HoldBreak) -> None:
        self._later(message.id, lambda: self._operations.hold_break(message.id, on=message.on))

    def drain(self, message: pb.Drain) -> None:
        timeout_s = seconds_of(message.timeout, "drain.timeout", most=60.0, absent=10.0)
        self._later(message.id, lambda: self._operations.drain(message.id, timeout_s))

    def set_lines(self, message: pb.SetLines) -> None:
        dtr, rts = convert.optional_bool(message, "dtr"), convert.optional_bool(message, "rts")
        self._session.operations.at_once(
            message.id, lambda: self._operations.set_lines(message.id, dtr, rts)
        )

    def flush(self, message: pb.Flush) -> None:
        direction = message.direction
        received = direction != pb.FLUSH_DIRECTION_OUTPUT
        queued = direction != pb.FLUSH_DIRECTION_INPUT
        self._session.operations.flush(
            message.id,
            lambda: self._operations.flush(received=received, queued=queued),
        )

    def _later(self, operation_id: int, run: Callable[[], Awaitable[OperationResult]]) -> None:
        self._session.operations.later(operation_id, run)
