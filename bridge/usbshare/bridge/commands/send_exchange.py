"""Sends one command to a port and collects the answer."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field

from usbshare.base.errors import ConnectionRefusedByPeerError, DeviceError
from usbshare.client.serial.client import SerialClient, SessionStream
from usbshare.client.serial.messages import (
    ClosedEvent,
    DataEvent,
    Event,
    Goodbye,
    Heartbeat,
    HeartbeatEvent,
    Message,
    OpenedEvent,
    RemotePort,
    ResultEvent,
    SendCommand,
    SendRealtime,
)
from usbshare.line.profiles import Priority
from usbshare.line.typed_line import require_no_realtime
from usbshare.rpc.status import RpcError

COMMAND_ID = 1
HEARTBEAT_S = 0.25
_LAST_LINE = re.compile(rb"(?m)^(ok\b.*|error:.*|ALARM:.*|Error:.*|<.*>)\r?\n")


@dataclass(slots=True)
class Answer:
    """What came back: the device's bytes, and the times of the command in seconds."""

    data: bytearray = field(default_factory=bytearray)
    was_written: bool = False
    queue_time_s: float = 0.0
    write_time_s: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Return whether a line came that ends an answer on GRBL and Marlin."""
        return _LAST_LINE.search(self.data) is not None


async def send_command(
    client: SerialClient,
    port_id: str,
    line: bytes,
    priority: Priority | None,
    name: str,
    *,
    quiet_s: float,
    timeout_s: float,
) -> Answer:
    """Send a line (no line end) and return the answer: to its last line, or to a silence.

    Raises DeviceError when the command was not written, PortHeldError when the port is in use,
    InvalidArgumentError where the firmware would obey a byte of the line at once.
    """
    stream = await client.open_session(port_id, independent=True, name=name)
    try:
        return await asyncio.wait_for(_exchange(stream, line, priority, quiet_s=quiet_s), timeout_s)
    except TimeoutError as error:
        raise DeviceError(f"no answer within {timeout_s:g} s") from error
    except EOFError as error:
        raise ConnectionRefusedByPeerError("the service ended the session") from error
    except RpcError as error:
        raise await client.explain(error) from error
    finally:
        stream.cancel()


async def _exchange(
    stream: SessionStream, line: bytes, priority: Priority | None, *, quiet_s: float
) -> Answer:
    answer = Answer()
    events = _Events(stream)
    try:
        opened = await events.next()
        if not isinstance(opened, OpenedEvent):
            raise EOFError
        message = _message(line, priority, opened.port)
        await stream.send(message)
        answer.was_written = not isinstance(message, SendCommand)
        await _collect(events, answer, quiet_s)
        await stream.send(Goodbye())
        while not isinstance(await events.next(), ClosedEvent):
            pass
    finally:
        events.stop()
    return answer


def _message(line: bytes, priority: Priority | None, port: RemotePort) -> Message:
    """Return a line as a command, or bytes that the firmware takes in real time as they are."""
    if port.profile.realtime and port.profile.is_realtime(line):
        return SendRealtime(line, port.epoch)
    require_no_realtime(port.profile, line.decode(errors="replace"))
    return SendCommand(COMMAND_ID, 0, line + b"\n", port.epoch, priority)


async def _collect(events: _Events, answer: Answer, quiet_s: float) -> None:
    """Take events until the answer is whole, or nothing comes for `quiet_s` after the last."""
    while not (answer.was_written and answer.is_whole):
        event = await events.next_within(quiet_s if answer.was_written else None)
        match event:
            case None:
                return
            case DataEvent():
                answer.data += event.data
            case ResultEvent() if event.outcome == "written":
                answer.was_written = True
                answer.queue_time_s = event.queue_time_s
                answer.write_time_s = event.write_time_s
            case ResultEvent():
                raise DeviceError(f"the command was {event.outcome}: {event.message}")


class _Events:
    """A session's events; waiting for one may be given up without harm to the stream.

    Cancelling a `read` of grpc.aio cancels the whole RPC, so the pending one is kept instead.
    """

    def __init__(self, stream: SessionStream) -> None:
        self._stream = stream
        self._pending: asyncio.Task[Event] | None = None
        self._beats = 0

    async def next(self) -> Event:
        """Return the next event."""
        while (event := await self.next_within(HEARTBEAT_S)) is None:
            pass
        return event

    async def next_within(self, timeout_s: float | None) -> Event | None:
        """Return the next event, None if there is none in time; shows meanwhile that we live."""
        if timeout_s is None:
            return await self.next()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        if self._pending is None:
            self._pending = asyncio.create_task(self._receive(), name="receive")
        while (left_s := deadline - loop.time()) > 0 and not self._pending.done():
            await asyncio.wait((self._pending,), timeout=min(HEARTBEAT_S, left_s))
            if not self._pending.done():
                self._beats += 1
                with suppress(EOFError):  # the pending read is about to say why
                    await self._stream.send(Heartbeat(self._beats, 0.0))
        if not self._pending.done():
            return None
        pending, self._pending = self._pending, None
        return pending.result()

    def stop(self) -> None:
        """Give the stream up."""
        if self._pending is not None:
            self._pending.cancel()

    async def _receive(self) -> Event:
        while True:
            event, _ = await self._stream.receive()
            if isinstance(event, DataEvent):
                self._stream.took(event.offset + len(event.data))
            if event is not None and not isinstance(event, HeartbeatEvent):
                return event
