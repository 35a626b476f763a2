"""The two messages of a stop as protobuf writes them, without its library.

Importing that takes a fifth of the time from a shell to the stop's byte. The numbers are those of
serial.proto, to which is only added; a test compares each message with the generated code.
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from usbshare.client.serial.stop_report import SeenHold, StopReport
from usbshare.line.stop_actions import StopAction

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
