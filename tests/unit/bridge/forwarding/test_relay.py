"""The relay: a program's virtual port and a link, joined."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from fakes.remote import REMOTE
from usbshare.base.time_stats import TimeStats
from usbshare.bridge.forwarding.relay import Relay
from usbshare.client.serial.latency import Latency
from usbshare.client.serial.link_times import LinkTimes
from usbshare.client.serial.messages import (
    Configure,
    DataEvent,
    Flush,
    GapEvent,
    Hold,
    HoldBreak,
    LinesEvent,
    Message,
    OpenedEvent,
    OperationEvent,
    PortEvent,
    RemoteLatch,
    RemotePort,
    ResultEvent,
    SendCommand,
    SendRealtime,
    SetLines,
    SettingsEvent,
    Waiting,
)
from usbshare.client.serial.realtime_lane import Overtaking
from usbshare.client.serial.resumption import Loss, Resumed
from usbshare.client.serial.upstream import READ_AHEAD_BYTES, Upstream
from usbshare.line.credit import Credit
from usbshare.line.profiles import AUTO, GCODE, GRBL, RAW
from usbshare.line.settings import LineCounts, LineEvents, LineSettings, ModemLines

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


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_programs_bytes_go_up_and_the_devices_down(bench: Bench) -> None:
    bench.relay.program_wrote(b"G0 X1\n")
    assert bench.sent() == [SendCommand(1, 0, b"G0 X1\n", 1)]
    bench.relay.link_data(DataEvent(0, b"ok\n"))
    assert bench.port.taken == b"ok\n"
    assert bench.link.taken_offset == 3


def test_reading_stops_when_the_read_ahead_is_full_and_continues_after_sending(
    bench: Bench,
) -> None:
    bench.upstream.begin(epoch=1, profile=RAW)
    bench.relay.program_wrote(b"x" * READ_AHEAD_BYTES)
    assert bench.port.limit == 0
    bench.upstream.credit(Credit(100, 10, 0))
    bench.sent()
    bench.relay.link_sent()
    assert bench.port.limit == 100


def test_bytes_that_the_program_does_not_take_are_not_acknowledged(bench: Bench) -> None:
    bench.port.room = 2
    bench.relay.link_data(DataEvent(0, b"abcde"))
    bench.relay.link_data(DataEvent(5, b"fgh"))
    assert bench.port.taken == b"ab"
    assert bench.link.taken_offset == 2
    bench.port.room = 100
    bench.relay.port_writable()
    assert bench.port.taken == b"abcdefgh"
    assert bench.link.taken_offset == 8


def test_bytes_for_a_program_that_left_are_void_and_acknowledged(bench: Bench) -> None:
    bench.port.room = 0
    bench.relay.link_data(DataEvent(0, b"abc"))
    bench.relay.program_closed()
    assert bench.link.taken_offset == 3
    bench.port.room = 100
    bench.relay.link_data(DataEvent(3, b"new"))
    assert bench.port.taken == b"new"


def test_settings_and_lines_go_both_ways(bench: Bench) -> None:
    slow = LineSettings(baud=9600)
    bench.relay.program_configured(slow)
    bench.relay.program_set_lines(dtr=True, rts=None)
    lines = ModemLines(cts=True)
    bench.relay.link_event(SettingsEvent(slow))
    bench.relay.link_event(LinesEvent(lines))
    sent = bench.sent()
    assert [type(m) for m in sent] == [SetLines, Configure]
    assert bench.port.shown == [slow, lines]


def test_a_break_comes_after_the_bytes_before_it_and_its_outcome_is_reported(bench: Bench) -> None:
    bench.upstream.begin(epoch=1, profile=RAW)
    bench.upstream.credit(Credit(1000, 100, 0))
    outcomes: list[bool] = []
    bench.relay.program_wrote(b"G1")
    bench.relay.program_set_break(on=True, answered=outcomes.append)
    bench.relay.program_set_break(on=False, answered=outcomes.append)
    _, on, off = bench.sent()
    assert isinstance(on, HoldBreak)
    assert isinstance(off, HoldBreak)
    assert (on.on, off.on) == (True, False)
    bench.relay.link_event(OperationEvent(on.id, "ok", ""))
    bench.relay.link_event(OperationEvent(off.id, "not supported", "no break"))
    assert outcomes == [True, False]


def test_a_break_is_not_done_late(bench: Bench) -> None:
    bench.upstream.begin(epoch=1, profile=RAW)
    outcomes: list[bool] = []
    bench.relay.program_set_break(on=True, answered=outcomes.append)
    bench.upstream.lose_link()
    bench.relay.link_lost("gone", 30.0)
    assert outcomes == [False]
    assert not bench.sent()


def test_a_program_that_leaves_in_a_break_ends_it(bench: Bench) -> None:
    bench.upstream.begin(epoch=1, profile=RAW)
    bench.relay.program_set_break(on=True, answered=lambda _: None)
    bench.relay.program_closed()
    assert [m.on for m in bench.sent() if isinstance(m, HoldBreak)] == [True, False]


def test_a_flush_drops_bytes_here_and_is_passed_on(bench: Bench) -> None:
    bench.upstream.begin(epoch=1, profile=RAW)
    bench.port.room = 0
    bench.relay.link_data(DataEvent(0, b"stale"))
    bench.relay.program_wrote(b"unsent")
    bench.relay.program_flushed(received=True, written=True)
    assert bench.link.taken_offset == 5
    (flush,) = bench.sent()
    assert isinstance(flush, Flush)
    assert (flush.received, flush.written) == (True, True)
    assert bench.upstream.waiting_bytes == 0


def test_an_observing_program_writes_nothing_and_is_told_so_once() -> None:
    bench = Bench(observe=True)
    bench.relay.program_wrote(b"G0 X1\n")
    bench.relay.program_wrote(b"G0 X2\n")
    bench.relay.program_configured(LineSettings(baud=9600))
    assert bench.sent() == []
    losing = [text for name, text in bench.reporter.events if name == "losing"]
    assert len(losing) == 1
    assert bench.relay.status("laser", "connected").lost_bytes == 12


def test_a_lost_link_says_that_nothing_is_lost_yet(bench: Bench) -> None:
    bench.relay.program_wrote(b"G0 X1\nG0 X2\n")
    bench.relay.link_lost("cable cut", 30.0)
    assert bench.reporter.events[-1] == (
        "lost",
        "link lost: cable cut; nothing is lost if it is back within 30 s",
    )
    assert bench.upstream.waiting_bytes == 12


def test_a_session_that_is_over_says_what_is_in_doubt_and_hangs_up(bench: Bench) -> None:
    bench.relay.link_lost("cable cut", 30.0)
    bench.relay.link_abandoned(Loss(12, 0, "it did not come back"))
    told = dict(bench.reporter.events)
    assert "12 bytes of the program are lost or in doubt" in told["not_resumed"]
    assert bench.port.hang_ups == 1
    assert bench.relay.status("laser", "waiting").lost_bytes == 12


def test_a_session_that_is_over_hangs_up_no_program_that_lost_nothing(bench: Bench) -> None:
    bench.relay.link_abandoned(Loss(0, 0, "it did not come back"))
    assert bench.port.hang_ups == 0


def test_a_new_session_says_how_many_bytes_were_missed(bench: Bench) -> None:
    bench.port.room = 2
    bench.relay.link_data(DataEvent(0, b"abc"))
    loss = Loss(5, 7, "the session has ended")
    bench.connect(offset=10, loss=loss)
    told = dict(bench.reporter.events)
    assert "5 bytes of the program" in told["not_resumed"]
    assert "8 bytes of the device" in told["not_resumed"]
    assert bench.relay.status("laser", "connected").lost_bytes == 13
    assert bench.port.hang_ups == 1
    assert bench.link.taken_offset == 10


def test_a_resumed_session_continues_with_what_the_program_has_not_read(bench: Bench) -> None:
    bench.port.room = 2
    bench.relay.link_data(DataEvent(0, b"abc"))
    bench.resume()
    bench.port.room = 100
    bench.relay.link_data(DataEvent(3, b"def"))
    bench.relay.port_writable()
    assert bench.port.taken == b"abcdef"
    assert bench.relay.status("laser", "connected").lost_bytes == 0


def test_a_resumed_session_reports_what_was_resent_and_that_the_machine_is_held(
    bench: Bench,
) -> None:
    hold = Hold("link loss", "link-loss policy", SINCE, "resume", 7, 1.2)
    bench.resume(replace(REMOTE, held=True, hold=hold))
    names = [name for name, _ in bench.reporter.events]
    assert names[-2:] == ["resumed", "held"]
    (_, resumed), (_, held) = bench.reporter.events[-2:]
    assert resumed.startswith("session resumed after 1.2 s: 7 bytes of the program are sent again")
    assert "7 bytes wait, up to 1.2 s old" in held
    assert "usbshare-bridge stop --resume" in held
    assert bench.relay.status("laser", "connected").condition == "held: link lost"


def test_a_hold_is_reported_when_it_comes_when_it_is_of_another_kind_and_when_it_ends(
    bench: Bench,
) -> None:
    told = []
    for hold in (
        Hold("program", "usbshare://site/ann", SINCE, "resume"),
        Hold("alarm", "the machine", SINCE, "machine", reason="Alarm"),
        None,
        None,
    ):
        bench.relay.link_event(PortEvent(replace(REMOTE, hold=hold)))
        told.append(bench.reporter.events[-1])
    assert [name for name, _ in told] == ["held", "held", "released", "released"]
    assert "by usbshare://site/ann" in told[0][1]
    assert "$X" in told[1][1]
    assert len([name for name, _ in bench.reporter.events if name == "released"]) == 1


def test_a_lost_job_is_reported_with_its_release_and_need_not_be_reported_to_the_service(
    bench: Bench,
) -> None:
    bench.upstream.untold_loss = 26
    latch = RemoteLatch("job lost", "usbshare://site/ann", "26 bytes", SINCE, 2, "rearm or reset")
    bench.relay.link_event(PortEvent(replace(REMOTE, latched=True, latch=latch, epoch=2)))
    (text,) = [text for name, text in bench.reporter.events if name == "held"]
    assert "26 bytes" in text
    assert "usbshare-bridge stop --rearm" in text
    assert "reset from the program" in text
    assert bench.upstream.untold_loss == 0
    assert bench.relay.status("laser", "connected").condition == "job lost"


def test_a_stop_while_the_session_was_lost_hangs_up(bench: Bench) -> None:
    bench.upstream.begin(epoch=1, profile=RAW)
    bench.relay.program_wrote(b"G1 X100 S900\n")
    bench.resume(replace(REMOTE, epoch=2, latched=True))
    assert bench.port.hang_ups == 1
    assert bench.sent() == [Waiting(0, 0.0)]
    assert bench.relay.status("laser", "connected").lost_bytes == 13


def test_what_a_program_left_while_its_session_was_lost_is_kept(bench: Bench) -> None:
    bench.link.is_connected = False
    bench.relay.program_wrote(b"G0 X1\n")
    bench.relay.program_closed()
    assert bench.upstream.waiting_bytes == 6


def test_the_programs_settings_are_applied_again_after_a_reconnection(bench: Bench) -> None:
    slow = LineSettings(baud=9600)
    bench.relay.program_configured(slow)
    bench.sent()
    bench.connect()
    (again,) = bench.sent()
    assert isinstance(again, Configure)
    assert again.settings == slow
    assert bench.relay.status("laser", "connected").reconnections == 1


def test_a_gap_is_reported_and_counted(bench: Bench) -> None:
    bench.relay.link_event(GapEvent(7, 10))
    bench.relay.link_data(DataEvent(10, b"x"))
    assert bench.link.taken_offset == 11
    assert bench.relay.status("laser", "connected").lost_bytes == 7
    assert bench.port.events == [LineEvents(overrun=True)]


def test_line_errors_are_shown_once(bench: Bench) -> None:
    for counts in (LineCounts(breaks=3), LineCounts(breaks=4), LineCounts(4, parity_errors=2)):
        bench.relay.link_event(LinesEvent(ModemLines(counts=counts)))
    assert bench.port.events == [LineEvents(line_break=True), LineEvents(parity_error=True)]


def test_a_new_epoch_drops_what_the_program_wrote_before(bench: Bench) -> None:
    bench.upstream.begin(epoch=1, profile=RAW)
    bench.relay.program_wrote(b"G0 X1\n")
    bench.relay.link_event(PortEvent(replace(REMOTE, epoch=2, latched=True)))
    assert bench.upstream.waiting_bytes == 0
    assert "latched" in bench.reporter.events[-1][1]


def test_refused_bytes_are_reported(bench: Bench) -> None:
    bench.relay.link_event(ResultEvent(1, "fenced", 0.0, 0.0, "a stop ended its epoch"))
    assert bench.reporter.events[-1] == (
        "refused",
        "bytes were fenced: a stop ended its epoch",
    )


def test_a_virtual_port_that_is_gone_ends_the_link(bench: Bench) -> None:
    bench.relay.port_lost("pulled")
    assert bench.link.closed


def test_what_a_program_left_after_its_session_was_over_is_void(bench: Bench) -> None:
    bench.link.is_connected = bench.link.keeps_program = False
    bench.relay.program_wrote(b"G0 X1\n")
    bench.relay.program_closed()
    assert bench.upstream.waiting_bytes == 0
    assert bench.relay.status("laser", "waiting").lost_bytes == 6


def test_settings_come_before_the_bytes_that_wait_at_a_reconnection(bench: Bench) -> None:
    slow = LineSettings(baud=9600)
    bench.relay.program_configured(slow)
    bench.sent()
    bench.relay.link_lost("cable cut")
    bench.relay.program_wrote(b"for 9600\n")
    bench.connect()
    assert [type(m) for m in bench.sent()] == [Configure, SendCommand]


def test_what_was_written_before_a_stop_elsewhere_is_void_after_a_reconnection(
    bench: Bench,
) -> None:
    bench.relay.link_lost("cable cut")
    bench.relay.program_wrote(b"G1 X100 S900\n")
    bench.connect(replace(REMOTE, epoch=2))
    assert bench.sent() == []
    assert bench.relay.status("laser", "connected").lost_bytes == 13


LATCHED = replace(REMOTE, epoch=2, latched=True)
GONE = replace(REMOTE, epoch=2, state="absent", reason="unplugged")


@pytest.mark.parametrize(
    ("port", "why"),
    [(LATCHED, "`usbshare-bridge stop --rearm` releases it"), (GONE, "gone: unplugged")],
)
def test_a_stop_and_a_lost_device_hang_the_program_up_and_say_why(
    bench: Bench, port: RemotePort, why: str
) -> None:
    bench.port.room = 0
    bench.relay.link_data(DataEvent(0, b"unread"))
    bench.relay.program_wrote(b"G1 X10\n")
    bench.relay.link_event(PortEvent(port))
    assert bench.port.hang_ups == 1
    assert bench.sent() == []
    assert bench.link.taken_offset == 6
    (text,) = [text for name, text in bench.reporter.events if name == "hung_up"]
    assert text.startswith("/run/COM10 was hung up: ")
    assert why in text


def test_a_port_that_changes_within_its_epoch_hangs_up_no_program(bench: Bench) -> None:
    bench.relay.link_event(PortEvent(LATCHED))
    bench.relay.link_event(PortEvent(replace(LATCHED, latched=False)))
    assert bench.port.hang_ups == 1


def test_an_observers_port_is_not_hung_up() -> None:
    bench = Bench(observe=True)
    bench.relay.link_event(PortEvent(LATCHED))
    assert bench.port.hang_ups == 0


def test_a_hang_up_makes_room_for_the_next_program(bench: Bench) -> None:
    bench.upstream.begin(epoch=1, profile=RAW)
    bench.relay.program_wrote(b"x" * READ_AHEAD_BYTES)
    assert bench.port.limit == 0
    bench.relay.link_event(PortEvent(LATCHED))
    assert bench.port.limit == READ_AHEAD_BYTES


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


@pytest.fixture
def stops(bench: Bench) -> UrgentLine:
    bench.connect(replace(REMOTE, profile=GRBL))
    line: Any = UrgentLine()
    bench.relay.urgent_line = line
    return cast("UrgentLine", line)


async def test_a_stuck_stop_takes_the_other_connection_and_the_program_waits_for_it(
    bench: Bench, stops: UrgentLine
) -> None:
    bench.relay.program_wrote(b"G1 X1\n!\x18")
    assert stops.data == [(b"!\x18", "laser", "s1")]
    bench.relay.program_wrote(b"$X\n")
    assert bench.sent() == []
    stops.sending[0].set_result(True)
    await asyncio.sleep(0)
    assert [m.data for m in bench.sent() if isinstance(m, SendCommand)] == [b"$X\n"]


async def test_a_stop_that_may_have_been_lost_with_the_link_takes_the_other_connection(
    bench: Bench, stops: UrgentLine
) -> None:
    bench.link.wake = bench.sent
    bench.relay.program_wrote(b"!")
    assert stops.sent == []
    bench.upstream.lose_link()
    bench.relay.link_lost("heard nothing")
    assert stops.data == [(b"!", "laser", "s1")]
    assert stops.moves == 1, "nobody knows whether its connection lives"


async def test_bytes_that_the_stream_takes_at_once_use_no_other_connection(
    bench: Bench, stops: UrgentLine
) -> None:
    bench.link.wake = bench.sent
    bench.relay.program_wrote(b"!")
    assert stops.sent == []


async def test_bytes_that_stop_nothing_use_no_other_connection(
    bench: Bench, stops: UrgentLine
) -> None:
    bench.relay.program_wrote(b"~?")
    assert stops.sent == []
    assert bench.sent() == [SendRealtime(b"~?", 1, 1)]


async def test_a_stop_stays_on_an_established_stream_while_the_other_path_is_down(
    bench: Bench, stops: UrgentLine
) -> None:
    stops.is_ready = False
    bench.relay.program_wrote(b"!")
    assert stops.sent == []
    bench.link.is_connected = False
    bench.relay.program_wrote(b"!")
    assert stops.data == [(b"!!", "laser", "s1")]


def test_a_program_is_told_once_that_a_stop_has_no_bytes_of_the_firmwares_own(bench: Bench) -> None:
    port = replace(REMOTE, profile=GCODE, stop_bytes="fallback", sees_gcode=True)
    bench.relay.link_event(PortEvent(REMOTE))
    bench.relay.link_event(PortEvent(port))
    bench.relay.link_event(PortEvent(replace(port, observers=3)))
    told = [text for name, text in bench.reporter.events if name == "stop_bytes"]
    assert len(told) == 1
    assert "is not recognised: a stop sends 0x18 and M112" in told[0]
    bench.relay.link_event(PortEvent(replace(port, profile=RAW, stop_bytes="none")))
    assert "A STOP SENDS NO BYTES" in bench.reporter.events[-1][1]


def test_a_program_whose_firmware_is_known_is_told_nothing_of_stops(bench: Bench) -> None:
    bench.relay.link_event(PortEvent(REMOTE))
    bench.relay.link_event(PortEvent(replace(REMOTE, profile=AUTO, stop_bytes="fallback")))
    assert "stop_bytes" not in [name for name, _ in bench.reporter.events]


async def test_what_the_program_wrote_after_a_reset_that_never_came_is_void(
    bench: Bench, stops: UrgentLine
) -> None:
    bench.relay.program_wrote(b"G1 X1\n\x18G0 X5\n")
    stops.sending[0].set_result(False)
    await asyncio.sleep(0)
    assert bench.port.hang_ups == 1
    assert not [m for m in bench.sent() if isinstance(m, SendCommand)]


async def test_a_hold_that_never_came_hangs_up_no_program(bench: Bench, stops: UrgentLine) -> None:
    bench.relay.program_wrote(b"!")
    stops.sending[0].set_result(False)
    await asyncio.sleep(0)
    assert bench.port.hang_ups == 0


async def test_what_resumes_waits_for_the_hold_before_it(bench: Bench, stops: UrgentLine) -> None:
    bench.relay.program_wrote(b"!")
    bench.relay.program_wrote(b"~")
    assert bench.sent() == []
    bench.relay.program_wrote(b"!")
    assert [data for data, _, _ in stops.data] == [b"!", b"!~!"]
    stops.sending[1].set_result(True)
    stops.sending[0].set_result(True)
    await asyncio.sleep(0)
    bench.relay.program_wrote(b"~")
    assert bench.sent() == [SendRealtime(b"~", 1, 4)]
