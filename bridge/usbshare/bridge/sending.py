"""Sends one command to a port and collects the answer."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field

import grpc

from usbshare.bridge.client import SerialClient, SessionStream
from usbshare.bridge.messages import (
    ClosedEvent,
    DataEvent,
    Event,
    Goodbye,
    OpenedEvent,
    ResultEvent,
    SendCommand,
)
from usbshare.common.errors import ConnectionRefusedByPeerError, DeviceError
from usbshare.common.profiles import Priority

COMMAND_ID = 1
_LAST_LINE = re.compile(rb"(?m)^(ok\b.*|error:.*|ALARM:.*|Error:.*)\r?\n")


@dataclass(slots=True)
class Answer:
    """What came back: the device's bytes, and the times of the command in seconds."""

    data: bytearray = field(default_factory=bytearray)
    queue_time_s: float = 0.0
    write_time_s: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Tell whether a line came that ends an answer on GRBL and Marlin."""
        return _LAST_LINE.search(self.data) is not None


async def send_command(
    client: SerialClient,
    port_id: str,
    data: bytes,
    priority: Priority | None,
    name: str,
    *,
    quiet_s: float,
    timeout_s: float,
) -> Answer:
    """Send a command and return the answer: up to its last line, or until the device is quiet.

    Raises DeviceError when the command was not written, PortHeldError when the port is in use.
    """
    stream = await client.open_session(port_id, independent=True, name=name)
    try:
        return await asyncio.wait_for(_exchange(stream, data, priority, quiet_s=quiet_s), timeout_s)
    except TimeoutError as error:
        raise DeviceError(f"no answer within {timeout_s:g} s") from error
    except EOFError as error:
        raise ConnectionRefusedByPeerError("the service ended the session") from error
    except grpc.aio.AioRpcError as error:
        raise await client.explain(error) from error
    finally:
        stream.cancel()


async def _exchange(
    stream: SessionStream, data: bytes, priority: Priority | None, *, quiet_s: float
) -> Answer:
    opened = await _next(stream)
    epoch = opened.port.epoch if isinstance(opened, OpenedEvent) else 0
    await stream.send(SendCommand(COMMAND_ID, 0, data, epoch, priority))
    answer = Answer()
    await _collect(stream, answer, quiet_s)
    await stream.send(Goodbye())
    while not isinstance(await _next(stream), ClosedEvent):
        pass
    return answer


async def _collect(stream: SessionStream, answer: Answer, quiet_s: float) -> None:
    written = False
    while not (written and answer.is_whole):
        try:
            event = await asyncio.wait_for(_next(stream), quiet_s if written else None)
        except TimeoutError:
            return
        match event:
            case DataEvent():
                answer.data += event.data
            case ResultEvent() if event.outcome == "written":
                written = True
                answer.queue_time_s = event.queue_time_s
                answer.write_time_s = event.write_time_s
            case ResultEvent():
                raise DeviceError(f"the command was {event.outcome}: {event.message}")


async def _next(stream: SessionStream) -> Event:
    while True:
        event, _ = await stream.receive()
        if event is not None:
            return event
