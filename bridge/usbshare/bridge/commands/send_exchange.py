"""Sends one command to a port and collects the answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from usbshare.base.errors import ConnectionRefusedByPeerError, DeviceError
from usbshare.bridge.commands.patience import TIMEOUT_S, Patience, patience_for
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
    PortEvent,
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
CLOSE_TIMEOUT_S = 2.0
_REPLY = re.compile(rb"(?m)^(ok\b.*|error:.*|ALARM:.*|Error:.*)\r?\n")
_REPORT = re.compile(rb"(?m)^<.*>\r?\n")


@dataclass(slots=True)
class Answer:
    """What came back: the device's bytes, and the times of the command in seconds."""

    is_to_realtime: bool = False
    data: bytearray = field(default_factory=bytearray)
    was_written: bool = False
    queue_time_s: float = 0.0
    write_time_s: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Return whether a line came that ends an answer on GRBL and Marlin.

        Of reports that come while a line is carried out, none is the answer to it.
        """
        is_reported = self.is_to_realtime and _REPORT.search(self.data) is not None
        return is_reported or _REPLY.search(self.data) is not None


async def send_command(
    client: SerialClient,
    port_id: str,
    line: bytes,
    priority: Priority | None,
    name: str,
    *,
    quiet_s: float | None = None,
    timeout_s: float | None = None,
    on_wait: Callable[[Patience], None] = lambda _: None,
) -> Answer:
    """Send a line (no line end) and return the answer: to its last line, or to a silence.

    `on_wait` is called once the port is open. Whoever gives up waiting leaves the machine as it is.

    Raises DeviceError when the command was not written, PortHeldError when the port is in use,
    InvalidArgumentError where the firmware would obey a byte of the line at once.
    """
    stream = await client.open_session(port_id, independent=True, name=name)
    events, limit = _Events(stream), TIMEOUT_S if timeout_s is None else timeout_s
    try:
        async with asyncio.timeout(limit) as waiting:
            opened = await events.next()
            if not isinstance(opened, OpenedEvent):
                raise EOFError
            patience = patience_for(line, opened.port.profile, quiet_s, timeout_s)
            if patience.timeout_s is None:
                waiting.reschedule(None)
            on_wait(patience)
            return await _exchange(stream, events, opened.port, line, priority, patience.quiet_s)
    except TimeoutError as error:
        raise DeviceError(f"no answer within {limit:g} s") from error
    except EOFError as error:
        raise ConnectionRefusedByPeerError("the service ended the session") from error
    except RpcError as error:
        raise await client.explain(error) from error
    finally:
        events.stop()
        stream.cancel()


async def _exchange(
    stream: SessionStream,
    events: _Events,
    port: RemotePort,
    line: bytes,
    priority: Priority | None,
    quiet_s: float | None,
) -> Answer:
    message = _message(line, priority, port)
    is_realtime = not isinstance(message, SendCommand)
    answer = Answer(is_to_realtime=is_realtime, was_written=is_realtime)
    try:
        await stream.send(message)
        await _collect(events, answer, port, quiet_s)
    except asyncio.CancelledError:
        with suppress(Exception):  # the caller ends, whatever the session does
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await _say_goodbye(stream, events)
        raise
    await _say_goodbye(stream, events)
    return answer


async def _say_goodbye(stream: SessionStream, events: _Events) -> None:
    """End the session; one that ended without would be taken for lost, and hold the machine."""
    await stream.send(Goodbye())
    while not isinstance(await events.next(), ClosedEvent):
        pass


def _message(line: bytes, priority: Priority | None, port: RemotePort) -> Message:
    """Return a line as a command, or bytes that the firmware takes in real time as they are."""
    if port.profile.realtime and port.profile.is_realtime(line):
        return SendRealtime(line, port.epoch)
    require_no_realtime(port.profile, line.decode(errors="replace"))
    return SendCommand(COMMAND_ID, 0, line + b"\n", port.epoch, priority)


async def _collect(
    events: _Events, answer: Answer, port: RemotePort, quiet_s: float | None
) -> None:
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
            case PortEvent() if (why := _why_no_answer(port, event.port)) != "":
                raise DeviceError(f"no answer will come: {why}")
            case ResultEvent():
                raise DeviceError(f"the command was {event.outcome}: {event.message}")


def _why_no_answer(before: RemotePort, now: RemotePort) -> str:
    if now.state in ("absent", "failed"):
        return f"the device was lost: {now.reason or now.state}"
    return "the machine was stopped or reset" if now.epoch != before.epoch else ""


class _Events:
    """A session's events; waiting for one may be given up without harm to the stream.

    Cancelling a `read` of grpc.aio cancels the whole RPC, so the pending one is kept instead.
    """

    def __init__(self, stream: SessionStream) -> None:
        self._stream = stream
        self._pending: asyncio.Task[Event] | None = None
        self._beats = self._heard = 0

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
                    await self._stream.send(Heartbeat(self._beats, 0.0, self._heard))
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
            if isinstance(event, HeartbeatEvent):
                self._heard = event.id
            elif event is not None:
                return event
