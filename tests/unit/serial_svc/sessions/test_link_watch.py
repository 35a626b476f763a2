"""A lost control session: the machine is stopped, the queue held, the client may come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fakes.device import ReportingDevice
from fakes.port_bench import (
    DOOR,
    FAST,
    RESET,
    RESUME,
    Bench,
    Client1,
    lost,
    lost_with_a_line_queued,
    rested,
)
from fakes.waiting import until
from usbshare.base.errors import DeviceError, NotSupportedError, PortHeldError
from usbshare.line.profiles import GRBL, RAW, Profile, StopAction, StopPlan
from usbshare.serial_svc.line.port_config import LinkLossPolicy
from usbshare.serial_svc.line.scheduler import CommandOutcome
from usbshare.serial_svc.sessions import admission
from usbshare.serial_svc.sessions.client import Resumption
from usbshare.serial_svc.stop import activity, report_requests
from usbshare.serial_svc.stop.hold import HoldCause


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.port.close()


@pytest.fixture
async def reporting() -> AsyncIterator[Bench]:
    made = Bench(ReportingDevice(FAST))
    yield made
    await made.port.close()


async def test_a_machine_at_work_is_stopped_when_its_client_is_silent(bench: Bench) -> None:
    client = await bench.open()
    await client.send(b"G1 X10\n")
    client.is_silent = True
    await until(lambda: DOOR in bench.written)
    assert bench.port.stops.machine.holds.needs_person
    assert "no message received" in str(await asyncio.wait_for(client.attachment.ended, 30))
    assert bench.port.line.counters.lost_sessions == bench.port.line.counters.link_loss_actions == 1


async def test_a_machine_that_was_never_written_to_is_left_alone(bench: Bench) -> None:
    client = await bench.open()
    await lost(bench, client)
    assert bench.written == b""
    assert not bench.port.stops.machine.holds.needs_person


async def test_a_machine_known_to_be_idle_is_left_alone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await rested(bench, monkeypatch)
    await lost(bench, client)
    assert bench.written == b"G1 X10\n"


@pytest.mark.parametrize(
    ("policy", "sent"),
    [
        (LinkLossPolicy.DOOR, DOOR),
        (LinkLossPolicy.HOLD, b"!"),
        (LinkLossPolicy.STOP, RESET),
        (LinkLossPolicy.CONTINUE, b""),
        (LinkLossPolicy.NONE, b""),
    ],
)
async def test_each_policy_does_what_it_says(policy: LinkLossPolicy, sent: bytes) -> None:
    bench = Bench(link_loss=policy)
    client = await bench.open()
    await client.send(b"G1 X10\n")
    await lost(bench, client)
    await until(lambda: bench.written == b"G1 X10\n" + sent)
    assert bench.port.line.latch.is_set == (policy is LinkLossPolicy.STOP)
    await bench.port.close()


async def test_queued_commands_wait_for_a_person(bench: Bench) -> None:
    client = await lost_with_a_line_queued(bench)
    await until(lambda: bench.written == b"G1 X1\n" + DOOR)
    assert await bench.take_up(client) is client.session
    await client.send(b"G1 X3\n")
    assert bench.written == b"G1 X1\n" + DOOR
    client.session.realtime.in_stream(RESUME)
    assert bench.written == b"G1 X1\n" + DOOR + RESUME + b"G1 X2\nG1 X3\n"
    assert not bench.port.stops.machine.holds.needs_person


async def test_a_stop_with_resume_lets_go_too(reporting: Bench) -> None:
    bench = reporting
    client = await bench.open()
    await client.send(b"G1 X1\n")
    await lost(bench, client)
    await bench.take_up(client)
    await client.send(b"G1 X2\n")
    await bench.port.stops.path.stop(StopAction.RESUME, "bob")
    assert bench.commands.endswith(RESUME + b"G1 X2\n")


async def test_a_resume_while_the_client_is_away_reaches_the_machine_alone(
    reporting: Bench,
) -> None:
    bench = reporting
    client = await lost_with_a_line_queued(bench)
    await bench.port.stops.path.stop(StopAction.RESUME, "bob")
    await bench.take_up(client)
    assert bench.commands == b"G1 X1\n" + DOOR + RESUME
    assert bench.port.stops.machine.holds.needs_person
    await bench.port.stops.path.stop(StopAction.RESUME, "bob")
    assert bench.commands == b"G1 X1\n" + DOOR + RESUME + RESUME + b"G1 X2\n"


async def test_a_resume_without_bytes_is_not_taken_for_every_stop() -> None:
    silent = replace(GRBL, stops={**GRBL.stops, StopAction.RESUME: StopPlan(b"")})
    bench = Bench(profile=silent)
    client = await bench.open()
    await client.send(b"G1 X1\n")
    await lost(bench, client)
    await until(lambda: DOOR in bench.written)
    assert bench.port.stops.machine.holds.needs_person
    with pytest.raises(NotSupportedError):
        await bench.port.stops.path.stop(StopAction.RESUME, "bob")
    assert bench.port.stops.machine.holds.needs_person, (
        "nothing was released, and nobody is told so"
    )
    await bench.port.close()


async def test_a_reset_voids_what_is_held(bench: Bench) -> None:
    client = await lost_with_a_line_queued(bench)
    await bench.take_up(client)
    client.session.realtime.in_stream(RESET)
    await client.send(b"G1 X3\n")
    assert bench.written == b"G1 X1\n" + DOOR + RESET + b"G1 X3\n"


async def test_a_stop_voids_what_is_held_and_latches(bench: Bench) -> None:
    client = await lost_with_a_line_queued(bench)
    await bench.port.stops.path.stop(StopAction.EMERGENCY_STOP, "bob")
    await bench.take_up(client)
    client.session.realtime.in_stream(RESUME)
    assert b"G1 X2" not in bench.written
    await until(lambda: client.results() == [CommandOutcome.FENCED])


async def test_a_client_that_comes_back_in_time_finds_nothing_changed(bench: Bench) -> None:
    bench = Bench(link_timeout_s=30.0)
    client = await bench.open()
    await client.send(b"G1 X1\n")
    client.cut()
    assert await bench.take_up(client) is client.session
    await client.send(b"G1 X2\n")
    assert bench.written == b"G1 X1\nG1 X2\n"
    again = client.opened()[-1]
    assert (again.resumed, again.accepted_offset, again.accepted_commands) == (True, 6, 1)
    await bench.port.close()


async def test_device_bytes_are_sent_again_from_where_the_client_stopped(bench: Bench) -> None:
    client = await bench.open()
    bench.device.say(b"one\n")
    bench.device.say(b"two\n")
    await until(lambda: client.received() == b"one\ntwo\n")
    client.cut()
    bench.device.say(b"three\n")
    client.events.clear()
    await bench.take_up(client, offset=4)
    await until(lambda: client.received() == b"two\nthree\n")
    assert client.opened()[0].data_offset == 4


async def test_asking_again_for_acknowledged_results_makes_a_new_session(
    bench: Bench,
) -> None:
    client = await bench.open()
    bench.device.say(b"one\n")
    await until(lambda: client.received() == b"one\n")
    client.session.outbox.acknowledged(4)
    client.cut()
    session = await bench.take_up(client, offset=0)
    assert session is not client.session
    opened = Client1(session).opened()[0]
    assert not opened.resumed
    assert "no longer kept" in opened.not_resumed_reason
    assert opened.data_offset == 4


async def test_a_wrong_token_resumes_nothing(bench: Bench) -> None:
    client = await bench.open()
    client.cut()
    again = await bench.open("ann", Resumption("guessed", 0))
    assert again.session is not client.session
    assert again.opened()[0].not_resumed_reason == "the session has ended"


async def test_another_identity_cannot_use_a_token(bench: Bench) -> None:
    client = await bench.open()
    with pytest.raises(PortHeldError):
        await bench.open("bob", Resumption(client.session.token, 0))


async def test_a_session_that_is_not_taken_up_ends() -> None:
    bench = Bench(resume_window_s=0.05)
    client = await bench.open()
    await client.send(b"G1 X1\n")
    await lost(bench, client)
    epoch = bench.port.line.latch.epoch
    await until(lambda: client.session not in bench.port.roster)
    assert bench.port.describe().holder is None
    assert not bench.port.stops.machine.holds.needs_person
    assert bench.port.line.latch.epoch > epoch  # what its program was doing cannot be gone on with
    await bench.port.close()


async def test_without_a_window_a_stream_that_ends_is_a_loss_at_once() -> None:
    bench = Bench(resume_window_s=0.0, link_timeout_s=30.0)
    client = await bench.open()
    await client.send(b"G1 X1\n")
    client.cut()
    assert client.session not in bench.port.roster
    await until(lambda: DOOR in bench.written)
    await bench.port.close()


async def test_the_same_identity_takes_over_from_a_dead_stream_at_once(bench: Bench) -> None:
    bench = Bench(link_timeout_s=30.0)
    client = await bench.open()
    await client.send(b"G1 X1\n")
    client.cut()
    again = await bench.open()
    assert client.session not in bench.port.roster
    await until(lambda: DOOR in bench.written)
    await again.send(b"$I\n")
    assert b"$I" not in bench.written  # it is another program's machine, in the midst of a job
    await bench.port.close()


async def test_the_same_identity_takes_over_from_a_half_dead_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "HALF_DEAD_S", 0.05)
    bench = Bench(link_timeout_s=30.0)
    client = await bench.open()
    client.is_silent = True
    await bench.open()
    assert client.session not in bench.port.roster
    assert "same identity" in str(await asyncio.wait_for(client.attachment.ended, 30))
    await bench.port.close()


async def test_no_client_takes_over_from_a_live_one() -> None:
    bench = Bench(link_timeout_s=30.0)
    await bench.open()
    with pytest.raises(PortHeldError):
        await bench.open()
    with pytest.raises(PortHeldError):
        await bench.open("bob")
    await bench.port.close()


async def test_another_identity_takes_over_once_the_session_is_lost(bench: Bench) -> None:
    client = await bench.open()
    client.cut()
    with pytest.raises(PortHeldError):
        await bench.open("bob")
    await until(lambda: bench.port.roster.is_away)
    await bench.open("bob")
    assert client.session not in bench.port.roster


async def test_a_binary_line_is_held_until_a_person_resumes() -> None:
    raw: Profile = RAW
    bench = Bench(profile=raw)
    client = await bench.open()
    bench.device.capacity = 0
    await client.send(b"\x00\x01")
    await lost(bench, client)
    bench.device.make_room(1000)
    await bench.take_up(client)
    assert bench.written == b""
    assert bench.port.stops.machine.holds.needs_person
    record = await bench.port.stops.path.stop(StopAction.RESUME, "bob")
    assert record.sent == b""
    assert bench.written == b"\x00\x01"
    assert bench.port.describe().hold is None
    await bench.port.close()


async def test_a_binary_line_cannot_be_resumed_while_its_client_is_away() -> None:
    bench = Bench(profile=RAW)
    client = await bench.open()
    bench.device.capacity = 0
    await client.send(b"\x00\x01")
    await lost(bench, client)
    await bench.take_up(client)
    bench.watch.lose("again")
    with pytest.raises(DeviceError, match="client is disconnected"):
        await bench.port.stops.path.stop(StopAction.RESUME, "bob")
    await bench.port.close()


async def test_a_raw_port_where_nothing_is_held_has_nothing_to_resume() -> None:
    bench = Bench(profile=RAW)
    await bench.open()
    with pytest.raises(NotSupportedError):
        await bench.port.stops.path.stop(StopAction.RESUME, "bob")
    await bench.port.close()


@pytest.mark.parametrize("policy", [LinkLossPolicy.NONE, LinkLossPolicy.DOOR])
async def test_answers_that_a_program_missed_do_not_set_it_going(policy: LinkLossPolicy) -> None:
    bench = Bench(link_loss=policy)
    client = await bench.open()
    await client.send(b"G1 X1\n")
    await lost(bench, client)
    before = bench.written
    bench.device.say(b"ok\r\n")
    await bench.take_up(client, offset=0)
    await client.send(b"G1 X2\n")  # the program's answer to that
    assert bench.written == before
    assert bench.port.stops.machine.holds.needs_person
    client.session.realtime.in_stream(RESUME)
    assert bench.written == before + RESUME + b"G1 X2\n"
    await bench.port.close()


async def test_a_program_that_missed_nothing_continues_where_the_machine_was_left_alone() -> None:
    bench = Bench(profile=RAW)
    client = await bench.open()
    await client.send(b"\x00\x01")
    await lost(bench, client)
    await bench.take_up(client)
    await client.send(b"\x02")
    assert bench.written == b"\x00\x01\x02"
    assert bench.port.describe().hold is None
    await bench.port.close()


async def test_an_idle_machine_is_starved_while_its_program_does_not_know_that_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "SETTLED_S", 0.0)
    client = await bench.open()
    await client.send(b"G1 X1\n")
    bench.device.say(b"ok\r\n<Idle|MPos:0,0,0>\r\n")
    bench.port.stops.machine.acknowledged(bench.port.line.read_offset - 1)
    await lost(bench, client)
    await until(lambda: bench.written == b"G1 X1\n" + DOOR)


async def test_a_machine_idle_for_a_moment_only_may_be_between_two_lines(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity, "SETTLED_S", 0.0)
    client = await bench.open()
    await client.send(b"G1 X1\n")
    bench.rests(client)
    await lost(bench, client)
    await until(lambda: bench.written == b"G1 X1\n" + DOOR)


async def test_a_finished_program_continues_automatically_after_a_loss(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await rested(bench, monkeypatch)
    await lost(bench, client)
    bench.device.say(b"<Idle|MPos:0,0,0>\r\n")  # an answer to a poll, which it missed
    await bench.take_up(client, offset=0)
    await client.send(b"G1 X2\n")
    assert bench.written == b"G1 X10\nG1 X2\n"
    assert bench.port.describe().hold is None


async def test_commands_written_during_a_cut_wait_on_an_idle_machine_too(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await rested(bench, monkeypatch)
    await lost(bench, client)
    await bench.take_up(client, waiting=6)
    await client.send(b"G1 X2\n")
    assert bench.written == b"G1 X10\n"
    hold = bench.port.describe().hold
    assert hold is not None
    assert (hold.cause, hold.waiting_bytes, hold.waiting_age_s) == (HoldCause.WAITING, 6, 7.5)
    client.session.realtime.in_stream(b"?")  # a poll resumes nothing
    assert b"G1 X2" not in bench.written
    client.session.realtime.in_stream(RESUME)
    assert bench.written.endswith(RESUME + b"G1 X2\n")
    assert bench.port.describe().hold is None


async def test_a_client_that_does_not_say_what_waits_is_held_for_a_person(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await rested(bench, monkeypatch)
    await lost(bench, client)
    await bench.take_up(client, waiting=None)
    await client.send(b"G1 X2\n")
    await until(lambda: bench.port.stops.machine.holds.needs_person)
    assert bench.written == b"G1 X10\n"


async def test_a_client_that_was_not_lost_may_say_what_waits_and_continues(bench: Bench) -> None:
    bench = Bench(link_timeout_s=30.0)
    client = await bench.open()
    client.cut()
    await bench.take_up(client, waiting=6)
    await client.send(b"G1 X2\n")
    assert bench.written == b"G1 X2\n"
    await bench.port.close()


async def test_commands_written_after_a_reset_during_the_absence_are_held_again(
    bench: Bench,
) -> None:
    client = await lost_with_a_line_queued(bench)
    await bench.take_up(client, waiting=6)
    client.session.realtime.in_stream(RESET)
    bench.watch.client_waits(6, 7.5)
    await client.send(b"G1 X3\n")
    assert bench.written == b"G1 X1\n" + DOOR + RESET
    hold = bench.port.describe().hold
    assert hold is not None
    assert (hold.cause, hold.waiting_bytes) == (HoldCause.WAITING, 6)
    client.session.realtime.in_stream(RESUME)
    assert bench.written.endswith(RESET + RESUME + b"G1 X3\n")
    client.session.realtime.in_stream(RESET)
    bench.watch.client_waits(6, 7.5)
    await client.send(b"G1 X4\n")
    assert bench.written.endswith(RESET + b"G1 X4\n"), "a person has let go on all of it"


async def test_where_the_policy_lets_it_go_on_nothing_waits_for_a_person() -> None:
    bench = Bench(link_loss=LinkLossPolicy.CONTINUE)
    client = await bench.open()
    await client.send(b"G1 X1\n")
    await lost(bench, client)
    await bench.take_up(client, waiting=6)
    await client.send(b"G1 X2\n")
    assert bench.written == b"G1 X1\nG1 X2\n"
    await bench.port.close()


async def test_a_stopping_service_stops_the_machine_at_work(bench: Bench) -> None:
    client = await bench.open()
    await client.send(b"G1 X1\n")
    await bench.port.close()
    assert bench.commands == b"G1 X1\n" + DOOR


@pytest.fixture
async def lasting() -> AsyncIterator[Bench]:
    made = Bench(ReportingDevice(FAST), link_timeout_s=60.0)
    yield made
    await made.port.close()


@pytest.mark.parametrize("is_obeyed", [True, False], ids=["continues", "brakes"])
async def test_a_session_that_ends_right_after_its_resume_has_lost_only_what_stays_held(
    lasting: Bench, is_obeyed: bool
) -> None:
    device = lasting.device
    assert isinstance(device, ReportingDevice)
    device.brakes = not is_obeyed
    client = await lasting.open()
    await client.send(b"G1 X10\n")
    client.session.realtime.in_stream(b"!~")  # which it ignores while it brakes
    device.rest()
    await client.session.close()
    assert device.state == (b"Run" if is_obeyed else b"Hold:0")
    assert lasting.port.line.latch.is_set is not is_obeyed
    assert lasting.port.stops.lost_job.must_reset is not is_obeyed


async def test_a_session_whose_machine_is_silent_after_its_resume_has_lost_its_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(report_requests, "LIMIT_S", 0.2)
    bench = Bench(link_timeout_s=60.0)
    client = await bench.open()
    await client.send(b"G1 X10\n")
    client.session.realtime.in_stream(b"!~")
    await client.session.close()
    assert bench.port.line.latch.is_set
    await bench.port.close()


async def test_a_session_that_ends_after_a_hold_waits_for_nothing(lasting: Bench) -> None:
    client = await lasting.open()
    await client.send(b"G1 X10\n")
    client.session.realtime.in_stream(b"~!")
    await client.session.close()
    assert lasting.port.stops.machine.requests.is_pending
    assert lasting.port.line.latch.is_set
