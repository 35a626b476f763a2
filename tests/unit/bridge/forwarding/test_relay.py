"""The relay: a program's virtual port and a link, joined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from fakes.relay_bench import SINCE, Bench, UrgentLine
from fakes.remote import REMOTE
from usbshare.client.serial.messages import (
    Configure,
    DataEvent,
    Flush,
    Hold,
    HoldBreak,
    LinesEvent,
    OperationEvent,
    PortEvent,
    ResultEvent,
    SendCommand,
    SetLines,
    SettingsEvent,
)
from usbshare.line.credit import Credit
from usbshare.line.profiles import GRBL, RAW
from usbshare.line.settings import LineCounts, LineEvents, LineSettings, ModemLines


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_programs_bytes_go_up_and_the_devices_down(bench: Bench) -> None:
    bench.relay.program_wrote(b"G0 X1\n")
    assert bench.sent() == [SendCommand(1, 0, b"G0 X1\n", 1)]
    bench.relay.link_data(DataEvent(0, b"ok\n"))
    assert bench.port.taken == b"ok\n"
    assert bench.link.taken_offset == 3


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


def test_line_errors_are_shown_once(bench: Bench) -> None:
    for counts in (LineCounts(breaks=3), LineCounts(breaks=4), LineCounts(4, parity_errors=2)):
        bench.relay.link_event(LinesEvent(ModemLines(counts=counts)))
    assert bench.port.events == [LineEvents(line_break=True), LineEvents(parity_error=True)]


def test_refused_bytes_are_reported(bench: Bench) -> None:
    bench.relay.link_event(ResultEvent(1, "fenced", 0.0, 0.0, "a stop ended its epoch"))
    assert bench.reporter.events[-1] == (
        "refused",
        "bytes were fenced: a stop ended its epoch",
    )


def test_a_virtual_port_that_is_gone_ends_the_link(bench: Bench) -> None:
    bench.relay.port_lost("pulled")
    assert bench.link.closed


@pytest.fixture
def stops(bench: Bench) -> UrgentLine:
    bench.connect(replace(REMOTE, profile=GRBL))
    line: Any = UrgentLine()
    bench.relay.urgent_line = line
    return cast("UrgentLine", line)


async def test_bytes_that_the_stream_takes_at_once_use_no_other_connection(
    bench: Bench, stops: UrgentLine
) -> None:
    bench.link.wake = bench.sent
    bench.relay.program_wrote(b"!")
    assert stops.sent == []
