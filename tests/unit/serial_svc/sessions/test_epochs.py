"""No byte of an ended epoch is ever written, however stops, losses and commands interleave."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.device import FakeDevice
from usbshare.base.errors import PortLatchedError, WrongStateError
from usbshare.line.profiles import GRBL, StopAction
from usbshare.line.settings import LineSettings
from usbshare.rpc.pump import StreamPump
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions.attachment import Attachment
from usbshare.serial_svc.sessions.client import Client, Command, Mode, Resumption
from usbshare.serial_svc.sessions.events import Opened, PortChanged, SessionEvent
from usbshare.serial_svc.sessions.session import Session
from usbshare.serial_svc.stop import resume

FAST = LineSettings(baud=12_000_000)
LINE = re.compile(rb"\(e(\d+)\)\n")


class Program:
    """A client that sends lines in the epoch that it was told last, which may be an old one."""

    def __init__(self, port: SerialPort) -> None:
        self.port = port
        self.session: Session | None = None
        self.epoch = 0
        self._offset = self._number = 0
        self._attachment: Attachment | None = None
        self._untold: list[SessionEvent | None] = []
        self._late: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        lost = self.session
        client = Client("one", "usbshare://site/ann", "ann", "127.0.0.1:1", Mode.CONTROL)
        client = replace(client, only_failures=True)
        resumption = Resumption(lost.token, self.port.line.read_offset) if lost else None
        self.session = await self.port.open_session(client, resumption)
        if self.session is not lost:
            self._offset = self._number = 0
        pump = StreamPump(self.session.outbox, self._take, time.monotonic)
        self._attachment = self.session.attach(pump)

    def cut(self) -> None:
        if self.session is not None and self._attachment is not None:
            self.session.stream_ended(self._attachment)

    async def reconnect(self) -> None:
        self.cut()
        await self.connect()

    async def send(self) -> None:
        """Send a line; one that must wait for room goes on waiting beside what follows."""
        assert self.session is not None
        if not self.session.is_attached:
            return
        data = b"(e%d)\n" % self.epoch
        self._number += 1
        command = Command(self._number, None, self.epoch, self._offset, data)
        self._offset += len(data)
        sending = asyncio.ensure_future(self.session.command(command))
        self._late.add(sending)
        sending.add_done_callback(self._late.discard)
        await asyncio.sleep(0)

    def listen(self) -> None:
        """Note what has been told so far."""
        for event in self._untold:
            if isinstance(event, Opened | PortChanged):
                self.epoch = event.port.epoch
        self._untold.clear()

    async def end(self) -> None:
        for sending in self._late:
            sending.cancel()
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _take(self, event: SessionEvent | None) -> None:
        assert self.session is not None
        self.session.credit_due()
        self._untold.append(event)


STEPS = st.lists(
    st.sampled_from(
        ["send", "send", "send", "listen", "stop", "rearm", "block", "free", "reconnect", "resume"]
    ),
    max_size=40,
)


async def play(steps: list[str]) -> bytes:
    device = FakeDevice(FAST)
    config = PortConfig("laser", "fake", profile=GRBL, settings=FAST, link_timeout_s=30.0)
    port = SerialPort(config, lambda _: device, time.monotonic, lambda: None)
    program = Program(port)
    await program.connect()
    program.listen()
    for step in steps:
        match step:
            case "send":
                await program.send()
            case "listen":
                program.listen()
            case "stop":
                device.capacity = 1 << 30
                await port.stops.path.stop(StopAction.EMERGENCY_STOP, "bob")
            case "rearm":
                port.stops.path.rearm("bob", port.line.latch.epoch)
            case "block":
                device.capacity = 0
            case "free":
                device.make_room(1 << 20)
            case "reconnect":
                await program.reconnect()
            case "resume":
                with suppress(WrongStateError, PortLatchedError):  # the fake does not report
                    await port.stops.path.stop(
                        StopAction.RESUME, "bob"
                    ) if device.capacity else None
    device.make_room(1 << 20)
    await asyncio.sleep(0)
    await program.end()
    await port.close()
    return bytes(device.written)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_no_byte_of_an_old_epoch_follows_a_stop(steps: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resume, "LIMIT_S", 0.0)
        written = asyncio.run(play(steps))
    for number, piece in enumerate(written.split(b"\x18"), start=1):
        epochs = {int(found) for found in LINE.findall(piece)}
        assert epochs <= {number}, (steps, written)
