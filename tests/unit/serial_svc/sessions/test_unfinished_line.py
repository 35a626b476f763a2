"""A line that a program left unfinished is neither carried out nor becomes part of the next."""

from __future__ import annotations

import asyncio

import pytest

from fakes.line_bench import LineBench
from fakes.waiting import until
from usbshare.base.errors import WrongStateError
from usbshare.line.flow.character_counting import rules_of
from usbshare.line.profiles import GRBL, MARLIN, RAW, Profile
from usbshare.line.stop_actions import StopAction
from usbshare.serial_svc.sessions import unfinished_line
from usbshare.serial_svc.sessions.unfinished_line import SPOILER, voiding
from usbshare.sim.receive import clean_line


@pytest.mark.parametrize(
    ("begun", "profile", "end"),
    [
        (b"G1 X1", GRBL, SPOILER),
        (b"G1 X1 (a note", GRBL, SPOILER),
        (b"G1 X1 (a; note", GRBL, SPOILER),
        (b"G1 (one; two) X1", GRBL, SPOILER),
        (b"G1 X1 ; a note", GRBL, b""),
        (b"G1 X1 ; a (note", GRBL, b""),
        (b"; a note", GRBL, b"\n"),
        (b" (one) ; a note", GRBL, b"\n"),
        (b"G1 X1", MARLIN, b""),
        (b"G1 X1 ; a note", MARLIN, b""),
        (b"; a note", MARLIN, b"\n"),
    ],
)
def test_what_voids_a_line(begun: bytes, profile: Profile, end: bytes) -> None:
    rules = rules_of(profile)
    assert rules is not None
    assert voiding(begun, rules) == end
    if end == SPOILER:
        assert clean_line(begun + end).strip().endswith(b"*")
    elif end:
        assert clean_line(begun + end) == b""


async def left_behind(bench: LineBench, begun: bytes) -> None:
    program = await bench.open()
    await program.send(begun)
    await program.session.close()
    bench.device.written.clear()


async def test_grbl_rejects_what_was_begun_before_another_program_writes() -> None:
    bench = LineBench()
    await left_behind(bench, b"G1 X100")
    opening = asyncio.create_task(bench.open("bob"))
    await until(lambda: bench.written == SPOILER)
    assert not opening.done()
    bench.device.say(b"error:1\r\n")
    program = await opening
    await program.send(b"M5\n")
    assert bench.written == SPOILER + b"M5\n"
    assert program.received() == b""
    await program.session.close()
    bench.device.written.clear()
    await bench.open("ann")
    assert not bench.written


async def test_a_silent_grbl_does_not_keep_a_program_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unfinished_line, "_REPLY_S", 0.1)
    bench = LineBench()
    await left_behind(bench, b"G1 X100")
    program = await bench.open("bob")
    await program.send(b"M5\n")
    assert bench.written == SPOILER + b"M5\n"


@pytest.mark.parametrize(("begun", "profile"), [(b"G1 X9", MARLIN), (b"G1 X9 ; to", GRBL)])
async def test_a_program_gets_no_port_where_nothing_voids_what_was_begun(
    begun: bytes, profile: Profile
) -> None:
    bench = LineBench(profile)
    await left_behind(bench, begun)
    for opening in (bench.open, bench.open_lines):
        with pytest.raises(WrongStateError, match="a program left a line unfinished"):
            await opening()
    assert bench.port.roster.control is None
    await bench.port.stops.machine_reset.reset("ann", "", "", None)
    program = await bench.open("bob")
    await program.send(b"M5\n", epoch=bench.port.line.latch.epoch)
    assert bench.written.endswith(b"M5\n")
    assert b"*" not in bench.written


async def test_a_comment_that_was_begun_on_marlin_is_ended() -> None:
    bench = LineBench(MARLIN)
    await left_behind(bench, b"; a no")
    program = await bench.open("bob")
    await program.send(b"M5\n")
    assert bench.written == b"\nM5\n"


async def test_a_stop_that_resets_the_machine_voids_what_was_begun() -> None:
    bench = LineBench()
    await left_behind(bench, b"G1 X100")
    await bench.port.stops.path.stop(StopAction.EMERGENCY_STOP, "bob")
    bench.device.written.clear()
    await bench.open("bob")
    assert not bench.written


async def test_a_device_of_unknown_firmware_gets_nothing_that_no_program_sent() -> None:
    bench = LineBench(RAW)
    await left_behind(bench, b"half a mess")
    await bench.open("bob")
    assert not bench.written
