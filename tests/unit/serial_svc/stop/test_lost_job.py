"""A job that cannot go on: programs are refused, its machine is reset once it has come to rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from fakes.port_bench import (
    DOOR,
    RESET,
    RESUME,
    Bench,
    Client1,
    lost,
    lost_with_a_line_queued,
    rested,
)
from fakes.waiting import until
from usbshare.base.errors import PortLatchedError
from usbshare.line.profiles import MARLIN, RAW, StopAction
from usbshare.serial_svc.line.latch import LatchCause
from usbshare.serial_svc.line.port_config import LinkLossPolicy
from usbshare.serial_svc.line.scheduler import CommandOutcome
from usbshare.serial_svc.stop import lost_job

RESTS = [b"<Hold:0|MPos:0,0,0>", b"<Door:0|MPos:0,0,0>", b"<Door:1|Bf:1,2>", b"<Idle|MPos:0,0,0>"]
MOVES = [b"<Hold:1|MPos:0,0,0>", b"<Door:2|MPos:0,0,0>", b"<Run|MPos:0,0,0>", b"<Hold|MPos:0,0,0>"]


@pytest.fixture
async def bench(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(lost_job, "CROSSING_S", 0.0)
    monkeypatch.setattr(lost_job, "POLL_S", 0.01)
    made = Bench(resume_window_s=0.05)
    yield made
    await made.port.close()


async def given_up(bench: Bench) -> Client1:
    """Lose a client in the midst of a job, for good."""
    client = await bench.open()
    await client.send(b"G1 X1\n")
    client.cut()
    await until(lambda: client.session not in bench.port.roster)
    await until(lambda: DOOR in bench.written)
    return client


def cause(bench: Bench) -> LatchCause | None:
    latch = bench.port.describe().latch
    return latch.cause if latch is not None else None


def after_door(bench: Bench) -> bytes:
    """Return what was written after the policy's door, without polls."""
    return bench.written.partition(DOOR)[2].replace(b"?", b"")


async def sent_by_a_new_client(bench: Bench, data: bytes) -> list[CommandOutcome]:
    client = await bench.open("bob")
    await client.send(data, bench.port.line.latch.epoch)
    await asyncio.sleep(0)
    return client.results()


@pytest.mark.parametrize("report", RESTS)
async def test_the_machine_is_reset_once_it_says_that_it_rests(bench: Bench, report: bytes) -> None:
    await given_up(bench)
    await until(lambda: b"?" in bench.written)
    assert after_door(bench) == b""
    bench.device.say(report)
    await until(lambda: after_door(bench) == RESET)
    assert bench.port.describe().hold is None
    assert cause(bench) is LatchCause.JOB_LOST


@pytest.mark.parametrize("report", MOVES)
async def test_a_machine_that_moves_is_not_reset_before_the_time_is_up(
    bench: Bench, report: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lost_job, "REST_TIMEOUT_S", 0.3)
    await given_up(bench)
    began = time.monotonic()
    bench.device.say(report)
    await until(lambda: after_door(bench) == RESET)
    assert time.monotonic() - began > 0.2


async def test_a_lost_job_cannot_be_resumed(bench: Bench) -> None:
    await given_up(bench)
    bob = await bench.open("bob")
    bob.session.realtime.in_stream(RESUME)
    bench.port.stops.realtime.write(b"?" + RESUME, "ann")
    with pytest.raises(PortLatchedError, match="has lost a job"):
        await bench.port.stops.path.stop(StopAction.RESUME, "bob")
    assert RESUME not in bench.written
    bench.device.say(RESTS[0])
    await until(lambda: after_door(bench) == RESET)
    bob.session.realtime.in_stream(RESUME)  # it is still latched
    assert after_door(bench) == RESET
    bench.port.stops.path.rearm("bob", bench.port.line.latch.epoch)
    bob.session.realtime.in_stream(RESUME)  # nothing is left to go on
    assert after_door(bench) == RESET + RESUME


async def test_programs_are_refused_until_a_person_rearms(bench: Bench) -> None:
    await given_up(bench)
    bench.device.say(RESTS[0])
    await until(lambda: after_door(bench) == RESET)
    bob = await bench.open("bob")
    await bob.send(b"G1 X2\n", bench.port.line.latch.epoch)
    await until(lambda: bob.results() == [CommandOutcome.REFUSED])
    bench.port.stops.path.rearm("bob", bench.port.line.latch.epoch)
    assert cause(bench) is None
    await bob.send(b"G1 X3\n", bench.port.line.latch.epoch)
    assert after_door(bench) == RESET + b"G1 X3\n"


