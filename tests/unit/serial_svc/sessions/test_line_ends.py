"""Resets, stops, lost devices and lost links, while lines are on their way."""

from __future__ import annotations

import pytest

from fakes.device import ReportingDevice
from fakes.line_bench import GREETING, LineBench, results
from fakes.line_replies import LINE, resumed, sent
from fakes.port_bench import FAST
from fakes.waiting import until
from usbshare.line.stop_actions import StopAction
from usbshare.serial_svc.sessions import missing_replies, readiness
from usbshare.serial_svc.sessions.unfinished_line import SPOILER


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
    assert bench.written == SPOILER + b"G1 X9\n"
    bench.device.say(b"error:1\r\nok\r\n")
    assert results(client) == [("answered", "ok")]
    assert bench.port.describe().hold is None


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
    bench.watch.client_waits(0, None)
    assert bench.written.count(LINE) == 5
    await resumed(bench)
    assert bench.written.count(LINE) == 8
    await bench.port.close()
