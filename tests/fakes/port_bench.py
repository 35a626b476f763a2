"""A port on a fake device, and clients in control of it that are lost and come back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest

from fakes.device import FakeDevice
from fakes.waiting import until
from usbshare.line.profiles import GRBL
from usbshare.line.settings import LineSettings
from usbshare.rpc.pump import StreamPump
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.line.scheduler import CommandOutcome
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions.attachment import Attachment
from usbshare.serial_svc.sessions.client import Client, Command, Mode, Resumption, new_session_id
from usbshare.serial_svc.sessions.events import CommandResult, Data, Opened, SessionEvent
from usbshare.serial_svc.sessions.link_watch import LinkWatch
from usbshare.serial_svc.sessions.session import Session
from usbshare.serial_svc.stop import activity, machine

FAST = LineSettings(baud=12_000_000)
DOOR, RESUME, RESET = b"\x84", b"~", b"\x18"
BEAT_S = 0.25  # or a tenth of a shorter link timeout


class Client1:
    """A client with streams that remember what came; it is heard while it has one.

    However late the loop is, it is heard before anybody looks: its timer is due before theirs.
    """

    def __init__(self, session: Session, link_timeout_s: float = 60.0) -> None:
        self.session = session
        self._beat_s = min(BEAT_S, link_timeout_s / 10)
        self.events: list[SessionEvent | None] = []
        self.is_silent = False
        self.attachment = self.connect()
        self._offset = self._number = 0

    def connect(self) -> Attachment:
        pump = StreamPump(self.session.outbox, self._take, time.monotonic)
        self.attachment = self.session.attach(pump)
        self._beat(self.attachment)
        return self.attachment

    async def send(self, data: bytes, epoch: int = 1, after_reset: int = 0) -> None:
        self._number += 1
        command = Command(self._number, None, epoch, self._offset, data, after_reset)
        self._offset += len(data)
        await self.session.command(command)

    def cut(self) -> None:
        self.session.stream_ended(self.attachment)

    def received(self) -> bytes:
        return b"".join(e.data for e in self.events if isinstance(e, Data))

    def results(self) -> list[CommandOutcome]:
        return [e.outcome for e in self.events if isinstance(e, CommandResult)]

    def opened(self) -> list[Opened]:
        return [e for e in self.events if isinstance(e, Opened)]

    def _beat(self, attachment: Attachment) -> None:
        if not (self.is_silent or attachment.ended.done()):
            self.session.hearing.heard(time.monotonic())
            asyncio.get_running_loop().call_later(self._beat_s, self._beat, attachment)

    async def _take(self, event: SessionEvent | None) -> None:
        self.session.credit_due()
        self.events.append(event)


class Bench:
    def __init__(self, device: FakeDevice | None = None, **config: object) -> None:
        chosen: dict[str, object] = {
            "profile": GRBL,
            "settings": FAST,
            "link_timeout_s": 0.05,
            "resume_window_s": 30.0,
        }
        made = PortConfig("laser", "fake", **(chosen | config))  # type: ignore[arg-type]
        self.device = device or FakeDevice(FAST)
        self.port = SerialPort(made, lambda _: self.device, time.monotonic, lambda: None)

    async def open(self, name: str = "ann", resumption: Resumption | None = None) -> Client1:
        client = Client(
            new_session_id(),
            f"usbshare://site/{name}",
            name,
            "127.0.0.1:1",
            Mode.CONTROL,
            only_failures=True,
        )
        session = await self.port.open_session(client, resumption)
        return Client1(session, self.port.config.link_timeout_s)

    async def take_up(
        self, lost: Client1, offset: int | None = None, waiting: int | None = 0
    ) -> Session:
        """Come back; with `waiting` None by a client that does not say what it has."""
        client = replace(lost.session.client, session_id="id-again")
        offset = len(lost.received()) if offset is None else offset
        session = await self.port.open_session(client, Resumption(lost.session.token, offset))
        if session is lost.session:
            lost.connect()
            if waiting is not None:
                self.watch.client_waits(waiting, 7.5)
        return session

    def rests(self, client: Client1) -> None:
        """Let the machine say that it is idle, and the program know it."""
        self.device.say(b"<Idle|MPos:0,0,0>\r\n")
        self.port.stops.machine.acknowledged(self.port.line.read_offset)

    @property
    def watch(self) -> LinkWatch:
        """What watches the session in control."""
        watch = self.port.roster.watch
        assert watch is not None
        return watch

    @property
    def written(self) -> bytes:
        return bytes(self.device.written)

    @property
    def commands(self) -> bytes:
        """What was written, but for questions for the machine's state."""
        return self.written.replace(b"?", b"")


async def lost(bench: Bench, client: Client1) -> None:
    client.cut()
    await until(lambda: bench.port.roster.is_away)
    await asyncio.sleep(0)  # what acts on the machine is a task that has just been made


async def rested(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Client1:
    """Have a client whose program is done, and knows it."""
    monkeypatch.setattr(activity, "SETTLED_S", 0.0)
    monkeypatch.setattr(machine, "REST_S", -1000.0)
    client = await bench.open()
    await client.send(b"G1 X10\n")
    bench.rests(client)
    return client


async def lost_with_a_line_queued(bench: Bench) -> Client1:
    """Lose a client of whose two lines the device has taken one."""
    client = await bench.open()
    await client.send(b"G1 X1\n")
    bench.device.capacity = 0
    await client.send(b"G1 X2\n")
    await lost(bench, client)
    bench.device.make_room(1000)
    return client
