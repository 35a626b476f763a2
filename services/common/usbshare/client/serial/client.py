"""Calls to one serial service; refusals come out as domain errors that say why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import grpc

from usbshare.base.errors import ConnectionRefusedByPeerError, PermissionDeniedError
from usbshare.client.serial import convert
from usbshare.client.serial.convert_machine import machine_status, watch_request
from usbshare.client.serial.convert_times import host_times, seconds
from usbshare.client.serial.host_times import HostTimes
from usbshare.client.serial.machine import MachineStatus
from usbshare.client.serial.messages import (
    Event,
    LineOptions,
    Message,
    RemotePort,
    ResetReport,
)
from usbshare.client.serial.stop_client import CALL_TIMEOUT_S, StopClient
from usbshare.client.streamed_call import streamed
from usbshare.line.credit import Credit
from usbshare.rpc.channel import ATTEMPT_S, KEEPALIVE, Target, Trust, until_connected
from usbshare.rpc.status import error_from_rpc, reason_of
from usbshare.rpc.stream_reads import StreamReader
from usbshare.rpc.stream_writes import write
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub

REASON_TIMEOUT_S = 0.5
LEAST_LOOK_S = 0.5  # after a call that took all of its time

_CLOSED = "the connection was closed"
_Call = grpc.aio.StreamStreamCall[pb.SessionRequest, pb.SessionResponse]


class _EndedCall:
    """In place of a call that was cancelled."""

    async def write(self, _: pb.SessionRequest) -> None:
        raise asyncio.InvalidStateError("the stream was cancelled")

    async def read(self) -> None:
        return None

    def cancel(self) -> None: ...


class SessionStream:
    """One session's stream; its methods raise grpc.aio.AioRpcError, see `SerialClient.explain`.

    `taken_offset` is what the user of the device's bytes has taken; it goes with each message,
    and the service sends no more than 128 KiB beyond it.
    """

    def __init__(self, call: _Call) -> None:
        self.taken_offset = 0
        self._call: _Call | _EndedCall = call
        self._reader = StreamReader(call, pb.SessionResponse.FromString)

    def took(self, offset: int) -> None:
        """Note that the user has all bytes of the device before that offset."""
        self.taken_offset = offset

    def write(self, message: Message) -> Coroutine[Any, Any, None]:
        """Return the writing of a message, which raises whatever gRPC does."""
        packed = convert.request(message, self.taken_offset)
        call = self._call
        return call.write(packed) if isinstance(call, _EndedCall) else write(call, packed)

    async def send(self, message: Message) -> None:
        """Send a message; raises EOFError when the stream has ended, `receive` says why."""
        try:
            await self.write(message)
        except (asyncio.InvalidStateError, grpc.aio.AioRpcError) as error:
            raise EOFError from error

    async def receive(self) -> tuple[Event | None, Credit | None]:
        """Return the next event, credit or both; raises EOFError at the end of the stream."""
        response = await self._reader.read()
        if response is None:
            raise EOFError
        return convert.event(response), convert.credit(response)

    def cancel(self) -> None:
        """End the stream at once, without closing the session."""
        self._call.cancel()
        # A reference to a call holds its connection: gRPC closes it only with the last of them.
        self._call = ended = _EndedCall()
        self._reader = StreamReader(ended, pb.SessionResponse.FromString)


class SerialClient(StopClient):
    """A separate connection to one service."""

    def __init__(
        self,
        target: Target,
        bundle: Trust | None,
        attempt_s: float = ATTEMPT_S,
        keepalive: tuple[tuple[str, int], ...] = KEEPALIVE,
    ) -> None:
        super().__init__(target, bundle, attempt_s, keepalive)
        self._is_closed = False
        self._stub = SerialServiceStub(self._channel)

    async def list_ports(self, timeout_s: float = CALL_TIMEOUT_S) -> list[RemotePort]:
        """Return the service's ports; why it failed is known soon after the timeout at most."""
        start = time.monotonic()
        try:
            reply = await self._stub.ListPorts(pb.ListPortsRequest(), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            left_s = max(LEAST_LOOK_S, timeout_s - (time.monotonic() - start))
            raise await self.explain(error, left_s) from error
        return [convert.remote_port(port) for port in reply.ports]

    async def open_session(
        self,
        port_id: str,
        *,
        observe: bool = False,
        takes: bool = False,
        independent: bool = False,
        name: str,
        resume_token: str = "",
        resume_offset: int = 0,
        lines: LineOptions | None = None,
        resume_results: int = 0,
    ) -> SessionStream:
        """Begin a session, or take one up; its first event is `opened`, or an error says why not.

        A token is of a session that was lost; we have all device bytes before the offset, and so
        many results of lines.
        """
        call: _Call = self._stub.Session()
        stream = SessionStream(call)
        request = convert.open_request(
            port_id,
            observe=observe,
            takes=takes,
            independent=independent,
            client_name=name,
            resume_token=resume_token,
            resume_offset=resume_offset,
            lines=lines,
            resume_results=resume_results,
        )
        with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):  # `receive` says why
            await write(call, request)
        return stream

    async def get_port(self, port_id: str, timeout_s: float = CALL_TIMEOUT_S) -> RemotePort:
        """Return one port; an empty id means the only one there is."""
        try:
            reply = await self._stub.GetPort(pb.GetPortRequest(port_id=port_id), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        return convert.remote_port(reply.port)

    async def rearm(self, port_id: str, epoch: int, timeout_s: float = CALL_TIMEOUT_S) -> int:
        """Release the latch of the stop that was seen, in that epoch; returns that in force."""
        request = pb.RearmRequest(port_id=port_id, epoch=epoch)
        try:
            reply = await self._stub.Rearm(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        return reply.epoch

    async def reset(
        self, port_id: str, line: str, reason: str, timeout_s: float = CALL_TIMEOUT_S
    ) -> ResetReport:
        """Reset the machine, by a pulse of the line `dtr` or `rts` if one is named."""
        pulse_dtr, pulse_rts = line == "dtr", line == "rts"
        request = pb.ResetRequest(
            port_id=port_id, pulse_dtr=pulse_dtr, pulse_rts=pulse_rts, reason=reason
        )
        try:
            reply = await self._stub.Reset(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        return convert.reset_report(reply)

    async def request_control(
        self, port_id: str, name: str, timeout_s: float = CALL_TIMEOUT_S
    ) -> bool:
        """Ask the holder for control; return whether its session was notified now."""
        request = pb.RequestControlRequest(port_id=port_id, client_name=name)
        try:
            reply = await self._stub.RequestControl(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        return reply.told

    async def send_realtime(
        self,
        port_id: str,
        data: bytes,
        session_id: str = "",
        timeout_s: float = CALL_TIMEOUT_S,
        *,
        first_number: int = 0,
        epoch: int = 0,
    ) -> None:
        """Write real-time bytes ahead of every queue; numbered ones are that session's own.

        `epoch` is the port's as reported when they were written: of an ended one only stops count.

        What it raises says no more than gRPC does, since to look closer takes time.
        """
        request = pb.SendRealtimeRequest(
            port_id=port_id,
            data=data,
            session_id=session_id,
            first_number=first_number,
            epoch=epoch,
        )
        try:
            await self._stub.SendRealtime(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        except grpc.aio.UsageError as error:  # it was closed
            raise ConnectionRefusedByPeerError(_CLOSED) from error
        except asyncio.CancelledError as error:  # gRPC raises it too, if closed
            if (caller := asyncio.current_task()) is None or caller.cancelling():
                raise
            raise ConnectionRefusedByPeerError(_CLOSED) from error

    async def watch_machine(
        self, port_id: str, interval_s: float
    ) -> AsyncGenerator[MachineStatus, None]:
        """Yield what a machine is doing, again and again; raises UsbshareError at the end."""
        call = self._stub.WatchMachine(watch_request(port_id, interval_s))
        async with streamed(call, self.explain):
            while isinstance(reply := await call.read(), pb.WatchMachineResponse):
                yield machine_status(reply)

    async def clock(self, timeout_s: float = CALL_TIMEOUT_S) -> tuple[datetime, float]:
        """Return the service's time and the round trip in seconds, over a connection in use."""
        start = time.monotonic()
        call = self._stub.WatchStats(pb.WatchStatsRequest(), timeout=timeout_s)
        async with streamed(call, self.explain):
            reply = await call.read()
        if not isinstance(reply, pb.WatchStatsResponse):
            raise ConnectionRefusedByPeerError(
                f"{self.target} does not report its time: it is stopping"
            )
        return reply.time.ToDatetime(UTC), time.monotonic() - start

    async def times(self, timeout_s: float = CALL_TIMEOUT_S) -> HostTimes:
        """Return the parts of round trips, in seconds, as the service measures them."""
        call = self._stub.WatchStats(pb.WatchStatsRequest(), timeout=timeout_s)
        async with streamed(call, self.explain):
            reply = await call.read()
        if not isinstance(reply, pb.WatchStatsResponse):
            raise ConnectionRefusedByPeerError(f"{self.target} reports no times: it is stopping")
        return host_times(reply)

    async def network_time_s(self, port_id: str, timeout_s: float = CALL_TIMEOUT_S) -> float | None:
        """Return one round trip in seconds without the service's part.

        None if it does not report that.
        """
        start = time.monotonic()
        try:
            reply = await self._stub.GetPort(pb.GetPortRequest(port_id=port_id), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        took_s = time.monotonic() - start
        if not reply.HasField("host_time"):
            return None
        return max(0.0, took_s - seconds(reply.host_time))

    async def connect(self) -> None:
        """Connect, in one attempt; ConnectionRefusedByPeerError says in gRPC's words why not."""
        if await until_connected(self._channel):
            return
        try:  # a call that fails at once has the reason, which the state has not
            await self._stub.ListPorts(pb.ListPortsRequest(), timeout=REASON_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if isinstance(error_from_rpc(error), ConnectionRefusedByPeerError):
                raise ConnectionRefusedByPeerError(short_reason(error)) from error

    @property
    def is_connected(self) -> bool:
        """Whether the connection works, as far as gRPC knows."""
        return not self._is_closed and self._channel.get_state() is grpc.ChannelConnectivity.READY

    async def until_lost(self) -> None:
        """Return when a connection that works does so no more."""
        with suppress(grpc.aio.UsageError):  # it was closed
            await self._channel.wait_for_state_change(grpc.ChannelConnectivity.READY)

    async def close(self) -> None:
        """Close the connection."""
        self._is_closed = True
        await super().close()


def short_reason(error: BaseException) -> str:
    """Return why a stream ended, in the words of its error."""
    if isinstance(error, grpc.aio.AioRpcError):
        return reason_of(error)
    return str(error) or "the stream ended"


def is_refusal(error: BaseException) -> bool:
    """Return whether the host said that we may not, which trying again does not change."""
    if not isinstance(error, grpc.aio.AioRpcError):
        return False
    return isinstance(error_from_rpc(error), PermissionDeniedError)
