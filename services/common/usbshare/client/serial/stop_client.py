"""The calls to a serial service that a stop needs, with nothing else to import.

The two messages of a stop are written here as protobuf writes them, without its library: importing
that takes a fifth of the time from a shell to the stop's byte. The numbers are those of
serial.proto, to which is only added; a test compares each message with the generated code.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import grpc

from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.client.explanation import explain
from usbshare.client.serial.stop_attempts import Attempts
from usbshare.client.serial.stop_report import SeenHold, StopReport
from usbshare.line.stop_actions import StopAction
from usbshare.rpc.channel import (
    ATTEMPT_S,
    KEEPALIVE,
    STOP_KEEPALIVE,
    Target,
    Trust,
    open_channel,
)
from usbshare.rpc.status import error_from_rpc

if TYPE_CHECKING:
    from usbshare.rpc.tls import ClientBundle
from datetime import UTC, datetime, timedelta

STOP = "/usbshare.serial.v1.SerialService/Stop"
# StopAction of serial.proto.
ACTION_NUMBERS = {
    StopAction.HOLD: 1,
    StopAction.SAFETY_DOOR: 2,
    StopAction.RESUME: 3,
    StopAction.EMERGENCY_STOP: 4,
}
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Value = int | bytes


def stop_request(
    port_id: str, action: StopAction, reason: str, seen: SeenHold | None = None
) -> bytes:
    """Return a StopRequest; fields at their default are left out."""
    number = b"\x10" + _varint(ACTION_NUMBERS[action])
    named = b"" if seen is None else _counter(4, seen.epoch) + _counter(5, seen.number)
    return _text(1, port_id) + number + _text(3, reason) + named


def stop_report(message: bytes, round_trip_s: float) -> StopReport:
    """Return what a StopResponse says; raises ValueError where it is none."""
    found = dict(_fields(message))
    received = dict(_fields(_bytes(found, 5)))
    return StopReport(
        epoch=_number(found, 1),
        latched=bool(_number(found, 2)),
        sent=_bytes(found, 3),
        fenced_commands=_number(found, 4),
        receive_time=_EPOCH
        + timedelta(seconds=_number(received, 1), microseconds=_number(received, 2) // 1000),
        write_delay_s=_seconds(_bytes(found, 6)),
        drain_delay_s=_seconds(_bytes(found, 7)) if 7 in found else None,
        round_trip_s=round_trip_s,
        hold_number=_number(found, 8),
    )


def _text(number: int, text: str) -> bytes:
    data = text.encode()
    return _varint(number << 3 | _LENGTH) + _varint(len(data)) + data if data else b""


def _counter(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value) if value else b""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _fields(message: bytes) -> Iterator[tuple[int, _Value]]:
    """Yield number and value of each field, also of those that we do not know."""
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        kind = key & 7
        value: _Value
        if kind == _VARINT:
            value, at = _read_varint(message, at)
        elif kind in (_LENGTH, _FIXED64, _FIXED32):
            size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
            if size is None:
                size, at = _read_varint(message, at)
            value, at = message[at : at + size], at + size
        else:
            raise ValueError(f"wire type {kind}")
        if at > len(message):
            raise ValueError("cut off")
        yield key >> 3, value


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for position in range(at, min(at + 10, len(message))):
        byte = message[position]
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position + 1
    raise ValueError("a number has no end")


def _number(found: dict[int, _Value], number: int) -> int:
    value = found.get(number, 0)
    if isinstance(value, bytes):
        raise ValueError(f"field {number} is not a number")
    return value - (1 << 64) if value >> 63 else value


def _bytes(found: dict[int, _Value], number: int) -> bytes:
    value = found.get(number, b"")
    if isinstance(value, int):
        raise ValueError(f"field {number} is a number")
    return value


def _seconds(message: bytes) -> float:
    found = dict(_fields(message))
    return _number(found, 1) + _number(found, 2) * 1e-9


CALL_TIMEOUT_S = 15.0  # the first call of a connection makes it
LOOK_TIMEOUT_S = 5.0
# A stop is not abandoned while it may still arrive; a person is told sooner that it has not yet.
STOP_TIMEOUT_S = 60.0
LONGEST_REASON_BYTES = 200
OUR_SERVICE = "usbshare.serial.v1.SerialService"


class StopClient:
    """A separate connection to one service, for stops."""

    def __init__(
        self,
        target: Target,
        bundle: Trust | None,
        attempt_s: float = ATTEMPT_S,
        keepalive: tuple[tuple[str, int], ...] = KEEPALIVE,
    ) -> None:
        self.target = target
        self._trust = bundle
        self._channel = open_channel(target, bundle, keepalive=keepalive, attempt_s=attempt_s)
        self._others: list[grpc.aio.Channel] = []

    async def stop(
        self,
        port_id: str,
        action: StopAction,
        reason: str = "",
        timeout_s: float = STOP_TIMEOUT_S,
        *,
        seen: SeenHold | None = None,
    ) -> StopReport:
        """Stop the machine, whoever has control; return what that did and how long it took.

        `seen`: what a resume may undo, needed for one; what came after it stays.
        Where nothing comes back it is tried again beside, over another connection, unless it is a
        resume; only who is refused learns that at once.
        """
        request = stop_request(port_id, action, _printable(reason), seen)
        channels = self._channels()

        async def attempt(left_s: float) -> bytes:
            call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
            call = next(channels).unary_unary(STOP)
            return await call(request, timeout=left_s)

        start = time.monotonic()
        may_repeat = action is not StopAction.RESUME
        try:
            reply = await Attempts(attempt, timeout_s, may_repeat=may_repeat).first_reply()
        except grpc.aio.AioRpcError as error:
            raise await self.explain(error) from error
        try:
            return stop_report(reply, time.monotonic() - start)
        except (ValueError, OverflowError) as error:
            raise UsbshareError(f"{self.target} sent an invalid answer: {error}") from error

    async def only_port(self, timeout_s: float) -> str:
        """Return the id of the service's only port; "" if it has none or several."""
        # After the stop there is time for protobuf.
        from usbshare.serial.v1 import serial_pb2 as pb  # noqa: PLC0415
        from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub  # noqa: PLC0415

        stub = SerialServiceStub(self._channel)
        try:
            reply = await stub.ListPorts(pb.ListPortsRequest(), timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            raise error_from_rpc(error) from error
        return reply.ports[0].id if len(reply.ports) == 1 else ""

    async def explain(
        self, error: grpc.aio.AioRpcError, timeout_s: float = LOOK_TIMEOUT_S
    ) -> UsbshareError:
        """Return why an RPC failed; looks closer where gRPC only says that it did."""
        look = partial(self._unreachable, timeout_s)
        return await explain(error, self.target, self._trust, OUR_SERVICE, look)

    async def why_unreachable(self, timeout_s: float = LOOK_TIMEOUT_S) -> str | None:
        """Return why the service cannot be reached, over a separate connection; None if it can."""
        error = await self._unreachable(timeout_s)
        return None if error is None else str(error)

    async def close(self) -> None:
        """Close the connection."""
        for each in (self._channel, *self._others):
            await each.close()

    async def _unreachable(self, timeout_s: float) -> ConnectionRefusedByPeerError | None:
        from usbshare.handshakes.unreachable import unreachable  # noqa: PLC0415 - half of TLS

        return await unreachable(self.target, self._bundle(), timeout_s)

    def _channels(self) -> Iterator[grpc.aio.Channel]:
        """Yield our connection, then others, which nothing ends for being slow."""
        yield self._channel
        while True:
            more = open_channel(
                self.target, self._trust, keepalive=STOP_KEEPALIVE, attempt_s=STOP_TIMEOUT_S
            )
            self._others.append(more)
            yield more

    def _bundle(self) -> ClientBundle | None:
        """Return the client's certificate read in full; a ConfigError says what is wrong."""
        from usbshare.rpc.tls import ClientBundle  # noqa: PLC0415 - half of TLS

        if self._trust is None or isinstance(self._trust, ClientBundle):
            return self._trust
        return ClientBundle.load(self._trust.path)


def _printable(reason: str) -> str:
    """Return a reason that every service takes: a stop must not fail for what it says."""
    text = "".join(character if character.isprintable() else " " for character in reason)
    return text.encode(errors="replace")[:LONGEST_REASON_BYTES].decode(errors="ignore")
