"""Lines, replies, resets, stops and holds in any order: each line has one result, a true one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.device import FakeDevice
from fakes.line_bench import GREETING, LineBench
from fakes.port_bench import FAST, Client1
from fakes.waiting import until
from usbshare.base.errors import WrongStateError
from usbshare.line.stop_actions import StopAction
from usbshare.serial_svc.sessions.client import LineChoice
from usbshare.serial_svc.sessions.events import CommandResult
from usbshare.serial_svc.sessions.unfinished_line import SPOILER
from usbshare.serial_svc.stop import resume
from usbshare.serial_svc.stop.hold import SeenHold

BUFFER_BYTES = 128
PLENTY = 1 << 30
REALTIME = b"?!~\x18"


class Grbl(FakeDevice):
    """Holds what GRBL's receive buffer holds; loses nothing aloud, but remembers an overflow."""

    def __init__(self) -> None:
        super().__init__(FAST)
        self.buffer = b""
        self.replied: list[tuple[bytes, str]] = []
        self.overflows = 0
        self.must_greet = False

    def write(self, data: bytes) -> int:
        if not data.strip(REALTIME):  # it has room for these at any time
            self.capacity += len(data)
        taken = super().write(data)
        for byte in data[:taken]:
            if byte == 0x18:
                self.buffer, self.must_greet = b"", True
            elif byte not in REALTIME:
                self.buffer += bytes([byte])
        self.overflows += len(self.buffer) > BUFFER_BYTES
        return taken

    def reply(self, text: str) -> None:
        """Answer the oldest line that is whole."""
        line, end, rest = self.buffer.partition(b"\n")
        if not end or self.must_greet:
            return
        self.buffer = rest
        if line + b"\n" == SPOILER or line.endswith(b")*"):
            text = "error:1"
        else:
            self.replied.append((line + b"\n", text))
        self.say(text.encode() + b"\r\n")

    def greet(self) -> None:
        """Be up again."""
        self.must_greet = False
        self.say(GREETING)


@dataclass
class Play:
    """A machine and a client, and what the client has sent."""

    bench: LineBench
    grbl: Grbl
    client: Client1
    lines: list[bytes] = field(default_factory=list)
    resets: int = 0

    async def act(self, what: str, size: int) -> None:
        """Let something happen."""
        await getattr(self, f"_{what}")(size)
        await asyncio.sleep(0)

    async def _send(self, size: int) -> None:
        line = b"G1X%d" % len(self.lines) + b"0" * size + b"\n"
        self.lines.append(line)
        epoch = self.bench.port.line.latch.epoch
        await self.client.send(line, epoch, self.resets)

    async def _ok(self, size: int) -> None:
        for _ in range(1 + size % 4):
            self.grbl.reply("ok")

    async def _error(self, size: int) -> None:
        self.grbl.reply(f"error:{1 + size}")

    async def _room(self, size: int) -> None:
        self.grbl.make_room(size)

    async def _reset(self, _: int) -> None:
        self.resets += 1
        epoch = self.bench.port.line.latch.epoch
        self.client.session.realtime.overtake(b"\x18", self.resets, epoch)

    async def _stop(self, _: int) -> None:
        path = self.bench.port.stops.path
        await path.stop(StopAction.EMERGENCY_STOP, "bob")
        path.rearm("bob", self.bench.port.line.latch.epoch)

    async def _power(self, _: int) -> None:
        self.grbl.buffer = b""
        self.grbl.greet()

    async def _greet(self, _: int) -> None:
        if self.grbl.must_greet:
            self.grbl.greet()

    async def _flush(self, _: int) -> None:
        self.client.session.flush_queue()

    async def _resume(self, _: int) -> None:
        port = self.bench.port
        if port.describe().hold is not None:
            seen = SeenHold(port.line.latch.epoch, port.stops.machine.holds.number)
            with suppress(WrongStateError):  # this machine does not report its state
                await port.stops.path.stop(StopAction.RESUME, "bob", seen=seen)

    async def settle(self) -> None:
        """Let all lines come to their end."""
        self.grbl.make_room(PLENTY)
        for _ in range(3 * len(self.lines) + 3):
            for what in ("greet", "resume", "ok"):
                await self.act(what, 0)
        await until(lambda: len(self.results()) == len(self.lines))

    def results(self) -> list[CommandResult]:
        """Return the results so far."""
        return [event for event in self.client.events if isinstance(event, CommandResult)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["send"] * 8 + ["ok"] * 4 + ["room", "error", "resume", "greet"] * 2)
            | st.sampled_from(["reset", "stop", "power", "flush"]),
            st.integers(0, 60),
        ),
        max_size=40,
    ),
    st.booleans(),
    st.integers(0, 200),
)
@settings(max_examples=60, deadline=None)
def test_each_line_has_one_result_in_order_and_it_is_true(
    acts: list[tuple[str, int]], continues: bool, capacity: int
) -> None:
    async def run() -> None:
        bench, grbl = LineBench(), Grbl()
        bench.device = grbl
        client = await bench.open_lines(LineChoice(continues=continues))
        grbl.buffer = b""
        grbl.capacity = capacity
        play = Play(bench, grbl, client)
        for what, size in acts:
            await play.act(what, size)
            assert not grbl.overflows
        await play.settle()
        results = play.results()
        assert [each.command_id for each in results] == list(range(1, len(play.lines) + 1))
        answered = [
            (play.lines[each.command_id - 1], each.reply)
            for each in results
            if each.outcome.value in ("answered", "rejected")
        ]
        # All that the firmware replied to, and nothing else, and no line made of two.
        assert answered == grbl.replied
        client.session.end("over")
        await bench.port.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resume, "LIMIT_S", 0.0)
        asyncio.run(run())
