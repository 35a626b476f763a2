"""What must not move or burn, whatever pages ask: held, latched, late, at once. Real services."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fakes.job_host import PROGRAM, enqueued
from fakes.panel import LASER, Page, PanelHost, panel_host, place_of, state_of
from fakes.panel_jog import JOG, Finger
from fakes.waiting import until
from usbshare.base.watched_task import cancel_all

STEP = {"machine": LASER, "xMm": 5, "feed": 1000}
BOX = {"minXMm": 0, "minYMm": 0, "maxXMm": 5, "maxYMm": 5}
MOVES: dict[str, dict[str, Any]] = {
    "jogStep": STEP,
    "goToZero": {"machine": LASER, "axes": "XY", "feed": 1000},
    "frame": {"machine": LASER, "box": BOX, "feed": 1000},
    "pulse": {"machine": LASER, "powerPercent": 5, "duration": "0.1s"},
    "sendLine": {"machine": LASER, "text": "G0 X9"},
    "home": {"machine": LASER},
    "setZero": {"machine": LASER, "axes": "X"},
}
QUIET_S = 0.5
MOST_PULSE_S = 1.0


@pytest.fixture
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PanelHost]:
    async with panel_host(tmp_path_factory.mktemp("shop")) as running:
        yield running


def events(shop: PanelHost) -> list[dict[str, Any]]:
    """Return what the machine lived through."""
    return [json.loads(line) for line in shop.host.record.read_text().splitlines()]


def received(shop: PanelHost, since: int = 0) -> bytes:
    """Return the bytes that the machine got after so many, but for polls."""
    return shop.host.received().replace(b"?", b"")[since:]


@pytest.mark.parametrize("by", ["jogStep", "jog"])
async def test_a_beam_that_a_program_left_on_is_off_during_a_jog(shop: PanelHost, by: str) -> None:
    async with shop.ready_page() as page:
        for text in ("$32=1", "M4S300"):
            assert "failure" not in await page.ask(sendLine={"machine": LASER, "text": text})
        if by == "jogStep":
            assert "failure" not in await page.ask(jogStep=STEP)
        else:
            finger = Finger(page)
            await finger.press()
            await finger.keep(lambda: place_of(page.laser)[0] > 0)
            finger.let_go()
        await page.until_laser(lambda laser: place_of(laser)[0] > 0)
        await page.until_laser(lambda laser: state_of(laser) == "Idle")
        assert {power for _, power in beams(shop)} <= {0.0}


async def test_a_lit_frame_needs_laser_mode(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await page.ask(sendLine={"machine": LASER, "text": "$32=0"})
        lit = {"machine": LASER, "box": BOX, "feed": 1000, "powerPercent": 5}
        assert "$32=0" in (await page.ask(frame=lit))["failure"]["text"]
        assert b"M4" not in received(shop)


async def test_a_cancel_that_ends_nothing_says_so(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await page.ask(releaseControl={"machine": LASER})
        answer = await page.ask(cancelMotion={"machine": LASER})
        assert "press HOLD" in answer["failure"]["text"]


async def test_a_cancelled_frame_goes_no_further(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        box = {"minXMm": 0, "minYMm": 0, "maxXMm": 50, "maxYMm": 50}
        asked = {"machine": LASER, "box": box, "feed": 1000}
        await page.tell(id=900, frame=asked)
        await page.until_laser(lambda laser: place_of(laser)[0] > 1)
        assert "failure" not in await page.ask(cancelMotion={"machine": LASER})
        await page.until(lambda: 900 in page.answers)
        assert "failure" in page.answers[900]
        await page.until_laser(lambda laser: state_of(laser) == "Idle")
        had = len(received(shop))
        await quiet(page)
        assert b"$J" not in received(shop, had)
        report = await page.until_laser(lambda laser: state_of(laser) == "Idle")
        assert place_of(report)[1] < 50


async def quiet(page: Page) -> None:
    """Read what comes, for a moment in which something wrong would happen."""
    began = time.monotonic()
    while time.monotonic() - began < QUIET_S:
        await page.ask(ping={})
        await asyncio.sleep(0.02)


def beams(shop: PanelHost) -> list[tuple[float, float]]:
    """Return when the beam had which power from."""
    return [(each["t"], each["beam"]) for each in events(shop) if "beam" in each]


async def ready(page: Page) -> None:
    """Have control of a machine in laser mode."""
    await page.ask(takeControl={"machine": LASER})
    await page.ask(sendLine={"machine": LASER, "text": "$32=1"})
    await page.until_laser(lambda laser: laser["abilities"].get("canPulse"))


async def test_a_held_machine_is_given_nothing_that_a_resume_would_carry_out(
    shop: PanelHost,
) -> None:
    async with shop.ready_page() as page:
        await ready(page)
        await page.ask(stop={"machine": LASER, "action": "STOP_ACTION_HOLD"})
        held = await page.until_laser(lambda laser: laser["port"].get("hold"))
        before = len(received(shop))
        for name, move in MOVES.items():
            answer = await page.ask(**{name: move})
            assert "holds the machine" in answer["failure"]["text"], name
        assert "holds the machine" in (await Finger(page).refusal())["text"]
        overrides = {"machine": LASER, "feedPercent": 90}
        assert "failure" not in await page.ask(setOverrides=overrides)
        seen = {"epoch": held["port"]["epoch"], "holdNumber": held["port"]["holdNumber"]}
        await page.ask(stop={"machine": LASER, "action": "STOP_ACTION_RESUME", **seen})
        await quiet(page)
        assert b"X" not in received(shop, before)
        assert b"$J" not in received(shop, before)


async def test_a_latched_machine_is_given_nothing(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await ready(page)
        await page.ask(stop={"machine": LASER, "action": "STOP_ACTION_EMERGENCY_STOP"})
        latched = await page.until_laser(lambda laser: laser["port"].get("latched"))
        before = len(received(shop))
        resume = {"machine": LASER, "text": "~"}
        for name, move in {**MOVES, "sendLine": resume}.items():
            answer = await page.ask(**{name: move})
            assert "latched" in answer["failure"]["text"], name
        assert "latched" in (await Finger(page).refusal())["text"]
        epoch = latched["port"]["latch"]["epoch"]
        await page.ask(rearm={"machine": LASER, "epoch": epoch})
        await quiet(page)
        assert b"X" not in received(shop, before)
        assert b"~" not in received(shop, before)


async def test_a_line_with_a_real_time_command_is_refused(shop: PanelHost) -> None:
    """As UTF-8, \u00c4 has a byte that opens GRBL's safety door (0x84)."""
    async with shop.ready_page() as page:
        await ready(page)
        before = len(received(shop))
        for text in ("(hi!)", "G0 X1 ~", "M117 ?", "Ä", "\u00c5", "caf\u00e9"):
            answer = await page.ask(sendLine={"machine": LASER, "text": text})
            assert "real-time command" in answer["failure"]["text"], text
            assert not received(shop, before), text
            assert "hold" not in page.laser["port"], text


