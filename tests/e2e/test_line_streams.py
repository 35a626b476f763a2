"""Lines that a real service delivers to simulated machines, by their own flow control."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest

from fakes.line_rig import DEADLINE_S, line_rig, streamed
from fakes.waiting import until
from usbshare.client.serial.messages import LineOptions
from usbshare.line.stop_actions import StopAction

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs ptys")

HEAD = [b"G21 G90\n", b"M4 S0\n", b"G0 X0 Y0\n"]


def raster(lines: int) -> list[bytes]:
    """Return short moves, as an engraving has them."""
    return [b"G1 X%d.%d S%d F6000\n" % (n // 10, n % 10, n % 256) for n in range(lines)]


async def test_some_hundred_lines_are_answered_in_order_and_written_as_they_are(
    tmp_path: Path,
) -> None:
    program = HEAD + raster(600)
    async with line_rig(tmp_path) as rig:
        async with rig.stream() as stream:
            await streamed(stream, program)
        told = rig.told
    assert [answer.line for answer in told.answers] == program
    assert set(told.outcomes()) == {"answered"}
    assert {answer.reply for answer in told.answers} == {"ok"}
    assert rig.machine.received().replace(b"?", b"") == b"".join(program)
    assert not any("lost" in entry for entry in rig.machine.entries())
    assert b"ok" not in told.said


async def test_a_rejected_line_holds_the_machine_and_the_rest_until_a_person_resumes(
    tmp_path: Path,
) -> None:
    program = [*HEAD, *raster(200), b"G1 X999999999999 Q1\n", *raster(200)]
    bad = len(HEAD) + 200
    async with line_rig(tmp_path) as rig:
        async with rig.stream() as stream:
            sending = asyncio.create_task(streamed(stream, program))
            await rig.told.until_held("line error")
            hold = rig.told.port.hold
            assert hold is not None
            assert "G1 X999999999999 Q1" in hold.reason
            assert "error:" in hold.reason
            assert hold.release == "resume"
            await until(partial(rig.told.has_answers, bad))
            answered = len(rig.told.answers)
            await until(lambda: rig.machine.arrivals(b"!"))
            assert answered < len(program)  # the machine holds: what waits, waits
            await rig.resume()
            await asyncio.wait_for(sending, DEADLINE_S)
        told = rig.told
    rejected = told.answers[bad]
    assert (rejected.outcome, rejected.reply[:6]) == ("rejected", "error:")
    assert told.outcomes().count("answered") == len(program) - 1
    assert [answer.line for answer in told.answers] == program


async def test_lines_go_on_behind_a_rejected_one_where_that_was_chosen(tmp_path: Path) -> None:
    program = [*HEAD, b"G1 Q1\n", *raster(50), b"nonsense\n", *raster(50)]
    async with line_rig(tmp_path) as rig, rig.stream(LineOptions(continues=True)) as stream:
        await streamed(stream, program)
    told = rig.told
    assert told.outcomes().count("rejected") == 2
    assert told.outcomes().count("answered") == len(program) - 2
    assert all(port.hold is None for port in told.ports)
    assert not rig.machine.arrivals(b"!")


async def test_settings_are_written_with_nothing_else_under_way(tmp_path: Path) -> None:
    program = [b"$30=%d\n" % (1000 + n) for n in range(20)]
    mixed = [line for setting in program for line in (*raster(10), setting, b"G54\n", b"$$\n")]
    async with line_rig(tmp_path) as rig, rig.stream(LineOptions(continues=True)) as stream:
        await streamed(stream, mixed)
    alone = [answer for answer in rig.told.answers if answer.line.startswith((b"$", b"G54"))]
    # GRBL takes a setting only while it rests, and says so otherwise.
    assert {answer.reply for answer in alone} <= {"ok", "error:8"}
    assert not any("lost" in entry for entry in rig.machine.entries())
    assert rig.machine.received().replace(b"?", b"") == b"".join(mixed)


async def test_a_stop_in_the_middle_leaves_no_line_without_an_end(tmp_path: Path) -> None:
    program = [*HEAD, *raster(800)]
    async with line_rig(tmp_path) as rig, rig.stream() as stream:
        for line in program:
            await stream.send(line)
        await until(lambda: len(rig.told.answers) > 100)
        await rig.stop(StopAction.EMERGENCY_STOP)
        await stream.drain()
        outcomes = rig.told.outcomes()
        assert len(outcomes) == len(program)
        kinds = [kind for kind, _ in groupby(outcomes)]
        assert kinds in (
            ["answered", "unanswered", "fenced"],
            ["answered", "fenced"],
            ["answered", "unanswered", "flushed", "fenced"],
        )
        await until(lambda: rig.told.port.latched)
        # Latched: what is sent now is refused, each line for itself.
        await streamed(stream, [b"G0 X1\n"])
        assert rig.told.answers[-1].outcome == "refused"


async def test_a_reset_of_its_own_ends_what_was_before_and_takes_what_comes_after(
    tmp_path: Path,
) -> None:
    program = [*HEAD, *raster(400)]
    async with line_rig(tmp_path) as rig, rig.stream() as stream:
        for line in program:
            await stream.send(line)
        await until(lambda: len(rig.told.answers) > 50)
        assert stream.realtime(b"\x18")
        after = [b"$X\n", b"G21\n", b"G0 X0\n"]
        await streamed(stream, after)
    outcomes = rig.told.outcomes()
    assert outcomes[-3:] == ["answered"] * 3
    void = outcomes[outcomes.index("answered") : -3]
    assert {"unanswered", "flushed"} & set(void)
    assert void[0] == "answered"
    assert len(outcomes) == len(program) + 3
    assert b"Grbl" in rig.told.said


async def test_no_line_is_lost_or_sent_twice_when_the_link_is_cut_again_and_again(
    tmp_path: Path,
) -> None:
    program = [*HEAD, *raster(1500)]
    async with line_rig(tmp_path, link_loss='"continue"') as rig, rig.stream() as stream:
        sending = asyncio.create_task(streamed(stream, program))
        for cut in range(1, 6):
            await until(partial(rig.told.has_answers, 200 * cut), DEADLINE_S)
            rig.network.cut(rst=cut % 2 == 0)
            await until(partial(rig.told.has_linked, cut + 1), DEADLINE_S)
        await asyncio.wait_for(sending, DEADLINE_S)
    assert [answer.line for answer in rig.told.answers] == program
    assert set(rig.told.outcomes()) == {"answered"}
    assert rig.machine.received().replace(b"?", b"") == b"".join(program)


async def test_marlin_gets_a_line_for_each_ok(tmp_path: Path) -> None:
    program = [b"G21\n", b"\n", b"; only a comment\n", b"M105\n", *raster(100), b"M115\n"]
    async with line_rig(tmp_path, "marlin") as rig, rig.stream() as stream:
        assert stream.opened is not None
        assert stream.opened.firmware_buffer_bytes == 0
        await streamed(stream, program)
    assert set(rig.told.outcomes()) == {"answered"}
    replies = {answer.line: answer.reply for answer in rig.told.answers}
    assert replies[b"M105\n"].startswith("ok T:")
    assert b"FIRMWARE_NAME" in rig.told.said
    assert b"ok" not in rig.told.said.replace(b"echo", b"")


async def test_marlin_checks_numbered_lines(tmp_path: Path) -> None:
    program = [b"G21\n", *raster(100), b"M400 ; wait\n"]
    options = LineOptions(checksums=True)
    async with line_rig(tmp_path, "marlin") as rig, rig.stream(options) as stream:
        await streamed(stream, program)
    assert set(rig.told.outcomes()) == {"answered"}
    assert rig.machine.received().startswith(b"N0 M110 N0*125\nN1 G21*")
    assert rig.machine.received().count(b"*") == len(program) + 1
