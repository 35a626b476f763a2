"""A relay between a virtual port and a link that remember what came."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

from fakes.remote import REMOTE
from usbshare.base.time_stats import TimeStats
from usbshare.bridge.forwarding.relay import Relay
from usbshare.client.serial.latency import Latency
from usbshare.client.serial.link_times import LinkTimes
from usbshare.client.serial.messages import Message, OpenedEvent, RemotePort
from usbshare.client.serial.realtime_lane import Overtaking
from usbshare.client.serial.resumption import Loss, Resumed
from usbshare.client.serial.upstream import Upstream
from usbshare.line.credit import Credit
from usbshare.line.settings import LineEvents, LineSettings, ModemLines

SINCE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Port:
    """A virtual port with a program that takes `room` bytes."""

    path = "/run/COM10"

    def __init__(self) -> None:
        self.room = 1 << 20
        self.taken = bytearray()
        self.limit = 4095
        self.hang_ups = 0
        self.shown: list[object] = []
        self.events: list[LineEvents] = []

    async def start(self, listener: object, settings: LineSettings) -> None: ...

    def write(self, data: bytes) -> int:
        took = data[: self.room]
        self.room -= len(took)
        self.taken += took
        return len(took)

    def limit_reading(self, most_bytes: int) -> None:
        self.limit = most_bytes

    def apply_settings(self, settings: LineSettings) -> None:
        self.shown.append(settings)

    def far_end_is(self, host: str, port_id: str) -> None:
        raise AssertionError("the relay does not name its port")

    def show_events(self, events: LineEvents) -> None:
        self.events.append(events)

    def show_lines(self, lines: ModemLines) -> None:
        self.shown.append(lines)

    def hang_up(self) -> None:
        self.hang_ups += 1

    async def close(self) -> None: ...


class FakeLink:
    """A link that remembers what it was told."""

    def __init__(self) -> None:
        self.taken_offset = 0
        self.closed = False
        self.is_connected = self.keeps_program = True
        self.latency = Latency()
        self.times = LinkTimes(TimeStats(), lambda: 0.0)

    def wake(self) -> None: ...

    def pass_through(self, data: bytes) -> bool:
        return False

    def taken(self, offset: int) -> None:
        self.taken_offset = offset

    def close(self) -> None:
        self.closed = True


class Reporter:
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def event(self, name: str, text: str, **fields: Any) -> None:
        self.events.append((name, text))

    def status(self, status: object) -> None: ...

    def end(self) -> None: ...


class Bench:
    def __init__(self, *, observe: bool = False) -> None:
        self.port, self.upstream, self.reporter = Port(), Upstream(), Reporter()
        self.link: Any = FakeLink()
        self.relay = Relay(self.port, self.upstream, self.reporter, observe=observe)
        self.relay.link = cast("Any", self.link)
        self.connect()
        self.relay.port_is_ready = True

    def connect(self, port: RemotePort = REMOTE, offset: int = 0, loss: Loss | None = None) -> None:
        self.upstream.begin(epoch=port.epoch, profile=port.profile)
        self.upstream.credit(Credit(1 << 20, 1000, 0))
        self.relay.link_connected(OpenedEvent("s1", port, offset, ModemLines()), loss)

    def resume(self, port: RemotePort = REMOTE) -> None:
        self.upstream.lose_link()
        self.upstream.resume(0, 0, epoch=port.epoch, profile=port.profile)
        self.relay.link_resumed(OpenedEvent("s1", port, 0, ModemLines()), Resumed(1.23, 7))

    def sent(self) -> list[Message]:
        messages = []
        while self.upstream.wait_s(1e9) == 0:
            messages.append(self.upstream.take(1e9))
        return messages


class UrgentLine:
    """A connection for stops that remembers what it was given."""

    is_ready = True

    def __init__(self) -> None:
        self.sent: list[tuple[Overtaking, str, str]] = []
        self.sending: list[asyncio.Future[bool]] = []
        self.moves = 0

    def move(self) -> None:
        self.moves += 1

    @property
    def data(self) -> list[tuple[bytes, str, str]]:
        return [(stops.data, port_id, session_id) for stops, port_id, session_id in self.sent]

    def send(self, stops: Overtaking, port_id: str, session_id: str) -> asyncio.Future[bool]:
        self.sent.append((stops, port_id, session_id))
        self.sending.append(asyncio.get_running_loop().create_future())
        return self.sending[-1]
