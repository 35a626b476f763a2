"""Stops that the session does not take at once, and what a hang-up takes away."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from fakes.relay_bench import Bench, UrgentLine
from fakes.remote import REMOTE
from usbshare.client.serial.messages import (
    DataEvent,
    PortEvent,
    RemotePort,
    SendCommand,
    SendRealtime,
    Waiting,
)
from usbshare.client.serial.resumption import Loss
from usbshare.client.serial.upstream import READ_AHEAD_BYTES
from usbshare.line.credit import Credit
from usbshare.line.profiles import AUTO, GCODE, GRBL, RAW


@pytest.fixture
def bench() -> Bench:
    return Bench()


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


def test_a_stop_while_the_session_was_lost_hangs_up(bench: Bench) -> None:
    bench.upstream.begin(epoch=1, profile=RAW)
    bench.relay.program_wrote(b"G1 X100 S900\n")
    bench.resume(replace(REMOTE, epoch=2, latched=True))
    assert bench.port.hang_ups == 1
    assert bench.sent() == [Waiting(0, 0.0)]
    assert bench.relay.status("laser", "connected").lost_bytes == 13


def test_a_new_epoch_drops_what_the_program_wrote_before(bench: Bench) -> None:
    bench.upstream.begin(epoch=1, profile=RAW)
    bench.relay.program_wrote(b"G0 X1\n")
    bench.relay.link_event(PortEvent(replace(REMOTE, epoch=2, latched=True)))
    assert bench.upstream.waiting_bytes == 0
    assert "latched" in bench.reporter.events[-1][1]


def test_bytes_before_a_stop_by_another_client_are_void_after_a_reconnection(
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


async def test_bytes_after_a_reset_that_was_never_delivered_are_void(
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


async def test_a_resume_waits_for_the_hold_before_it(bench: Bench, stops: UrgentLine) -> None:
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