async def test_a_text_of_several_lines_is_refused(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        for text in ("G0X1\nG0X2", "\x18", "G0\x85X1", "G1\u2028X5", "A" * 250, " "):
            answer = await page.ask(sendLine={"machine": LASER, "text": text})
            assert "1 to 200 printable" in answer["failure"]["text"], text


async def test_settings_are_read_again_after_a_line_that_restores_them(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await ready(page)
        before = len(received(shop))
        await page.ask(sendLine={"machine": LASER, "text": "$RST=*"})
        assert received(shop, before) == b"$RST=*\n$$\n"


async def test_an_override_does_not_lift_the_limit_of_a_beam(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await ready(page)
        most = page.laser["abilities"]["maxSpindle"] * 0.1
        await page.ask(setOverrides={"machine": LASER, "spindlePercent": 200})
        pulse = {"machine": LASER, "powerPercent": 10, "duration": "0.5s"}
        pulsing = await page.send(pulse=pulse)
        await page.until_laser(lambda laser: laser.get("activity"))
        refused = await page.ask(setOverrides={"machine": LASER, "spindlePercent": 200})
        assert "cannot change" in refused["failure"]["text"]
        await page.until(lambda: pulsing in page.answers)
        assert "failure" not in page.answers[pulsing]
        await page.ask(setOverrides={"machine": LASER, "spindlePercent": 200})
        frame = {"machine": LASER, "box": BOX, "feed": 6000, "powerPercent": 10}
        assert "failure" not in await page.ask(frame=frame)
        assert {power for _, power in beams(shop)} == {0.0, most}


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("after_s", [0.0, 0.002, 0.005, 0.3])
async def test_a_pulse_ends_though_its_panel_dies(
    shop: PanelHost, number: signal.Signals, after_s: float
) -> None:
    async with shop.ready_page() as page:
        await ready(page)
        await page.send(pulse={"machine": LASER, "powerPercent": 5, "duration": "1s"})
        if after_s >= 0.1:
            await until(lambda: beams(shop))
        await asyncio.sleep(after_s)
        shop.panel.process.send_signal(number)
        await asyncio.sleep(MOST_PULSE_S * 1.5)
        await until(lambda: not beams(shop) or beams(shop)[-1][1] == 0.0)
    if number is signal.SIGSTOP:
        shop.panel.process.send_signal(signal.SIGCONT)
    if told := beams(shop):
        assert told[-1][0] - told[0][0] <= MOST_PULSE_S * 1.1


async def test_a_page_that_closes_during_a_pulse_changes_nothing(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await ready(page)
        await page.send(pulse={"machine": LASER, "powerPercent": 5, "duration": "0.5s"})
        await until(lambda: beams(shop))
    await until(lambda: beams(shop)[-1][1] == 0.0)
    (began, _), (ended, _) = beams(shop)
    assert ended - began == pytest.approx(0.5, abs=0.05)  # in the machine's own time


async def test_two_pages_do_not_jog_at_once(shop: PanelHost) -> None:
    async with shop.ready_page() as page, shop.ready_page() as other:
        await page.ask(takeControl={"machine": LASER})
        await other.until_laser(lambda laser: laser["controlState"] == "CONTROL_STATE_OURS")
        fingers = (Finger(page), Finger(other))
        presses = [asyncio.create_task(each.refusal()) for each in fingers]
        refused, jogging = await asyncio.wait(presses, return_when=asyncio.FIRST_COMPLETED)
        for finger in fingers:
            finger.let_go()
        await cancel_all(*jogging)
        for each in refused:
            assert "another page is jogging" in (await each)["text"]


@pytest.mark.parametrize("name", ["jogStep", "setZero"])
async def test_nothing_waits_behind_a_jog_that_is_held(shop: PanelHost, name: str) -> None:
    """It would move the machine once somebody else lets go."""
    async with shop.ready_page() as page, shop.ready_page() as other:
        await page.ask(takeControl={"machine": LASER})
        await other.until_laser(lambda laser: laser["controlState"] == "CONTROL_STATE_OURS")
        finger = Finger(page, way={**JOG, "feed": 60})
        async with asyncio.timeout(60):
            while True:  # a busy computer may let the jog end before
                await finger.press()
                answer = await other.ask(**{name: MOVES[name]})
                if "another page is jogging" in answer.get("failure", {}).get("text", ""):
                    break
        finger.let_go()


async def test_no_jog_while_a_job_runs(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        job = await enqueued(shop.host.jobs(), PROGRAM, port_id="laser")
        start = {"jobId": str(job.job_id), "despiteErrors": True}
        assert "failure" not in await page.ask(jobCall={"host": "shop", "start": start})
        await page.until(lambda: page.jobs[str(job.job_id)]["state"] == "JOB_STATE_RUNNING")
        await page.until_laser(lambda laser: laser["controlState"] == "CONTROL_STATE_OTHER")
        before = received(shop).count(b"$J")
        for name, move in MOVES.items():
            answer = await page.ask(**{name: move})
            assert answer["failure"]["isHeldByOther"], (name, answer)
        assert (await Finger(page).refusal())["isHeldByOther"]
        assert received(shop).count(b"$J") == before
    # A page that goes, or comes again, changes nothing of a job.
    async with shop.ready_page() as again:
        await again.until(lambda: str(job.job_id) in again.jobs)
        assert again.jobs[str(job.job_id)]["state"] == "JOB_STATE_RUNNING"
        await again.ask(jobCall={"host": "shop", "cancel": {"jobId": str(job.job_id)}})


async def test_a_limit_of_the_machine_ends_a_jog(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await ready(page)
        for line in ("$22=1", "$130=100", "$20=1"):
            await page.ask(sendLine={"machine": LASER, "text": line})
        # Home is at the upper end.
        assert "error:15" in (await Finger(page).refusal())["text"]


async def test_a_burst_after_a_stall_moves_nothing(shop: PanelHost) -> None:
    """The press, its renewals, and no release: what a network delivers that was held up."""
    async with shop.ready_page() as page:
        await ready(page)
        before = received(shop).count(b"$J")
        pressed = time.monotonic() - 1.0
        late = [{**JOG, "madeAt": f"{pressed + 0.04 * each:.3f}s"} for each in range(20)]
        await page.tell(id=900, jog=late[0])
        for each in late[1:]:
            await page.tell(jog=each)
        await page.until(lambda: 900 in page.answers)
        assert "late: press again" in page.answers[900]["failure"]["text"]
        await quiet(page)
        assert received(shop).count(b"$J") == before


async def test_a_press_without_its_time_is_refused(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        answer = await page.ask(jog=JOG)
        assert "madeAt" in answer["failure"]["text"]
