"""The echo service, whose RPC holds the event loop until somebody writes to the FIFO it names."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.wrappers_pb2 import StringValue

from fakes import echo_service
from usbshare.service.cli import run_command_line


class HangingServicer(echo_service.EchoServicer):
    async def Echo(self, request: StringValue, context: object) -> StringValue:
        Path(request.value).read_bytes()  # noqa: ASYNC240 - that is the point
        return request


if __name__ == "__main__":
    echo_service.EchoServicer = HangingServicer  # type: ignore[misc]
    run_command_line(echo_service.PROGRAM.name, echo_service.cli)
