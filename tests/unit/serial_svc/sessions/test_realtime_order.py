"""Real-time bytes go out in the order in which they were written, by whichever way they came.

The bridge's own upstream and the service's own session, with two ways between them that lose
answers, fail, and bring what they bring at any time.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fakes.device import FakeDevice
from usbshare.base.errors import DeviceError
from usbshare.client.serial.messages import Message, SendCommand, SendRealtime
from usbshare.client.serial.realtime_lane import Overtaking
from usbshare.client.serial.upstream import Upstream
from usbshare.line.profiles import GRBL, MARLIN, Priority, Profile
from usbshare.line.settings import LineSettings
from usbshare.serial_svc.line.port_config import PortConfig
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.sessions.client import Client, Command, Mode
from usbshare.serial_svc.sessions.session import Session
from usbshare.serial_svc.stop import report_requests

FAST = LineSettings(baud=12_000_000)
LATER_S = 10.0
LINE = re.compile(rb"\(n(\d+)\)\n")
CLIENT = Client("one", "ann", "ann", "127.0.0.1:1", Mode.CONTROL, only_failures=True)
STEPS = st.lists(
    st.sampled_from(
        [
            *("line", "line", "!", "~", "?", "~!", "!~?", "\x18", "!\x18~"),
            *(
                "send",
                "send",
                "stuck",
                "stream",
                "stream",
                "other",
                "late",
                "fail",
                "twice",
                "again",
            ),
            *("block", "free", "confirm"),
        ]
    ),
    max_size=60,
)


class Ways:
    """A program, its bridge, and the service: what is under way is delivered when the test says."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.device = FakeDevice(FAST)
        config = PortConfig("laser", "fake", profile=profile, settings=FAST, link_timeout_s=60.0)
        self.port = SerialPort(config, lambda _: self.device, time.monotonic, lambda: None)
        self.upstream = Upstream()
        self.written = bytearray()
        self.lines: list[tuple[int, int]] = []
        self.resets = 0
        self.now = 100.0
        self.got, self.epoch = b"", 0
        self.session: Session
        self.stream: deque[Message] = deque()
        self.other: list[Overtaking] = []
        self.arrived: list[SendRealtime] = []
        self._waiting: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        self.session = await self.port.open_session(CLIENT)
        self.upstream.begin(epoch=self.port.line.latch.epoch, profile=self.profile)
        self.credit()

    def write(self, data: bytes) -> None:
        self.written += data
        self.upstream.add_program(data)
        self.resets += data.count(b"\x18") + data.count(b"M112")

    def line(self) -> None:
        number = len(self.lines)
        self.lines.append((number, self.resets))
        self.write(b"(n%d)\n" % number)

    def send(self) -> bool:
        self.now += LATER_S
        if self.upstream.wait_s(self.now) != 0:
            return False
        self.stream.append(self.upstream.take(self.now))
        return True

    def stuck(self) -> None:
        if (stops := self.upstream.take_emergency()) is not None:
            self.other.append(stops)

    async def arrive(self) -> None:
        """Deliver what the stream brings next."""
        if not self.stream:
            return
        match self.stream.popleft():
            case SendRealtime(data, epoch, first_number):
                self.session.realtime.in_stream(data, first_number, epoch)
            case SendCommand() as sent:
                command = Command(
                    sent.id, None, sent.epoch, sent.offset, sent.data, sent.after_reset
                )
                waiting = asyncio.ensure_future(self.session.command(command))
                self._waiting.add(waiting)
                waiting.add_done_callback(self._waiting.discard)
                await asyncio.sleep(0)
        self.credit()

    def overtake(self, index: int, *, fails: bool = False, twice: bool = False) -> None:
        """Deliver what went the other way, in one of the ways in which that happens."""
        if not self.other:
            return
        stops = self.other.pop(index % len(self.other))
        messages = stops.stops if fails else stops.first
        for message in messages * (2 if twice else 1):
            self.session.realtime.overtake(message.data, message.first_number, message.epoch)
            self.arrived.append(message)
        self.upstream.emergency_done(stops.last_number)

    def repeat(self, chance: random.Random) -> None:
        """Deliver once more what was delivered long ago: its answer was lost."""
        if self.arrived:
            message = chance.choice(self.arrived)
            self.session.realtime.overtake(message.data, message.first_number, message.epoch)

    def credit(self) -> None:
        if (credit := self.session.credit_due()) is not None:
            self.upstream.credit(credit)

    async def settle(self) -> None:
        self.device.make_room(1 << 20)
        for _ in range(200):
            while self.other:
                self.overtake(0)
            while self.send():
                pass
            while self.stream:
                await self.arrive()
            await asyncio.sleep(0)
            self.credit()
        await asyncio.gather(*self._waiting)
        self.got, self.epoch = bytes(self.device.written), self.port.line.latch.epoch
        await self.port.close()