async def test_a_rearming_before_the_reset_counts_after_it(bench: Bench) -> None:
    await given_up(bench)
    bench.port.stops.path.rearm("bob", bench.port.line.latch.epoch)
    bob = await bench.open("bob")
    await bob.send(b"G1 X2\n", bench.port.line.latch.epoch)
    assert after_door(bench) == b""
    bench.device.say(RESTS[0])
    await until(lambda: after_door(bench) == RESET)
    await bob.send(b"G1 X3\n", bench.port.line.latch.epoch)
    assert after_door(bench) == RESET + b"G1 X3\n"


async def test_rearm_can_wait_until_programs_are_accepted(bench: Bench) -> None:
    await given_up(bench)
    bench.port.stops.path.rearm("bob", bench.port.line.latch.epoch)
    assert bench.port.stops.lost_job.refuses
    waiting = asyncio.create_task(bench.port.stops.lost_job.until_reset())
    await until(lambda: b"?" in bench.written)
    assert not waiting.done()
    bench.device.say(RESTS[0])
    await waiting
    assert not bench.port.stops.lost_job.refuses


async def test_a_program_that_resets_the_machine_starts_again(bench: Bench) -> None:
    await given_up(bench)
    bob = await bench.open("bob")
    resetting = bench.port.stops.lost_job._resetting
    assert resetting is not None
    bob.session.realtime.in_stream(RESET, epoch=bench.port.line.latch.epoch)
    assert cause(bench) is None
    await bob.send(b"G1 X2\n", bench.port.line.latch.epoch)
    await asyncio.wait_for(resetting, 30)
    assert after_door(bench) == RESET + b"G1 X2\n"


async def test_an_emergency_stop_is_not_undone_by_a_programs_reset(bench: Bench) -> None:
    await given_up(bench)
    await bench.port.stops.path.stop(StopAction.EMERGENCY_STOP, "bob")
    assert cause(bench) is LatchCause.EMERGENCY_STOP
    bob = await bench.open("bob")
    bob.session.realtime.in_stream(RESET)
    assert cause(bench) is LatchCause.EMERGENCY_STOP


async def test_a_client_that_takes_over_finds_the_machine_reset() -> None:
    bench = Bench(link_timeout_s=30.0)
    client = await bench.open()
    await client.send(b"G1 X1\n")
    client.cut()
    again = await bench.open()
    assert cause(bench) is LatchCause.JOB_LOST
    again.session.realtime.in_stream(RESUME)
    await until(lambda: DOOR in bench.written)
    assert RESUME not in bench.written
    await bench.port.close()


async def test_a_close_that_drops_bytes_loses_a_job(bench: Bench) -> None:
    client = await bench.open()
    bench.device.capacity = 0
    await client.send(b"G1 X1\n")
    await client.session.close(0.05)
    assert cause(bench) is LatchCause.JOB_LOST


async def test_a_close_with_the_machine_held_loses_a_job(bench: Bench) -> None:
    client = await bench.open()
    await client.send(b"G1 X1\n")
    client.session.realtime.in_stream(b"!")
    await client.session.close()
    assert cause(bench) is LatchCause.JOB_LOST
    bench.device.say(b"<Hold:0|MPos:0,0,0>")
    await until(lambda: bench.written.endswith(RESET))


