"""A latched port: whoever sends what, only stops and polls reach the machine before a re-arm."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from fakes.line_bench import LineBench, results
from fakes.line_replies import LINE, sent
from fakes.port_bench import Bench, Client1
from usbshare.base.errors import PortLatchedError
from usbshare.line.flow.character_counting import rules_of
from usbshare.line.profiles import BY_NAME, GRBL, GRBLHAL, MARLIN, Priority, Profile, StopAction
from usbshare.serial_svc.line.latch import LatchCause

WITH_URGENT = [each for each in BY_NAME.values() if each.realtime or each.urgent_lines]
WITH_RULES = [each for each in BY_NAME.values() if rules_of(each) is not None]
CAUSES = list(LatchCause)


def units(profile: Profile) -> dict[bytes, Priority]:
    return {bytes([byte]): how for byte, how in profile.realtime.items()} | profile.urgent_lines


def moving(profile: Profile) -> bytes:
    """All that lets a machine of a profile go on, or switches something."""
    return b"".join(unit for unit, how in units(profile).items() if how is Priority.HIGH)


def latch(bench: Bench, cause: LatchCause) -> None:
    """Latch a port whose machine may still hold a job."""
    bench.port.line.latch.set("bob", "fire", cause)


async def in_its_bytes(_: Bench, client: Client1, data: bytes, epoch: int) -> None:
    await client.send(data + b"\n", epoch)


async def in_its_stream(_: Bench, client: Client1, data: bytes, epoch: int) -> None:
    for piece in [data] if data.isascii() else [data[i : i + 64] for i in range(0, len(data), 64)]:
        client.session.realtime.in_stream(piece, epoch=epoch)


async def beside_its_stream(_: Bench, client: Client1, data: bytes, epoch: int) -> None:
    client.session.realtime.overtake(data[:64], 1, epoch)


async def by_another(bench: Bench, _: Client1, data: bytes, epoch: int) -> None:
    bench.port.stops.realtime.write(data, "bob", epoch=epoch)


Send = Callable[[Bench, Client1, bytes, int], Awaitable[None]]
WAYS: list[Send] = [in_its_bytes, in_its_stream, beside_its_stream, by_another]


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("profile", WITH_URGENT, ids=lambda profile: profile.name)
async def test_nothing_that_moves_the_machine_is_written(
    profile: Profile, way: Send, cause: LatchCause
) -> None:
    bench = Bench(profile=profile, link_timeout_s=60.0)
    client = await bench.open()
    latch(bench, cause)
    if data := moving(profile):
        await way(bench, client, data, bench.port.line.latch.epoch)
    assert bench.commands == b""
    await bench.port.close()


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("profile", WITH_RULES, ids=lambda profile: profile.name)
async def test_no_line_of_a_session_that_streams_lines_is_written(
    profile: Profile, cause: LatchCause
) -> None:
    bench = LineBench(profile)
    client = await bench.open_lines()
    await sent(client, *[LINE] * 20)
    had = bench.commands
    latch(bench, cause)  # while lines wait
    bench.device.say(b"ok\n" * 20)
    assert bench.commands == had
    bench.port.stops.realtime.end_epoch()
    await client.send(LINE, bench.port.line.latch.epoch)
    assert bench.commands == had
    assert results(client)[-1] == ("refused", "")
    await bench.port.close()


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("profile", WITH_RULES, ids=lambda profile: profile.name)
async def test_a_session_that_streams_lines_opens_and_writes_polls_only(
    profile: Profile, cause: LatchCause
) -> None:
    bench = LineBench(profile)
    program = await bench.open()
    takes_beginnings = profile.reports_state  # any other is given no lines behind one
    await program.send(b"G1 X100" if takes_beginnings else b"G1 X100\n")  # and is gone
    await program.session.close()
    bench.device.written.clear()
    latch(bench, cause)
    client = await bench.open_lines()
    epoch = bench.port.line.latch.epoch
    await client.send(LINE, epoch)
    bench.device.say(b"<Idle|MPos:0,0,0|FS:0,0>\r\n")
    assert bench.commands == b""
    await bench.port.close()


@pytest.mark.parametrize("profile", WITH_URGENT, ids=lambda profile: profile.name)
async def test_every_stop_and_poll_is_written(profile: Profile) -> None:
    bench = Bench(profile=profile, link_timeout_s=60.0)
    client = await bench.open()
    for unit, how in units(profile).items():
        latch(bench, LatchCause.EMERGENCY_STOP)
        bench.device.written.clear()
        client.session.realtime.in_stream(unit, epoch=bench.port.line.latch.epoch)
        assert (unit in bench.written) is (how is not Priority.HIGH), unit
    await bench.port.close()


@pytest.mark.parametrize("cause", CAUSES)
async def test_a_stop_before_a_resume_is_written_without_it(cause: LatchCause) -> None:
    bench = Bench(link_timeout_s=60.0)
    client = await bench.open()
    latch(bench, cause)
    client.session.realtime.in_stream(b"!~\x84~", epoch=bench.port.line.latch.epoch)
    assert bench.commands == b"!\x84"
    assert bench.port.stops.machine.holds.current is not None
    await bench.port.close()


@pytest.mark.parametrize("profile", [GRBL, GRBLHAL, MARLIN], ids=lambda profile: profile.name)
@pytest.mark.parametrize("cause", CAUSES)
async def test_callers_that_wait_for_an_answer_are_notified(
    profile: Profile, cause: LatchCause
) -> None:
    bench = Bench(profile=profile, link_timeout_s=60.0)
    await bench.open()
    latch(bench, cause)
    resume = profile.stops[StopAction.RESUME].data
    with pytest.raises(PortLatchedError, match="re-arm it"):
        await bench.port.stops.realtime.ready_for(resume, bench.port.line.latch.epoch)
    with pytest.raises(PortLatchedError, match="re-arm it"):
        await bench.port.stops.path.stop(StopAction.RESUME, "bob")
    assert bench.commands == b""
    await bench.port.close()


@pytest.mark.parametrize("way", WAYS)
async def test_a_re_armed_port_takes_them_again(way: Send) -> None:
    bench = Bench(link_timeout_s=60.0)
    client = await bench.open()
    latch(bench, LatchCause.EMERGENCY_STOP)
    await way(bench, client, b"~", bench.port.line.latch.epoch)
    bench.port.stops.path.rearm("bob", bench.port.line.latch.epoch)
    assert bench.commands == b""
    client.session.realtime.in_stream(b"~", epoch=bench.port.line.latch.epoch)
    assert bench.commands == b"~"
    await bench.port.close()


@pytest.mark.parametrize("way", WAYS)
async def test_a_resume_from_who_may_control_ends_a_hold_of_somebody_else(way: Send) -> None:
    bench = Bench(link_timeout_s=60.0)
    client = await bench.open()
    await bench.port.stops.path.stop(StopAction.SAFETY_DOOR, "bob")
    bench.device.written.clear()
    await way(bench, client, b"~", bench.port.line.latch.epoch)
    assert bench.commands.startswith(b"~")
    await bench.port.close()
