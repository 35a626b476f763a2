"""Lines that are delivered by the firmware's own flow control: windows, replies, order."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.device import ReportingDevice
from fakes.line_bench import GREETING, LineBench, results
from fakes.port_bench import FAST, Client1
from fakes.waiting import until
from usbshare.base.errors import InvalidArgumentError, ProfileError
from usbshare.line.profiles import GRBL, GRBL09, MARLIN, RAW, SMOOTHIE, Profile
from usbshare.line.stop_actions import StopAction
from usbshare.serial_svc.line.scheduler import Band
from usbshare.serial_svc.ports.audit import PortAudit
from usbshare.serial_svc.sessions import line_firmware, missing_replies, readiness
from usbshare.serial_svc.sessions.client import LineChoice, Mode
from usbshare.serial_svc.sessions.events import Data
from usbshare.serial_svc.sessions.line_delivery import LineDelivery
from usbshare.serial_svc.stop.hold import HoldCause, SeenHold

LINE = b"G1 X1.000 Y1.000 S100\n"


async def sent(client: Client1, *lines: bytes) -> None:
    for line in lines:
        await client.send(line)


def lines_of(client: Client1) -> LineDelivery:
    assert client.session.lines is not None
    return client.session.lines


async def resumed(bench: LineBench) -> None:
    seen = SeenHold(bench.port.line.latch.epoch, bench.port.stops.machine.holds.number)
    await bench.port.stops.path.stop(StopAction.RESUME, "bob", seen=seen)


# How much the firmware takes.


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


# What is no reply.


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


async def test_a_machine_that_owes_a_reply_does_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usbshare.serial_svc.stop.activity.SETTLED_S", 0.0)
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, b"G4 P100\n")
    bench.device.say(b"<Idle|MPos:0,0,0>\r\n")  # as GRBL says in a dwell
    assert bench.port.stops.machine.activity.is_active
    bench.device.say(b"ok\r\n<Idle|MPos:0,0,0>\r\n")
    assert not bench.port.stops.machine.activity.is_active


# What goes wrong.


async def test_a_rejected_line_holds_the_machine_before_anything_else() -> None:
    bench = LineBench(device=ReportingDevice(FAST))
    client = await bench.open_lines()
    await sent(client, b"G1 Q1\n", *[LINE] * 10)
    written = bench.written
    bench.device.say(b"error:20\r\n")
    assert bench.written == written + b"!"
    hold = bench.port.describe().hold
    assert hold is not None
    assert hold.cause is HoldCause.LINE_ERROR
    assert hold.reason == "the firmware replied 'error:20' to the line 'G1 Q1'"
    bench.device.say(b"ok\r\n")  # what was in its buffer
    assert bench.written == written + b"!"
    number = bench.port.stops.machine.holds.number
    bench.device.say(b"error:2\r\n")  # another one that was in its buffer
    assert bench.port.stops.machine.holds.number > number
    await resumed(bench)
    assert bench.commands.startswith(written + b"!!~" + LINE)
    assert bench.port.describe().hold is None
    for _ in range(8):
        bench.device.say(b"ok\r\n")
    assert [outcome for outcome, _ in results(client)] == [
        *("rejected", "answered", "rejected"),
        *["answered"] * 8,
    ]


async def test_marlin_is_not_held_since_its_hold_throws_moves_away() -> None:
    bench = LineBench(MARLIN)
    client = await bench.open_lines()
    await sent(client, b"M104 S900\n", b"G1 X1\n")
    bench.device.say(b"Error:too hot\nok\n")
    assert results(client) == [("rejected", "Error:too hot")]
    assert bench.written == b"M104 S900\n"
    assert bench.port.describe().held
    await resumed(bench)
    assert bench.written == b"M104 S900\nG1 X1\n"


async def test_an_error_holds_nothing_where_lines_are_to_go_on() -> None:
    bench = LineBench()
    client = await bench.open_lines(LineChoice(continues=True))
    await sent(client, *[LINE] * 10)
    bench.device.say(b"error:20\r\n" * 10)
    assert bench.written == LINE * 10
    assert bench.port.describe().hold is None


async def test_an_alarm_holds_in_any_case_and_answers_the_line_at_the_reset() -> None:
    bench = LineBench()
    client = await bench.open_lines(LineChoice(continues=True))
    await sent(client, *[LINE] * 8)
    written = bench.written
    bench.device.say(b"ALARM:2\r\n[MSG:Reset to continue]\r\n")
    hold = bench.port.describe().hold
    assert hold is not None
    assert "ALARM:2" in hold.reason
    assert LINE.strip().decode() in hold.reason
    assert b"ALARM:2" in client.received()
    assert bench.written == written
    client.session.realtime.overtake(b"\x18", 1, 1)
    assert results(client)[0] == ("rejected", "ALARM:2")
    assert [outcome for outcome, _ in results(client)[1:]] == [
        *["unanswered"] * 4,
        *["flushed"] * 3,
    ]
    assert bench.port.describe().hold is None


async def test_a_machine_that_greets_unasked_has_lost_what_it_held() -> None:
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, *[LINE] * 8)
    written = bench.written
    bench.device.say(GREETING)
    assert results(client) == [("unanswered", "")] * 5
    assert bench.written == written
    assert bench.port.describe().held
    await resumed(bench)
    assert bench.written == written + b"~" + LINE * 3


async def test_what_is_half_written_when_it_greets_is_not_ended_by_its_rest() -> None:
    bench = LineBench()
    client = await bench.open_lines()
    bench.device.capacity = len(LINE) + 5
    await sent(client, LINE, LINE, LINE)
    bench.device.say(GREETING)
    bench.device.make_room(1000)
    await resumed(bench)
    assert bench.written == LINE + LINE[:5] + b"~" + LINE
    assert [outcome for outcome, _ in results(client)] == ["unanswered", "unanswered"]


async def test_an_idle_machine_that_owes_a_reply_has_lost_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(missing_replies, "LOOK_S", 0.01)
    monkeypatch.setattr(missing_replies, "ASK_AFTER_S", 0.02)
    monkeypatch.setattr(missing_replies, "LOST_S", 0.1)
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, *[LINE] * 8)
    await until(lambda: b"?" in bench.written)  # it is asked
    bench.device.say(b"<Run|MPos:0,0,0|Bf:1,10|FS:0,0>\r\n")
    await until(lambda: bench.written.count(b"?") > 5)
    assert not results(client)
    await until(lambda: _says(bench, b"<Idle|MPos:0,0,0|Bf:15,128|FS:0,0>\r\n"))
    assert results(client) == [("unanswered", "")] * 5
    assert "has not replied to 5 lines" in bench.port.describe().hold.reason  # type: ignore[union-attr]
    await resumed(bench)
    assert bench.written.count(LINE) == 8


def _says(bench: LineBench, report: bytes) -> bool:
    bench.device.say(report)
    return bench.port.describe().held


async def test_marlin_that_owes_a_reply_is_waited_for_while_it_says_that_it_is_busy() -> None:
    bench = LineBench(MARLIN)
    client = await bench.open_lines()
    await sent(client, b"G28\n")
    missing, now = lines_of(client)._missing, bench.port.line._clock()
    assert not missing.why_lost(now + missing_replies.NOTHING_SAID_S - 1)
    bench.device.say(b"echo:busy: processing\n")
    assert not missing.why_lost(now + missing_replies.NOT_BUSY_S - 1)
    why = missing.why_lost(now + missing_replies.NOT_BUSY_S + 1)
    assert why == (
        "for 20 s the machine has neither replied nor said that it is busy, with 1 lines "
        "unanswered, the oldest of them 'G28': a reply was lost on its line, or it hangs"
    )


@pytest.mark.parametrize(
    ("says_temperature", "lost_after_s"),
    [(False, missing_replies.NOTHING_SAID_S), (True, missing_replies.NO_REPLY_S)],
)
async def test_firmware_that_never_says_that_it_is_busy_is_not_waited_for_for_ever(
    says_temperature: bool, lost_after_s: float
) -> None:
    bench = LineBench(MARLIN)
    client = await bench.open_lines()
    await sent(client, b"G4 S10\n")
    missing, now = lines_of(client)._missing, bench.port.line._clock()
    for second in range(int(lost_after_s) + 9):
        if says_temperature:
            missing.alive(now + second)
        assert not missing.why_lost(now + second)
    assert "was lost on its line, or it hangs" in missing.why_lost(now + lost_after_s + 11)


async def test_a_reply_that_is_given_up_holds_the_rest_and_is_not_guessed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(missing_replies, "LOOK_S", 0.01)
    monkeypatch.setattr(missing_replies, "NOT_BUSY_S", 0.05)
    bench = LineBench(MARLIN)
    client = await bench.open_lines()
    await sent(client, b"G1 X1\n", b"G1 X2\n")
    bench.device.say(b"echo:busy: processing\n")
    await until(lambda: bench.port.describe().held)
    assert results(client) == [("unanswered", "")]
    assert bench.written == b"G1 X1\n"
    hold = bench.port.describe().hold
    assert hold is not None
    assert "neither replied nor said that it is busy" in hold.reason
    await resumed(bench)
    assert bench.written == b"G1 X1\nG1 X2\n"


async def test_lines_that_wait_behind_the_firmware_count_as_queued() -> None:
    bench = LineBench(MARLIN)
    client = await bench.open_lines()
    await sent(client, *[b"G1 X1\n"] * 30)
    state = bench.port.queue_state()
    assert (state.commands, state.queued_bytes, state.band) == (29, 29 * 6, Band.OVERLOAD)
    assert state.oldest_age_s >= 0.0


async def test_a_hold_for_a_line_error_is_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[tuple[str, bool, bytes]] = []
    bench = LineBench(device=ReportingDevice(FAST))
    client = await bench.open_lines()

    def note(_: PortAudit, reason: str, *, machine_held: bool) -> None:
        noted.append((reason, machine_held, bench.written[-1:]))

    monkeypatch.setattr(PortAudit, "line_error", note)
    await sent(client, b"G1 Q1\n", LINE)
    bench.device.say(b"error:20\r\n")
    reason = "the firmware replied 'error:20' to the line 'G1 Q1'"
    assert noted == [(reason, True, b"!")]  # the byte first, then news of it


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


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"G1 X" + b"1" * 130 + b"\n", "the firmware's buffer holds 128"),
        (b"G1 X1 ! (hello)\n", "real-time byte"),
        (b"G1 X1 \x84\n", "real-time byte"),
    ],
)
async def test_a_line_that_cannot_be_sent_is_refused_and_holds_the_rest(
    line: bytes, why: str
) -> None:
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, LINE, line, LINE)
    assert bench.written == LINE  # and the machine carries out what came before
    hold = bench.port.describe().hold
    assert hold is not None
    assert why in hold.reason
    await resumed(bench)
    bench.device.say(b"ok\r\nok\r\n")
    assert [outcome for outcome, _ in results(client)] == ["answered", "refused", "answered"]


@pytest.mark.parametrize(
    ("line", "wire"),
    [
        (b"G1 X1 ; hello, what is this?\n", b"G1 X1 \n"),
        (b"(stop!) G1 X1 (~)\n", b" G1 X1 \n"),
        (b"G1 X1 ;" + b"x" * 200 + b"\n", b"G1 X1 \n"),
        ("G1 X1 ; ö\n".encode(), "G1 X1 ; ö\n".encode()),
        (b"G1 X1 ; fine\n", b"G1 X1 ; fine\n"),
    ],
)
async def test_a_comment_that_the_firmware_would_obey_is_left_out(line: bytes, wire: bytes) -> None:
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, line)
    assert bench.written == wire
    bench.device.say(b"ok\r\n")
    assert results(client) == [("answered", "ok")]


@pytest.mark.parametrize("data", [b"G1 X1", b"G1 X1\nG1 X2\n", b"G1\rG2\n"])
async def test_what_is_not_one_line_ends_the_session(data: bytes) -> None:
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


async def test_checksums_are_for_marlin() -> None:
    with pytest.raises(ProfileError, match="'grbl09', which takes no checksums"):
        await LineBench(GRBL09).open_lines(LineChoice(checksums=True))


async def test_marlin_is_sent_again_what_came_damaged() -> None:
    bench = LineBench(MARLIN)
    client = await bench.open_lines(LineChoice(checksums=True))
    await sent(client, b"G1 X1\n", b"G1 X2\n")
    assert bench.written == b"N0 M110 N0*125\n"
    bench.device.say(b"ok\n")
    first = b"N1 G1 X1*96\n"
    assert bench.written.endswith(first)
    bench.device.say(b"Error:checksum mismatch, Last Line: 0\nResend: 1\nok\n")
    assert bench.written.endswith(first + first)
    assert not results(client)
    bench.device.say(b"ok N1 P15 B3\n")
    bench.device.say(b"ok N1 P15 B3\n")  # an old one, once more
    bench.device.say(b"ok N2 P15 B3\n")
    assert [outcome for outcome, _ in results(client)] == ["answered", "answered"]


async def test_a_line_that_was_not_sent_cannot_be_sent_again() -> None:
    bench = LineBench(MARLIN)
    client = await bench.open_lines(LineChoice(checksums=True))
    await sent(client, b"G1 X1\n")
    bench.device.say(b"ok\n")
    bench.device.say(b"Resend: 7\nok\n")
    assert not results(client)
    assert "line that is not due" in bench.port.describe().hold.reason  # type: ignore[union-attr]


# What voids.


async def test_a_reset_of_its_own_is_waited_for_before_new_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, *[LINE] * 8)
    client.session.realtime.overtake(b"\x18", 1, 1)
    assert [outcome for outcome, _ in results(client)] == [*["unanswered"] * 5, *["flushed"] * 3]
    bench.device.written.clear()
    await client.send(b"G0 X5\n", after_reset=1)
    bench.device.say(b"ok\r\n")  # was on its way before the reset
    assert b"G0" not in bench.written
    bench.device.say(GREETING)
    assert bench.written.endswith(b"G0 X5\n")
    bench.device.say(b"ok\r\n")
    assert results(client)[-1] == ("answered", "ok")
    assert len(results(client)) == 9


async def test_a_machine_that_does_not_greet_after_a_reset_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(readiness, "WELCOME_TIMEOUT_S", 0.05)
    monkeypatch.setattr(missing_replies, "LOOK_S", 0.01)
    bench = LineBench()
    client = await bench.open_lines()
    client.session.realtime.overtake(b"\x18", 1, 1)
    await client.send(LINE, after_reset=1)
    await until(lambda: LINE in bench.written)


async def test_an_emergency_stop_leaves_no_line_without_a_result() -> None:
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, *[LINE] * 8)
    await bench.port.stops.path.stop(StopAction.EMERGENCY_STOP, "bob")
    assert [outcome for outcome, _ in results(client)] == [*["unanswered"] * 5, *["fenced"] * 3]
    await client.send(LINE, epoch=1)
    await client.send(LINE, epoch=2)
    assert [outcome for outcome, _ in results(client)[-2:]] == ["fenced", "refused"]


async def test_a_flush_drops_what_waits_and_cuts_no_line_in_two() -> None:
    bench = LineBench()
    client = await bench.open_lines()
    bench.device.capacity = len(LINE) + 5
    await sent(client, *[LINE] * 8)
    client.session.flush_queue()
    bench.device.make_room(1000)
    assert bench.written == LINE * 5
    bench.device.say(b"ok\r\n" * 5)
    assert [outcome for outcome, _ in results(client)] == [*["answered"] * 5, *["flushed"] * 3]


async def test_a_lost_device_leaves_no_line_without_a_result() -> None:
    bench = LineBench()
    client = await bench.open_lines()
    bench.device.capacity = len(LINE) * 2 + 5
    await sent(client, *[LINE] * 8)
    bench.device.vanish()
    outcomes = [outcome for outcome, _ in results(client)]
    assert outcomes == [*["unanswered"] * 2, *["failed"] * 6]


async def test_a_line_that_resets_the_machine_is_waited_for() -> None:
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, b"$RST=*\n", LINE)
    bench.device.say(b"[MSG:Restoring defaults]\r\nok\r\n")
    assert bench.written == b"$RST=*\n"
    bench.device.say(GREETING)
    assert bench.written == b"$RST=*\n" + LINE
    assert bench.port.describe().hold is None


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


async def test_replies_to_a_session_that_left_are_not_taken_for_the_nexts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = LineBench()
    first = await bench.open_lines()
    await sent(first, LINE, LINE)
    first.session.end("over")
    bench.port.stops.path.rearm("bob", bench.port.line.latch.epoch)
    second = await bench.open_lines(greets=False)
    await second.send(b"G0 X9\n", bench.port.line.latch.epoch)
    assert b"G0 X9\n" not in bench.written
    bench.device.say(b"ok\r\nok\r\n")
    bench.device.say(b"<Idle|MPos:0,0,0>\r\n")
    assert bench.written.endswith(b"G0 X9\n")
    assert not results(second)
    bench.device.say(b"ok\r\n")
    assert results(second) == [("answered", "ok")]


async def test_a_machine_that_another_program_wrote_to_must_rest_first() -> None:
    bench = LineBench()
    program = await bench.open()
    await program.send(LINE)
    await program.session.close()
    client = await bench.open_lines(greets=False)
    await sent(client, LINE)
    bench.device.say(b"<Run|MPos:0,0,0>\r\nok\r\n")
    assert not bench.written
    bench.device.say(b"<Idle|MPos:0,0,0>\r\n")
    assert bytes(bench.device.written) == LINE
    assert not results(client)


async def test_a_line_that_another_program_began_is_not_carried_out() -> None:
    bench = LineBench()
    program = await bench.open()
    await program.send(b"G1 X1")
    await program.session.close()
    client = await bench.open_lines(greets=False)
    await sent(client, b"G1 X9\n")
    bench.device.say(b"<Idle|MPos:0,0,0>\r\n")
    assert bench.written == b"*\nG1 X9\n"
    bench.device.say(b"error:1\r\nok\r\n")
    assert results(client) == [("answered", "ok")]
    assert bench.port.describe().hold is None


# A link that is lost.


async def test_a_client_that_comes_back_gets_the_results_that_it_lacks() -> None:
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, *[LINE] * 5)
    bench.device.say(b"ok\r\n" * 2)
    assert len(results(client)) == 2
    had = len(client.received())
    client.cut()
    bench.device.say(b"ok\r\nok\r\n[MSG:x]\r\n")
    client.events.clear()
    assert await bench.come_back(client, results=1, offset=had)  # one was lost with the link
    await until(lambda: len(results(client)) == 3)
    assert client.opened()[0].accepted_commands == 5
    assert client.received() == b"[MSG:x]\r\n"
    bench.device.say(b"ok\r\n")
    assert len(results(client)) == 4


async def test_results_that_are_no_longer_kept_end_the_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("usbshare.serial_svc.sessions.line_outbox.KEPT_RESULTS", 2)
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, *[LINE] * 5)
    bench.device.say(b"ok\r\n" * 5)
    client.cut()
    assert not await bench.come_back(client, results=2, offset=len(client.received()))


async def test_lines_that_wait_while_the_link_is_lost_need_a_person() -> None:
    bench = LineBench(device=ReportingDevice(FAST), link_timeout_s=0.05)
    client = await bench.open_lines()
    await sent(client, *[LINE] * 8)
    client.cut()
    await until(lambda: bench.port.roster.is_away)
    await until(lambda: b"\x84" in bench.written)
    bench.device.say(b"ok\r\n" * 5)
    assert bench.written.count(LINE) == 5
    assert await bench.come_back(client, results=0, offset=len(client.received()))
    client.session.hearing.last_heard = time.monotonic() + 60  # it lives from now on
    bench.watch.client_waits(0, None)
    assert bench.written.count(LINE) == 5
    await resumed(bench)
    assert bench.written.count(LINE) == 8


async def test_credit_follows_what_was_written_not_what_was_answered() -> None:
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, *[LINE] * 8)
    credit = client.session.credit_due()
    assert client.session.waiting() == (3, 3 * len(LINE))
    assert credit is None or credit.consumed_offset == 5 * len(LINE)
    assert client.session.client.mode is Mode.CONTROL
    assert bench.port.line.profile is GRBL