async def test_a_lid_opened_after_the_job_loses_no_job_at_the_close(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await rested(bench, monkeypatch)
    bench.device.say(b"<Door:1|MPos:0,0,0>\r\n")
    assert bench.port.describe().hold is not None
    await client.session.close()
    assert cause(bench) is None
    assert bench.written == b"G1 X10\n"


async def test_a_lid_opened_during_the_job_loses_it_at_the_close(bench: Bench) -> None:
    client = await bench.open()
    await client.send(b"G1 X1\n")
    bench.device.say(b"<Door:2|MPos:0,0,0>\r\n")
    await client.session.close()
    assert cause(bench) is LatchCause.JOB_LOST


async def test_a_reset_by_a_client_without_control_releases_nothing(bench: Bench) -> None:
    await given_up(bench)
    bench.port.stops.realtime.write(RESET, who="bob")
    assert cause(bench) is LatchCause.JOB_LOST
    assert not bench.port.stops.lost_job.must_reset


async def test_after_a_lost_job_is_rearmed_no_resume_is_needed() -> None:
    bench = Bench(profile=MARLIN)
    client = await bench.open()
    await client.send(b"G1 X1\n")
    await lost(bench, client)
    bench.device.say(b"ok\n")
    await bench.take_up(client, offset=0)
    bench.port.stops.path.rearm("bob", bench.port.line.latch.epoch)
    await client.send(b"G1 X3\n", bench.port.line.latch.epoch)
    assert bench.written.endswith(b"G1 X3\n")
    await bench.port.close()


async def test_a_close_after_a_finished_program_loses_nothing(bench: Bench) -> None:
    client = await bench.open()
    await client.send(b"G1 X1\n")
    await client.session.close()
    assert cause(bench) is None
    assert bench.written == b"G1 X1\n"


async def test_a_lost_client_whose_program_was_done_loses_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await rested(bench, monkeypatch)
    client.cut()
    await until(lambda: client.session not in bench.port.roster)
    assert cause(bench) is None


async def test_a_client_that_gave_bytes_up_is_refused_what_follows_them(bench: Bench) -> None:
    client = await bench.open()
    bench.watch.client_lost(26)
    latch = bench.port.describe().latch
    assert latch is not None
    assert "26 bytes" in latch.why
    await client.send(b"G1 X1\n", bench.port.line.latch.epoch)
    assert bench.written == b""


async def test_a_request_abandoned_by_its_client_begins_no_epoch_where_programs_are_refused(
    bench: Bench,
) -> None:
    await given_up(bench)
    await bench.open()
    epoch = bench.port.line.latch.epoch
    bench.watch.client_lost(26)
    assert bench.port.line.latch.epoch == epoch


async def test_a_marlin_program_is_refused_after_a_quickstop_threw_its_moves_away() -> None:
    bench = Bench(profile=MARLIN)
    client = await bench.open()
    await client.send(b"G1 X1\n")
    await lost(bench, client)
    await until(lambda: b"M410" in bench.written)
    assert cause(bench) is LatchCause.JOB_LOST
    await bench.take_up(client)
    await client.send(b"G1 X2\n", bench.port.line.latch.epoch)
    assert b"G1 X2" not in bench.written
    bench.port.stops.path.rearm("bob", bench.port.line.latch.epoch)
    await client.send(b"G1 X3\n", bench.port.line.latch.epoch)
    assert bench.written.endswith(b"G1 X3\n")
    await bench.port.close()


@pytest.mark.parametrize("policy", [LinkLossPolicy.NONE, LinkLossPolicy.CONTINUE])
async def test_a_policy_that_sends_nothing_resets_nothing(policy: LinkLossPolicy) -> None:
    bench = Bench(link_loss=policy, resume_window_s=0.05)
    client = await bench.open()
    bench.device.capacity = 0
    await client.send(b"G1 X1\n")
    await lost(bench, client)
    await until(lambda: client.session not in bench.port.roster)
    bench.device.make_room(1000)
    assert cause(bench) is LatchCause.JOB_LOST
    assert bench.written == b""
    await bench.port.close()


async def test_a_raw_port_that_lost_a_program_refuses_the_next_until_it_is_rearmed() -> None:
    bench = Bench(profile=RAW, resume_window_s=0.05)
    client = await bench.open()
    await client.send(b"\x01")
    await lost(bench, client)
    await until(lambda: client.session not in bench.port.roster)
    assert cause(bench) is LatchCause.JOB_LOST
    bench.port.stops.path.rearm("bob", bench.port.line.latch.epoch)
    assert cause(bench) is None
    await bench.port.close()


async def test_a_device_that_is_lost_at_work_is_held_and_reset_when_it_is_back(
    bench: Bench,
) -> None:
    client = await bench.open()
    await client.send(b"G1 X1\n")
    bench.device.vanish()
    assert cause(bench) is LatchCause.JOB_LOST
    await until(lambda: bench.port.line.is_open)
    await until(lambda: DOOR in bench.written)
    await client.send(b"G1 X2\n", bench.port.line.latch.epoch)
    bench.device.say(b"<Door:0|MPos:0,0,0>")
    await until(lambda: after_door(bench) == RESET)
    assert cause(bench) is LatchCause.JOB_LOST


async def test_a_device_that_is_lost_at_rest_loses_no_job(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rested(bench, monkeypatch)
    bench.device.vanish()
    await until(lambda: bench.port.line.is_open)
    assert cause(bench) is None


async def test_a_held_line_that_cannot_be_taken_up_is_not_written_later(bench: Bench) -> None:
    client = await lost_with_a_line_queued(bench)
    await until(lambda: client.session not in bench.port.roster)
    bench.device.say(RESTS[0])
    await until(lambda: after_door(bench) == RESET)
    assert b"G1 X2" not in bench.written
