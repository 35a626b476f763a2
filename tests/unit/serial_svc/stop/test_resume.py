"""A resume is believed once the machine says that it continues; a braking machine ignores it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from fakes.device import ReportingDevice
from fakes.port_bench import FAST, RESET, RESUME, Bench
from fakes.waiting import until
from usbshare.base.errors import DeviceError, PortLatchedError, WrongStateError
from usbshare.line.profiles import StopAction
from usbshare.serial_svc.stop import report_requests, resume
from usbshare.serial_svc.stop.audit import StopRecord
from usbshare.serial_svc.stop.hold import UNCONFIRMED, SeenHold

HOLDS = {StopAction.HOLD: b"!", StopAction.SAFETY_DOOR: b"\x84"}


class Held(Bench):
    """A machine that is held, and brakes until the test lets it rest."""

    def __init__(self) -> None:
        self.machine = ReportingDevice(FAST)
        super().__init__(self.machine, link_timeout_s=60.0)
        self.machine.brakes = True
        self.machine.state = b"Run"

    async def hold(self, action: StopAction = StopAction.HOLD) -> None:
        await self.port.line.ensure_open()
        await self.port.stops.path.stop(action, "ann")

    def resume(self) -> asyncio.Task[StopRecord]:
        holds = self.port.stops.machine.holds
        seen = SeenHold(self.port.line.latch.epoch, holds.number)
        return asyncio.create_task(self.port.stops.path.stop(StopAction.RESUME, "bob", seen=seen))

    @property
    def is_shown_as_held(self) -> bool:
        return self.port.stops.machine.holds.is_machine_held

    async def ignores(self) -> None:
        """Wait until the machine has got a resume while it braked, and has said so."""
        await until(lambda: self.written.count(RESUME) == 1)
        asked = self.device.written.count(b"?")
        await until(lambda: self.device.written.count(b"?") > asked)


@pytest.fixture
async def bench() -> AsyncIterator[Held]:
    made = Held()
    yield made
    await made.port.close()


@pytest.mark.parametrize("action", HOLDS)
async def test_a_resume_that_comes_while_the_machine_brakes_is_obeyed_once_it_rests(
    bench: Held, action: StopAction
) -> None:
    await bench.hold(action)
    resuming = bench.resume()
    await bench.ignores()
    assert bench.is_shown_as_held
    assert not resuming.done()
    bench.machine.rest()
    record = await resuming
    assert record.sent == RESUME + RESUME
    assert bench.machine.state == b"Run"
    assert bench.commands == HOLDS[action] + RESUME + RESUME
    assert not bench.is_shown_as_held


async def test_a_machine_at_rest_is_resumed_by_one_byte(bench: Held) -> None:
    await bench.hold()
    bench.machine.rest()
    assert (await bench.resume()).sent == RESUME
    assert bench.commands == b"!" + RESUME
    assert not bench.is_shown_as_held


async def act(bench: Held, action: StopAction) -> None:
    await bench.port.stops.path.stop(action, "ann")


async def program_holds(bench: Held) -> None:
    bench.port.stops.realtime.write(b"!", "ann")


STOPS: dict[str, Callable[[Held], Awaitable[None]]] = {
    "a hold": lambda bench: act(bench, StopAction.HOLD),
    "a door": lambda bench: act(bench, StopAction.SAFETY_DOOR),
    "a program's hold": program_holds,
    "an emergency stop": lambda bench: act(bench, StopAction.EMERGENCY_STOP),
}


@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
async def test_a_stop_during_a_resume_ends_the_resume(
    bench: Held, stop: Callable[[Held], Awaitable[None]]
) -> None:
    await bench.hold()
    resuming = bench.resume()
    await bench.ignores()
    await stop(bench)
    bench.machine.rest()
    with pytest.raises(PortLatchedError, match="stopped or held again while it was being resumed"):
        await resuming
    assert bench.written.count(RESUME) == 1


async def test_a_client_that_resumed_and_left_resumes_nothing_later(bench: Held) -> None:
    await bench.hold()
    resuming = bench.resume()
    await bench.ignores()
    resuming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await resuming
    bench.machine.rest()
    await asyncio.sleep(3 * report_requests.LOOK_S)
    assert bench.written.count(RESUME) == 1
    assert bench.is_shown_as_held


@pytest.mark.parametrize(
    ("state", "pins", "says"),
    [
        (b"Door:1", b"|Pn:D", "reports Door:1; its door is open: close it"),
        (b"Hold:0", b"|Pn:H", "reports Hold:0; its hold button is pressed: release it"),
    ],
)
async def test_a_door_or_a_button_that_keeps_the_machine_held_ends_the_resume(
    bench: Held, state: bytes, pins: bytes, says: str
) -> None:
    await bench.hold(StopAction.SAFETY_DOOR)
    resuming = bench.resume()
    await bench.ignores()
    bench.machine.state, bench.machine.pins = state, pins
    with pytest.raises(WrongStateError, match=says):
        await resuming
    bench.machine.state, bench.machine.pins = b"Door:0", b""
    await asyncio.sleep(3 * report_requests.LOOK_S)
    assert bench.written.count(RESUME) == 1


async def test_a_resume_is_not_tried_for_longer_than_its_limit(
    bench: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "LIMIT_S", 0.3)
    await bench.hold()
    with pytest.raises(WrongStateError, match=r"reports Hold:1; it has not come to rest yet"):
        await bench.resume()
    bench.machine.rest()
    await asyncio.sleep(3 * report_requests.LOOK_S)
    assert bench.written.count(RESUME) == 1
    assert (await bench.resume()).sent == RESUME


async def test_the_limit_does_not_count_while_the_service_stands_still(
    bench: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "LIMIT_S", 0.5)
    await bench.hold()
    resuming = bench.resume()
    await bench.ignores()
    time.sleep(0.6)  # noqa: ASYNC251 - it stands still
    bench.machine.rest()
    assert (await resuming).sent == RESUME + RESUME


async def test_a_machine_that_was_held_at_itself_after_the_resume_is_left_alone(
    bench: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "LIMIT_S", 0.5)
    await bench.hold()
    bench.machine.rest()
    bench.machine.state = b"Hold"  # of firmware that does not say whether it rests
    with pytest.raises(WrongStateError, match="reports Hold; look at the machine"):
        await bench.resume()
    assert bench.written.count(RESUME) == 1


async def test_a_lost_device_ends_a_resume(bench: Held) -> None:
    await bench.hold()
    resuming = bench.resume()
    await bench.ignores()
    bench.device.vanish()
    with pytest.raises(DeviceError, match="has no device"):
        await resuming


async def test_a_reset_leaves_nothing_to_resume(bench: Held) -> None:
    await bench.hold()
    resuming = bench.resume()
    await bench.ignores()
    client = await bench.open()
    client.session.realtime.in_stream(RESET)
    assert (await resuming).sent == RESUME


async def test_a_programs_own_resume_is_written_once_and_believed_when_it_is_obeyed(
    bench: Held,
) -> None:
    client = await bench.open()
    client.session.realtime.in_stream(b"!")
    client.session.realtime.in_stream(RESUME)
    asked = bench.device.written.count(b"?")
    bench.machine.rest()
    await until(lambda: bench.device.written.count(b"?") > asked)
    assert bench.is_shown_as_held
    assert bench.commands == b"!" + RESUME
    client.session.realtime.in_stream(RESUME)
    await until(lambda: not bench.is_shown_as_held)


async def test_a_hold_that_a_homing_machine_ignores_is_not_shown_for_long(bench: Held) -> None:
    bench.machine.state = b"Home"
    await bench.hold()
    assert bench.is_shown_as_held
    await until(lambda: not bench.is_shown_as_held)


async def test_a_machine_that_does_not_answer_is_shown_as_unconfirmed(
    bench: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_requests, "LIMIT_S", 0.2)
    monkeypatch.setattr(bench.machine, "_answer", lambda _: None)
    await bench.hold()
    holds = bench.port.stops.machine.holds
    await until(lambda: holds.current is not None and UNCONFIRMED in holds.current.reason)
