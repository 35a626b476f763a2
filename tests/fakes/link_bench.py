"""A link on a service that remembers what it received, and can go away, fall silent or forget."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

from fakes.remote import REMOTE
from fakes.waiting import until
from usbshare.base.backoff import Backoff
from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.client.serial.link import Link
from usbshare.client.serial.link_state import SessionChoice
from usbshare.client.serial.messages import (
    ClosedEvent,
    DataEvent,
    Event,
    Goodbye,
    Heartbeat,
    HeartbeatEvent,
    LineOptions,
    Message,
    OpenedEvent,
)
from usbshare.client.serial.resumption import Loss, Resumed
from usbshare.client.serial.upstream import Upstream
from usbshare.line.credit import Credit
from usbshare.line.settings import ModemLines

PLENTY = Credit(1 << 20, 1000, 0)


class Service:
    """A service that answers heartbeats, takes commands, and can go away or fall silent."""

    def __init__(self) -> None:
        self.received: list[Message] = []
        self.streams: list[Stream] = []
        self.refuses: Exception | None = None
        self.window_s = self.link_timeout_s = 0.0
        self.forgets = False
        self.accepted_offset = self.sent_bytes = 0
        self.asked: list[tuple[str, int]] = []
        self.asked_ports: list[str] = []
        self.answers_heartbeats = True

    async def connect(self, *, looks_closer: bool = False) -> Any:
        return self

    async def open_session(
        self,
        port_id: str,
        *,
        observe: bool,
        takes: bool,
        name: str,
        resume_token: str,
        resume_offset: int,
        lines: LineOptions | None = None,
        resume_results: int = 0,
    ) -> Stream:
        del lines, resume_results
        self.asked.append((resume_token, resume_offset))
        self.asked_ports.append(port_id)
        if self.refuses is not None:
            raise self.refuses
        stream = Stream(self)
        stream.say(self._opened(resume_token, resume_offset), PLENTY)
        self.streams.append(stream)
        return stream

    def _opened(self, token: str, offset: int) -> OpenedEvent:
        opened = OpenedEvent(
            f"s{len(self.streams)}",
            REMOTE,
            self.sent_bytes,
            ModemLines(),
            link_timeout_s=self.link_timeout_s,
        )
        if not self.window_s:
            return opened
        opened = replace(opened, resume_token="secret", resume_window_s=self.window_s)
        if token != "secret":
            return opened
        if self.forgets:
            return replace(opened, not_resumed_reason="the session has ended")
        return replace(
            opened,
            resumed=True,
            data_offset=offset,
            accepted_offset=self.accepted_offset,
            accepted_commands=1,
        )

    async def explain(self, client: object, error: Exception) -> UsbshareError:
        return ConnectionRefusedByPeerError(str(error))

    async def close(self) -> None: ...


class Stream:
    def __init__(self, service: Service) -> None:
        self.taken_offset = 0
        self._service = service
        self._events: asyncio.Queue[tuple[Event, Credit | None] | None] = asyncio.Queue()

    def took(self, offset: int) -> None:
        self.taken_offset = offset

    def say(self, event: Event, credit: Credit | None = None) -> None:
        self._events.put_nowait((event, credit))

    def end(self) -> None:
        self._events.put_nowait(None)

    async def write(self, message: Message) -> None:
        self._service.received.append(message)
        if isinstance(message, Heartbeat) and self._service.answers_heartbeats:
            self.say(HeartbeatEvent(message.id))
        if isinstance(message, Goodbye):
            self.say(ClosedEvent())

    async def receive(self) -> tuple[Event, Credit | None]:
        entry = await self._events.get()
        if entry is None:
            raise EOFError
        return entry

    def cancel(self) -> None: ...


class Listener:
    def __init__(self) -> None:
        self.connected: list[str] = []
        self.events: list[Event] = []
        self.losses: list[str] = []
        self.refusals: list[bool] = []
        self.costs: list[Loss] = []
        self.resumed: list[Resumed] = []
        self.waits: list[str] = []

    def link_connected(self, opened: OpenedEvent, loss: Loss | None) -> None:
        self.connected.append(opened.session_id)
        if loss is not None:
            self.costs.append(loss)

    def link_resumed(self, opened: OpenedEvent, resumed: Resumed) -> None:
        self.resumed.append(resumed)

    def link_event(self, event: Event) -> None:
        self.events.append(event)

    def link_data(self, event: DataEvent) -> None:
        self.events.append(event)

    def link_sent(self) -> None: ...

    def link_lost(self, reason: str, window_s: float, *, is_refused: bool) -> None:
        self.losses.append(reason)
        self.refusals.append(is_refused)

    def link_abandoned(self, loss: Loss) -> None:
        self.costs.append(loss)

    def link_waiting(self, wait_s: float, reason: str) -> None:
        self.waits.append(reason)


class Bench:
    def __init__(self, port_id: str = "laser") -> None:
        self.service, self.listener, self.upstream = Service(), Listener(), Upstream()
        self.link = Link(
            self.service,
            SessionChoice(port_id, observe=False, client_name="test"),
            self.upstream,
            self.listener,
            Backoff(lambda: 0.0),
            time.monotonic,
        )
        self.running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.running = asyncio.create_task(self.link.run())
        await until(lambda: self.listener.connected)

    def sent(self, kind: type) -> list[Any]:
        return [message for message in self.service.received if isinstance(message, kind)]
