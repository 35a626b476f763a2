"""What a lost link costs, and what the program and the person learn of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes.relay_bench import SINCE, Bench
from fakes.remote import REMOTE
from usbshare.client.serial.messages import (
    Configure,
    DataEvent,
    GapEvent,
    Hold,
    PortEvent,
    RemoteLatch,
    SendCommand,
)
from usbshare.client.serial.resumption import Loss
from usbshare.line.settings import LineEvents, LineSettings


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_bytes_for_a_program_that_left_are_void_and_acknowledged(bench: Bench) -> None:
    bench.port.room = 0
    bench.relay.link_data(DataEvent(0, b"abc"))
    bench.relay.program_closed()
    assert bench.link.taken_offset == 3
    bench.port.room = 100
    bench.relay.link_data(DataEvent(3, b"new"))
    assert bench.port.taken == b"new"


def test_a_lost_link_says_that_nothing_is_lost_yet(bench: Bench) -> None:
    bench.relay.program_wrote(b"G0 X1\nG0 X2\n")
    bench.relay.link_lost("cable cut", 30.0)
    assert bench.reporter.events[-1] == (
        "lost",
        "link lost: cable cut; nothing is lost if it is back within 30 s",
    )
    assert bench.upstream.waiting_bytes == 12


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


def test_bytes_left_by_a_program_while_its_session_was_lost_are_kept(bench: Bench) -> None:
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


def test_bytes_left_by_a_program_after_its_session_are_void(bench: Bench) -> None:
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
