"""A port on a fake device, and sessions that remember what they are told."""

from __future__ import annotations

import time

from fakes.device import FakeDevice
from usbshare.line.settings import LineSettings
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.line.scheduler import CommandOutcome, Ordering
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions.client import Client, Command, Mode
from usbshare.serial_svc.sessions.events import CommandResult, SessionEvent
from usbshare.serial_svc.sessions.session import Session

FAST = LineSettings(baud=12_000_000)


class Bench:
    """A port on a fake device, with sessions that remember what they were told."""

    def __init__(self, config: PortConfig) -> None:
        self.device = FakeDevice(config.settings)
        self.port = SerialPort(config, self._make, time.monotonic, self._changed)
        self.changes = 0
        self.offsets: dict[Session, int] = {}

    def _make(self, settings: LineSettings) -> FakeDevice:
        return self.device

    def _changed(self) -> None:
        self.changes += 1

    async def open(
        self,
        name: str = "one",
        mode: Mode = Mode.CONTROL,
        ordering: Ordering = Ordering.PROGRAM,
    ) -> Session:
        client = Client(name, f"usbshare://site/{name}", name, "127.0.0.1:1", mode, ordering)
        return await self.port.open_session(client)

    async def send(
        self, session: Session, number: int, data: bytes, epoch: int | None = None
    ) -> None:
        offset = self.offsets.get(session, 0)
        self.offsets[session] = offset + len(data)
        epoch = self.port.line.latch.epoch if epoch is None else epoch
        await session.command(Command(number, None, epoch, offset, data))


def told(session: Session) -> list[SessionEvent]:
    """Take all that waits in a session's outbox, in order."""
    events: list[SessionEvent] = []
    outbox = session.outbox
    while outbox._events or outbox._has_data():
        events.append(outbox._events.popleft() if outbox._events else outbox._take_data(0.0))
    return events


def results(session: Session) -> dict[int, CommandOutcome]:
    return {e.command_id: e.outcome for e in told(session) if isinstance(e, CommandResult)}
