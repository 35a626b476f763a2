"""Lines that a real service delivers to simulated machines, by their own flow control."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import grpc
import pytest

from fakes.line_rig import DEADLINE_S, line_rig, streamed
from fakes.waiting import until
from usbshare.base.errors import SessionLostError
from usbshare.client.serial.messages import DataEvent, LineOptions, OpenedEvent
from usbshare.line.stop_actions import StopAction
from usbshare.rpc.channel import open_channel, parse_target
from usbshare.serial.v1 import serial_pb2 as pb
from usbshare.serial.v1.serial_pb2_grpc import SerialServiceStub

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs ptys")

Opens = Callable[[dict[str, Any]], Awaitable[tuple[str, str]]]
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


async def test_a_grbl_whose_profile_is_not_configured_is_recognised(tmp_path: Path) -> None:
    async with line_rig(tmp_path, profile='"auto"') as rig, rig.stream() as stream:
        await streamed(stream, [*HEAD, *raster(100)])
    assert set(rig.told.outcomes()) == {"answered"}
    assert rig.told.port.profile.name == "grbl"


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


async def test_an_alarm_holds_what_waits_until_the_machine_is_reset(tmp_path: Path) -> None:
    # Soft limits need homing, which leaves the machine 1 mm inside its travel of 200 mm.
    setup = [b"$22=1\n", b"$20=1\n", b"$H\n", b"G21 G90\n"]
    program = [b"G53 G0 X-10 Y-10\n", b"G53 G0 X5000\n", *raster(100)]
    async with line_rig(tmp_path) as rig, rig.stream() as stream:
        await streamed(stream, setup)
        assert set(rig.told.outcomes()) == {"answered"}
        for line in program:
            await stream.send(line)
        await rig.told.until_held("line error")
        assert rig.told.port.hold is not None
        assert "ALARM:2" in rig.told.port.hold.reason
        await until(lambda: b"ALARM:2" in rig.told.said)
        assert stream.realtime(b"\x18")
        await streamed(stream, [b"$X\n"])
        outcomes = rig.told.outcomes()[len(setup) :]
    culprit = rig.told.answers[len(setup) + 1]
    assert (culprit.outcome, culprit.reply) == ("rejected", "ALARM:2")
    assert (outcomes[0], outcomes[-1]) == ("answered", "answered")
    assert set(outcomes[2:-1]) <= {"unanswered", "flushed"}
    assert len(outcomes) == len(program) + 1


async def test_an_unplugged_device_leaves_no_line_without_an_end(tmp_path: Path) -> None:
    async with line_rig(tmp_path) as rig, rig.stream() as stream:
        for line in [*HEAD, *raster(800)]:
            await stream.send(line)
        await until(partial(rig.told.has_answers, 100), DEADLINE_S)
        rig.unplug()
        await stream.drain()
        await until(lambda: rig.told.port.state != "open")
        assert rig.told.port.latched
    kinds = [kind for kind, _ in groupby(rig.told.outcomes())]
    assert kinds[0] == "answered"
    # fenced: what came after the loss had ended the epoch
    assert set(kinds[1:]) <= {"unanswered", "failed", "fenced"}
    assert len(rig.told.answers) == len(HEAD) + 800


async def test_observers_read_the_replies_too(tmp_path: Path) -> None:
    async with line_rig(tmp_path) as rig, rig.stream() as stream:
        await streamed(stream, [b"G21\n"])
        client = rig.client()
        try:
            observer = await client.open_session("laser", observe=True, name="observer")
            event, _ = await asyncio.wait_for(observer.receive(), DEADLINE_S)
            assert isinstance(event, OpenedEvent)  # what was said before, it does not hear
            heard, oks = b"", 50
            await streamed(stream, raster(oks))
            while heard.count(b"ok\r\n") < oks:
                event, _ = await asyncio.wait_for(observer.receive(), DEADLINE_S)
                heard += event.data if isinstance(event, DataEvent) else b""
            observer.cancel()
        finally:
            await client.close()
        assert b"ok" not in rig.told.said


async def test_lines_go_on_after_a_link_that_was_lost_once_a_person_resumes(
    tmp_path: Path,
) -> None:
    program = [*HEAD, *raster(1500)]
    async with line_rig(tmp_path) as rig, rig.stream() as stream:
        sending = asyncio.create_task(streamed(stream, program))
        await until(partial(rig.told.has_answers, 200), DEADLINE_S)
        rig.network.black_hole()
        await until(lambda: rig.machine.arrivals(b"\x84"), DEADLINE_S)
        rig.network.heal()
        rig.network.cut()
        await until(partial(rig.told.has_linked, 2), DEADLINE_S)
        await rig.told.until_held("link loss")
        await until(lambda: rig.told.port.machine_state or rig.told.port.hold)
        await rig.resume()
        await asyncio.wait_for(sending, DEADLINE_S)
    assert [answer.line for answer in rig.told.answers] == program
    assert set(rig.told.outcomes()) == {"answered"}
    written = rig.machine.received().translate(None, b"?~\x84")
    assert written == b"".join(program)


async def test_a_session_that_is_lost_for_good_says_which_lines_are_in_doubt(
    tmp_path: Path,
) -> None:
    async with line_rig(tmp_path, resume_window_s=1) as rig, rig.stream() as stream:
        for line in [*HEAD, *raster(800)]:
            await stream.send(line)
        await until(partial(rig.told.has_answers, 50), DEADLINE_S)
        assert rig.told.losses == []
        rig.network.refuse()
        rig.network.cut()
        with pytest.raises(SessionLostError):
            await asyncio.wait_for(stream.drain(), DEADLINE_S)
    outcomes = rig.told.outcomes()
    assert [kind for kind, _ in groupby(outcomes)] == ["answered", "lost"]
    assert len(outcomes) == len(HEAD) + 800
    assert len(rig.told.losses) == 1


async def test_a_session_that_is_lost_while_nothing_is_unanswered_is_reported_too(
    tmp_path: Path,
) -> None:
    async with line_rig(tmp_path, resume_window_s=1) as rig, rig.stream() as stream:
        await streamed(stream, HEAD)
        rig.network.refuse()
        rig.network.cut()
        await until(lambda: rig.told.losses, DEADLINE_S)
        with pytest.raises(SessionLostError, match=re.escape(rig.told.losses[0])):
            await stream.send(b"G0 X0\n")
    assert set(rig.told.outcomes()) == {"answered"}
    assert len(rig.told.losses) == 1


@pytest.mark.parametrize(
    ("asked", "status", "why"),
    [
        ({"mode": pb.SESSION_MODE_OBSERVE}, "INVALID_ARGUMENT", "open.mode must be"),
        ({"ordering": pb.ORDERING_PRIORITY}, "INVALID_ARGUMENT", "open.ordering must be"),
        ({"results": pb.RESULT_POLICY_FAILURES}, "INVALID_ARGUMENT", "open.results must be"),
        ({"delivery": 9}, "INVALID_ARGUMENT", "open.delivery is 9"),
        ({"on_line_error": 9}, "INVALID_ARGUMENT", "open.on_line_error is 9"),
        ({"delivery": 0, "checksums": True}, "INVALID_ARGUMENT", "require delivery"),
        ({"checksums": True}, "FAILED_PRECONDITION", "'grbl', which does not accept checksums"),
        ({"port_id": "bare"}, "FAILED_PRECONDITION", "profile 'raw', which is not known to reply"),
    ],
)
async def test_a_stream_that_cannot_be_opened_is_refused_with_one_clear_line(
    asked: dict[str, Any], status: str, why: str, opens: Opens
) -> None:
    code, details = await opens(asked)
    assert code == status
    assert why in details
    assert "\n" not in details


@pytest.fixture(scope="module")
async def opens(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Opens]:
    home = tmp_path_factory.mktemp("opens")
    bare = '[ports.bare]\nsource = "sim://grbl"\nprofile = "raw"\n'
    async with line_rig(home, more=bare) as rig:
        channel = open_channel(parse_target(rig.target), rig.bundle)
        yield partial(refused, SerialServiceStub(channel))
        await channel.close()


async def refused(stub: Any, asked: dict[str, Any]) -> tuple[str, str]:
    """Open a session, and return how it was refused."""
    opened: dict[str, Any] = {
        "port_id": "laser",
        "mode": pb.SESSION_MODE_CONTROL,
        "delivery": pb.DELIVERY_FIRMWARE_FLOW_CONTROL,
    }
    call = stub.Session(timeout=DEADLINE_S)
    await call.write(pb.SessionRequest(open=pb.Open(**(opened | asked))))
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call.read()
    return error.value.code().name, error.value.details() or ""
