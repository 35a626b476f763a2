"""Lines that go wrong: errors, alarms, damage, replies that never come."""

from __future__ import annotations

import pytest

from fakes.device import ReportingDevice
from fakes.line_bench import GREETING, LineBench, results
from fakes.line_replies import LINE, lines_of, resumed, sent
from fakes.port_bench import FAST
from fakes.waiting import until
from usbshare.line.profiles import MARLIN
from usbshare.serial_svc.ports.audit import PortAudit
from usbshare.serial_svc.sessions import missing_replies
from usbshare.serial_svc.sessions.client import LineChoice
from usbshare.serial_svc.stop.hold import HoldCause


async def test_a_machine_that_owes_a_reply_does_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usbshare.serial_svc.stop.activity.SETTLED_S", 0.0)
    bench = LineBench()
    client = await bench.open_lines()
    await sent(client, b"G4 P100\n")
    bench.device.say(b"<Idle|MPos:0,0,0>\r\n")  # as GRBL says in a dwell
    assert bench.port.stops.machine.activity.is_active
    bench.device.say(b"ok\r\n<Idle|MPos:0,0,0>\r\n")
    assert not bench.port.stops.machine.activity.is_active


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


async def test_the_rest_of_a_line_is_not_written_after_the_banner() -> None:
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


async def test_a_reply_to_a_void_line_is_not_waited_for_for_ever_by_what_speaks_meanwhile() -> None:
    bench = LineBench(MARLIN)
    client = await bench.open_lines()
    await sent(client, b"G28\n")
    await client.session.close(0.0)
    client = await bench.open_lines(greets=False)
    missing, now = lines_of(client)._missing, bench.port.line._clock()
    limit_s = missing_replies.NO_REPLY_S
    for second in range(int(limit_s)):
        missing.alive(now + second)  # as with M155
    assert not missing.why_lost(now + limit_s - 1)
    assert "has not replied" in missing.why_lost(now + limit_s + 1)


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
