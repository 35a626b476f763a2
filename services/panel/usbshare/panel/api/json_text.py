"""Messages of page.proto as the JSON text of a WebSocket frame, and back."""

from __future__ import annotations

import json

from google.protobuf import json_format
from google.protobuf.message import Message

from usbshare.base.errors import InvalidArgumentError
from usbshare.page.v1 import page_pb2 as pb


def text(message: Message) -> str:
    """Return a message as JSON, on one line."""
    made = json_format.MessageToDict(message)
    return json.dumps(made, ensure_ascii=False, separators=(",", ":"))


def request(frame: str) -> pb.Request:
    """Return a page's request; raises InvalidArgumentError."""
    try:
        return json_format.Parse(frame, pb.Request(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise InvalidArgumentError(f"the request does not match page.proto: {error}") from error


def request_id(frame: str) -> int:
    """Return the number of an otherwise unreadable request, 0 if it has none."""
    try:
        told = json.loads(frame)
        number = int(told.get("id", 0))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return 0
    return number if 0 <= number < 1 << 32 else 0
