"""Lines that are delivered by the firmware's own flow control: windows, replies, order."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.line_bench import GREETING, LineBench, results
from fakes.line_replies import LINE, lines_of, sent
from fakes.waiting import until
from usbshare.base.errors import InvalidArgumentError, ProfileError, WrongStateError
from usbshare.line.profiles import GRBL, GRBL09, MARLIN, RAW, SMOOTHIE, Profile
from usbshare.line.stop_actions import StopAction
from usbshare.serial_svc.line.scheduler import Band
from usbshare.serial_svc.sessions import line_firmware, missing_replies
from usbshare.serial_svc.sessions.client import LineChoice, Mode
from usbshare.serial_svc.sessions.events import Data
from usbshare.serial_svc.sessions.unfinished_line import SPOILER


async def test_no_more_is_written_than_the_buffer_holds() -> None:
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, *[LINE] * 10)
    fit = 128 // len(LINE)
    assert bench.written == LINE * fit
    bench.device.say(b"ok\r\n")
    assert bench.written == LINE * (fit + 1)
    bench.device.say(b"ok\r\n" * 4)
    assert bench.written == LINE * 10
    bench.device.say(b"ok\r\n" * fit)
    assert results(client) == [("answered", "ok")] * 10


@pytest.mark.parametrize(
    ("said", "size"),
    [
        (b"[OPT:VNM,35,1024]\r\n", 1024),
        (b"<Idle|MPos:0,0,0|Bf:15,255|FS:0,0>\r\n", 255),
        (b"<Idle|MPos:0,0,0|Bf:15,64|FS:0,0>\r\n", 64),
        (b"<Run|MPos:0,0,0|Bf:15,1024|FS:0,0>\r\n", 128),
        (b"[MSG:x]\r\n", 128),
    ],
)
async def test_the_window_is_what_the_firmware_says(said: bytes, size: int) -> None:
    bench = LineBench()
    client = await bench.open_lines()
    bench.device.say(said)
    await sent(client, *[LINE] * 60)
    assert len(bench.written) == size // len(LINE) * len(LINE)
    for _ in range(60):
        bench.device.say(b"ok\r\n")
    await client.session.close()
    # It is known to the next session as well, until the device is gone.
    assert lines_of(await bench.open_lines()).buffer_bytes == size
    bench.device.vanish()
    assert not bench.port.line.firmware.buffer_bytes


@given(
    st.lists(st.tuples(st.integers(1, 110), st.booleans()), min_size=1, max_size=40),
    st.lists(st.integers(0, 5), min_size=1, max_size=40),
)
@settings(max_examples=50, deadline=None)
def test_the_buffer_never_overflows_and_never_starves(
    program: list[tuple[int, bool]], answers: list[int]
) -> None:
    async def run() -> None:
        bench = LineBench()
        client = await bench.open_lines()
        lines = [(b"$1=" if alone else b"G1X") + b"1" * size + b"\n" for size, alone in program]
        await sent(client, *lines)
        answered = turn = 0
        while answered < len(lines):
            written = bench.written.splitlines(keepends=True)
            assert b"".join(written) == b"".join(lines[: len(written)])
            owed = written[answered:]
            assert owed, "nothing is under way, and lines wait"
            assert sum(map(len, owed)) <= 128
            assert len(owed) == 1 or not any(line.startswith(b"$") for line in owed)
            count = min(len(owed), max(1, answers[turn % len(answers)]))
            turn += 1
            bench.device.say(b"ok\r\n" * count)
            answered += count
        await until(lambda: len(results(client)) == len(lines))
        client.session.end("over")

    asyncio.run(run())


async def test_marlin_gets_one_line_at_a_time() -> None:
    bench = LineBench(MARLIN)
    client = await bench.open_lines()
    await sent(client, b"G1 X1\n", b"\n", b"; nothing\n", b"G1 X2\n")
    assert bench.written == b"G1 X1\n"
    bench.device.say(b"echo:busy: processing\nok P15 B3\n")
    assert bench.written == b"G1 X1\nG1 X2\n"
    bench.device.say(b"ok\n")
    assert [reply for _, reply in results(client)] == ["ok P15 B3", "", "", "ok"]
    assert client.received().endswith(b"echo:busy: processing\n")


async def test_all_but_replies_passes_and_offsets_are_the_sessions_own() -> None:
    bench = LineBench()
    client = await bench.open_lines()
    begin = client.opened()[0].data_offset
    assert begin == 0
    await sent(client, LINE, LINE)
    bench.device.say(b"ok\r\n<Run|MPos:0,0,0>\r\nerror:1\r\n")
    bench.device.say(b"[MSG:x]\r\n")
    assert client.received() == GREETING + b"<Run|MPos:0,0,0>\r\n[MSG:x]\r\n"
    data = [event for event in client.events if isinstance(event, Data)]
    assert [event.offset for event in data] == [
        sum(len(before.data) for before in data[:index]) for index in range(len(data))
    ]
    # The port's own stream goes on as it is, for all who observe.
    assert bench.port.line.read_offset > len(client.received())
    assert bench.port.observer_turns.tail.end_offset == bench.port.line.read_offset


async def test_an_ok_that_no_line_waits_for_is_data() -> None:
    bench = LineBench()
    client = await bench.open_lines()
    bench.device.say(b"ok\r\n")
    assert client.received().endswith(b"ok\r\n")
    await sent(client, LINE)
    bench.device.say(b"ok\r\nok\r\n")
    assert results(client) == [("answered", "ok")]
    assert client.received().count(b"ok\r\n") == 2


async def test_a_rest_is_known_although_the_replies_are_not_in_the_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("usbshare.serial_svc.stop.activity.SETTLED_S", 0.0)
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, LINE)
    bench.device.say(b"ok\r\n")
    bench.device.say(b"<Idle|MPos:0,0,0>\r\n")
    assert bench.port.stops.machine.is_at_work
    own = client.session.outbox.line_offset(len(client.received()))
    bench.port.stops.machine.acknowledged(own)
    assert not bench.port.stops.machine.is_at_work


async def test_lines_that_wait_behind_the_firmware_count_as_queued() -> None:
    bench = LineBench(MARLIN)
    client = await bench.open_lines()
    await sent(client, *[b"G1 X1\n"] * 30)
    state = bench.port.queue_state()
    assert (state.commands, state.queued_bytes, state.band) == (29, 29 * 6, Band.OVERLOAD)
    assert state.oldest_age_s >= 0.0


async def test_a_dwell_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(missing_replies, "LOST_S", 0.0)
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, b"G4 P100\n")
    bench.device.say(b"<Idle|MPos:0,0,0|Bf:15,128>\r\n")
    now = bench.port.line._clock()
    missing = lines_of(client)._missing
    assert not missing.why_lost(now + 99)
    assert "G4 P100" in missing.why_lost(now + 101)


@pytest.mark.parametrize("data", [b"G1 X1", b"G1 X1\nG1 X2\n", b"G1\rG2\n"])
async def test_a_command_that_is_not_one_line_ends_the_session(data: bytes) -> None:
    bench = LineBench()
    client = await bench.open_lines()
    with pytest.raises(InvalidArgumentError, match="not one line"):
        await client.send(data)
    assert not bench.written


@pytest.mark.parametrize("profile", [RAW, SMOOTHIE, None])
async def test_a_firmware_that_does_not_reply_to_each_line_is_refused(
    profile: Profile | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_firmware, "RECOGNITION_S", 0.05)
    bench = LineBench(profile)
    with pytest.raises(ProfileError, match=r"profile '(raw|smoothie|auto)'"):
        await bench.open_lines()
    assert bench.port.roster.control is None


async def test_firmware_that_is_not_known_yet_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_firmware, "ASK_AFTER_S", 0.0)
    bench = LineBench(None)
    opening = asyncio.create_task(bench.open_lines(greets=False))
    await until(lambda: bench.written == b"?\n")
    bench.device.say(b"<Idle|MPos:0,0,0|FS:0,0>\r\n")
    client = await asyncio.wait_for(opening, 30)
    await sent(client, LINE)
    bench.device.say(b"ok\r\n")  # to the line end of the question
    assert LINE not in bench.written
    bench.device.say(b"<Idle|MPos:0,0,0|FS:0,0>\r\n")
    assert bench.written == LINE
    assert not results(client)


async def test_a_question_ends_no_line_that_a_program_has_begun(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(line_firmware, "ASK_AFTER_S", 0.0)
    bench = LineBench(None)
    program = await bench.open()
    await program.send(b"G1 X100")  # and is gone: to end the line would carry it out
    await program.session.close()
    bench.device.written.clear()
    opening = asyncio.create_task(bench.open_lines(greets=False))
    await until(lambda: bool(bench.written))
    assert bench.written == b"?"
    bench.device.say(b"<Idle|MPos:0,0,0|FS:0,0>\r\n")
    client = await asyncio.wait_for(opening, 30)
    bench.device.say(b"<Idle|MPos:0,0,0|FS:0,0>\r\n")
    await sent(client, LINE)
    assert bench.commands.startswith(SPOILER)
    await bench.port.close()


async def test_marlin_that_holds_the_beginning_of_a_line_gets_none_before_it_is_reset() -> None:
    bench = LineBench(MARLIN)
    program = await bench.open()
    await program.send(b"G1 X100")
    await program.session.close()
    with pytest.raises(WrongStateError, match="a program left a line unfinished"):
        await bench.open_lines()
    await bench.port.stops.machine_reset.reset("ann", "", "", None)
    client = await bench.open_lines()
    await client.send(b"M5\n", epoch=bench.port.line.latch.epoch)
    assert bench.written == b"M5\n"


async def test_a_line_of_marlin_that_a_stop_has_ended_prevents_nothing() -> None:
    bench = LineBench(MARLIN)
    program = await bench.open()
    await program.send(b"G1 X100")
    await bench.port.stops.path.stop(StopAction.HOLD, "bob")
    assert bench.written.startswith(b"G1 X100\nM410\n")
    await program.session.close()
    bench.port.stops.path.rearm("bob", bench.port.line.latch.epoch)
    await bench.open_lines()


async def test_replies_that_came_after_their_session_are_not_waited_for() -> None:
    bench = LineBench(MARLIN)
    client = await bench.open_lines()
    await sent(client, b"G1 X1\n")
    await client.session.close(0.0)
    bench.device.say(b"ok\n T:20.0 /0.0\n")
    client = await bench.open_lines(greets=False)
    await sent(client, b"G1 X2\n")
    assert bench.written == b"G1 X2\n"
    bench.device.say(b"ok\n")
    assert results(client) == [("answered", "ok")]


async def test_a_machine_that_stays_silent_owes_no_reply_to_a_session_that_has_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(missing_replies, "LOOK_S", 0.01)
    monkeypatch.setattr(missing_replies, "SILENT_S", 0.05)
    bench = LineBench(MARLIN)
    client = await bench.open_lines()
    await sent(client, b"G1 X1\n")
    await client.session.close(0.0)
    client = await bench.open_lines(greets=False)
    await sent(client, b"G1 X2\n")
    await until(lambda: bench.written == b"G1 X2\n")
    await bench.port.close()


async def test_checksums_are_for_marlin() -> None:
    with pytest.raises(ProfileError, match="'grbl09', which does not accept checksums"):
        await LineBench(GRBL09).open_lines(LineChoice(checksums=True))


async def test_an_urgent_line_of_marlin_gets_an_ok_of_its_own() -> None:
    bench = LineBench(MARLIN)
    client = await bench.open_lines()
    await sent(client, b"M0\n", b"G1 X1\n")
    client.session.realtime.overtake(b"M108\n", 1, 1)
    assert bench.written == b"M0\nM108\n"
    bench.device.say(b"ok\n")  # to M0
    assert bench.written == b"M0\nM108\n"
    bench.device.say(b"ok\n")  # to M108, which is no line of the session
    assert bench.written == b"M0\nM108\nG1 X1\n"
    assert results(client) == [("answered", "ok")]
    assert client.received().endswith(b"ok\n")


async def test_credit_follows_what_was_written_not_what_was_answered() -> None:
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, *[LINE] * 8)
    credit = client.session.credit_due()
    assert client.session.waiting() == (3, 3 * len(LINE))
    assert credit is None or credit.consumed_offset == 5 * len(LINE)
    assert client.session.client.mode is Mode.CONTROL
    assert bench.port.line.profile is GRBL