async def play(steps: list[str], seed: int) -> Ways:
    ways, chance = Ways(GRBL), random.Random(seed)
    await ways.begin()
    happens: dict[str, Callable[[], object]] = {
        "line": ways.line,
        "send": ways.send,
        "stuck": ways.stuck,
        "stream": ways.arrive,
        "other": lambda: ways.overtake(0),
        "late": lambda: ways.overtake(chance.randrange(5)),
        "fail": lambda: ways.overtake(0, fails=True),
        "twice": lambda: ways.overtake(0, twice=True),
        "again": lambda: ways.repeat(chance),
        "block": lambda: setattr(ways.device, "capacity", 0),
        "free": lambda: ways.device.make_room(1 << 20),
        "confirm": lambda: ways.upstream.realtime_confirmed(ways.session.realtime.number),
    }
    for step in steps:
        if step not in happens:
            ways.write(step.encode("latin-1"))
        elif asyncio.iscoroutine(happening := happens[step]()):
            await happening
    await ways.settle()
    return ways


def is_subsequence(some: bytes, whole: bytes) -> bool:
    rest = iter(whole)
    return all(byte in rest for byte in some)


def are_resets_kept(steps: list[str], written: int, got: int) -> bool:
    """Return whether all resets came, as one where a blocked device had not taken those before."""
    return got == written or ("block" in steps and 0 < got < written)


def of(data: bytes, *priorities: Priority) -> bytes:
    return bytes(byte for byte in data if GRBL.realtime.get(byte) in priorities)


RESETS_WHILE_BLOCKED = ["\x18", "\x18", "send", "send", "block", "stream", "stream", "line"]


@settings(max_examples=400, deadline=None)
@given(STEPS, st.integers(0, 1000))
@example(RESETS_WHILE_BLOCKED, 0)
def test_every_stop_arrives_once_in_order_and_nothing_that_continues_overtakes_it(
    steps: list[str], seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_requests, "LOOK_S", 3600.0)  # questions of the host's own
        patch.setattr(report_requests, "LIMIT_S", 0.0)
        ways = asyncio.run(play(steps, seed))
    got, wrote = ways.got, bytes(ways.written)
    stops = Priority.EMERGENCY
    *before, last = of(wrote, stops).split(b"\x18")
    *got_before, got_last = of(got, stops).split(b"\x18")
    assert got_last == last
    # What a device that was blocked had not taken when the reset came is not worth its time.
    assert are_resets_kept(steps, len(before), len(got_before))
    if len(got_before) == len(before):
        assert all(map(is_subsequence, got_before, before))
    assert is_subsequence(of(got, stops, Priority.HIGH), of(wrote, stops, Priority.HIGH))
    assert is_subsequence(of(got, *Priority), of(wrote, *Priority))


@settings(max_examples=400, deadline=None)
@given(STEPS, st.integers(0, 1000))
@example(RESETS_WHILE_BLOCKED, 0)
def test_a_reset_voids_exactly_what_its_program_wrote_before_it(
    steps: list[str], seed: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report_requests, "LOOK_S", 3600.0)  # questions of the host's own
        patch.setattr(report_requests, "LIMIT_S", 0.0)
        ways = asyncio.run(play(steps, seed))
    pieces = ways.got.split(b"\x18")
    assert are_resets_kept(steps, ways.resets, len(pieces) - 1)
    numbers, may_merge = [-1], "block" in steps
    for number, piece in enumerate(pieces):
        found = [int(n) for n in LINE.findall(piece.translate(None, bytes(GRBL.realtime)))]
        if found:
            resets = dict(ways.lines)[found[0]]
            assert resets > numbers[-1]
            assert resets == number or may_merge
            assert found == [n for n, before in ways.lines if before == resets][: len(found)]
            numbers.append(resets)
    assert found == [n for n, before in ways.lines if before == ways.resets]
    assert ways.epoch == 1, "the port stays open: nobody's epoch has ended"


