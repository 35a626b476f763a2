"""Moments and lengths of time as protobuf writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from usbshare.base.errors import InvalidArgumentError


def duration(seconds: float) -> Duration:
    """Return a Duration of that many seconds."""
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


def optional_duration(seconds: float | None) -> Duration | None:
    """Return a Duration of so many seconds, None if they are unknown."""
    return None if seconds is None else duration(seconds)


def timestamp(moment: datetime) -> Timestamp:
    """Return a Timestamp."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def timestamp_of(unix_s: float) -> Timestamp:
    """Return a Timestamp of so many seconds since 1970."""
    return timestamp(datetime.fromtimestamp(unix_s, UTC))


def seconds_of(
    message: Duration, field: str, *, most: float, least: float = 0.0, absent: float | None = None
) -> float:
    """Return a Duration in seconds; raises InvalidArgumentError naming a field out of range."""
    if absent is not None and message == Duration():
        return absent
    seconds = message.seconds + message.nanos * 1e-9
    if not least <= seconds <= most:
        raise InvalidArgumentError(
            f"{field} is {seconds:g} s; {least:g} s to {most:g} s are allowed"
        )
    return seconds