@pytest.mark.parametrize(
    ("data", "held_after"),
    [
        (b"~", False),
        (b"~?", False),
        (b"~\x91", False),
        (b"?~", False),
        (b"!~", False),
        (b"~!", True),
        (b"~\x84?", True),
        (b"?", True),
        (b"\x18", False),
        (b"~\x18", False),
    ],
)
async def test_a_held_machine_continues_if_the_last_request_is_to_resume(
    data: bytes, held_after: bool
) -> None:
    ways = Ways(GRBL)
    await ways.begin()
    ways.device.unsent = 1 << 20
    ways.write(b"G1 X1\n" * 20)
    while ways.send():
        await ways.arrive()
    ways.port.stops.machine.activity.works(time.monotonic())
    watch = ways.port.roster.watch
    assert watch is not None
    watch.lose("cut")
    await asyncio.sleep(0)
    assert ways.session.is_held
    watch.taken_up(0)
    assert ways.session.is_held
    ways.session.realtime.in_stream(data)
    assert ways.session.is_held is held_after
    await ways.port.close()


async def test_a_poll_that_waits_keeps_its_place_before_a_hold() -> None:
    ways = Ways(GRBL)
    await ways.begin()
    ways.device.unsent = 1 << 20
    ways.write(b"G1 X1\n")
    ways.send()
    await ways.arrive()
    ways.session.realtime.in_stream(b"?")
    assert ways.device.written == b""
    ways.session.realtime.in_stream(b"!")
    assert ways.device.written == b"?!"
    await ways.port.close()


async def test_marlins_lines_keep_their_order_too() -> None:
    ways = Ways(MARLIN)
    await ways.begin()
    ways.write(b"G1 X1\nM108\nM410\n")
    ways.stuck()
    ways.write(b"M108\n")
    ways.send()
    await ways.arrive()
    assert ways.device.written == b"", "what goes on waits for the stop that goes another way"
    ways.overtake(0)
    ways.send()
    await ways.arrive()
    assert ways.device.written == b"\nM108\nM410\nM108\n"
    ways.write(b"M112\nG1 X2\n")
    ways.stuck()
    ways.overtake(0)
    await ways.settle()
    assert ways.got.endswith(b"\nM112\nG1 X2\n")
    assert b"X1" not in ways.got
    assert ways.epoch == 1


async def test_a_reset_without_a_number_or_of_another_session_ends_the_epoch() -> None:
    ways = Ways(GRBL)
    await ways.begin()
    ways.port.stops.realtime.write(b"\x18", "ann")
    assert ways.port.line.latch.epoch == 2
    await ways.port.close()


async def test_a_reset_that_comes_after_its_program_has_continued_ends_the_epoch() -> None:
    """Its answer was given up: the program must see that its new job has a hole."""
    ways = Ways(GRBL)
    await ways.begin()
    ways.write(b"\x18G1 X2\n")
    ways.stuck()
    (stops,) = ways.other
    ways.upstream.emergency_done(0)
    ways.send()
    await ways.arrive()
    assert ways.device.written == b"G1 X2\n"
    ways.session.realtime.overtake(stops.data, stops.last_number)
    assert ways.device.written == b"G1 X2\n\x18"
    assert ways.port.line.latch.epoch == 2
    await ways.port.close()


async def test_a_stop_that_found_no_device_is_written_when_it_is_tried_again() -> None:
    ways = Ways(GRBL)
    await ways.begin()
    ways.device.broken = "gone"
    with pytest.raises(DeviceError):
        ways.session.realtime.overtake(b"\x18", 1)
    ways.device.broken = None
    await ways.port.line.ensure_open()
    ways.session.realtime.overtake(b"\x18", 1)
    ways.session.realtime.overtake(b"\x18", 1)
    assert ways.device.written == b"\x18"
    await ways.port.close()
