"""A page has control: console, homing, zero, frames, pulses, overrides. Real panel and services."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fakes.panel import LASER, Page, PanelHost, panel_host, place_of, state_of
from fakes.panel_jog import Finger
from fakes.processes import free_port, running
from fakes.waiting import beside_loop

BOX = {"minXMm": 1, "minYMm": 2, "maxXMm": 6, "maxYMm": 5}


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PanelHost]:
    async with panel_host(tmp_path_factory.mktemp("shop")) as running_panel:
        yield running_panel


async def said(page: Page, text: str) -> dict[str, Any]:
    """Send a line; return its answer."""
    answer: dict[str, Any] = (await page.ask(sendLine={"machine": LASER, "text": text}))["line"]
    return answer


def program(shop: PanelHost) -> str:
    """Return all that the machine got but the real-time polls."""
    return shop.host.received().replace(b"?", b"").decode("latin-1")


async def test_a_line_is_answered_and_kept_for_a_page_that_comes_later(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        assert (await said(page, "G21"))["reply"] == "ok"
        wrong = await said(page, "G999")
        assert wrong["reply"] == "error:20"
        assert wrong["meaning"]
        assert (await page.until_laser(lambda laser: laser.get("firmwareMessage")))[
            "firmwareMessage"
        ].startswith("error:20: ")
        assert page.laser["controlState"] == "CONTROL_STATE_OURS"
    async with shop.ready_page() as later:
        await later.ask(show={"consoles": [LASER]})
        await later.until(
            lambda: any(line["text"].startswith("error:20: ") for line in later.lines)
        )
        texts = [(line["origin"], line["text"]) for line in later.lines]
        assert ("LINE_ORIGIN_SENT", "G21") in texts
        assert ("LINE_ORIGIN_MACHINE", "ok") in texts
        numbers = [line["number"] for line in later.lines]
        assert len(set(numbers)) == len(numbers)
        assert not any(text.startswith("<") for _, text in texts)


async def test_the_settings_of_a_machine_give_its_abilities(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await page.ask(takeControl={"machine": LASER})
        laser = await page.until_laser(lambda laser: laser["abilities"].get("travel"))
        assert laser["abilities"]["maxSpindle"] > 0
        assert laser["abilities"]["canJog"]
        await page.ask(releaseControl={"machine": LASER})
        await page.until_laser(lambda laser: laser["controlState"] == "CONTROL_STATE_FREE")


async def test_a_step_a_zero_and_the_move_back_to_zero(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        step = {"machine": LASER, "xMm": 3, "yMm": 1, "feed": 6000}
        assert "failure" not in await page.ask(jogStep=step)
        await page.until_laser(lambda laser: place_of(laser)[:2] == [3.0, 1.0])
        await page.until_laser(lambda laser: state_of(laser) == "Idle")
        assert "failure" not in await page.ask(setZero={"machine": LASER, "axes": "XY"})
        await page.until_laser(lambda laser: state_of(laser) and place_of(laser)[:2] == [0.0, 0.0])
        await page.ask(jogStep={**step, "xMm": -3, "yMm": -1})
        await page.until_laser(
            lambda laser: state_of(laser) == "Idle" and place_of(laser)[0] == -3.0
        )
        zero = {"machine": LASER, "axes": "XY", "feed": 6000}
        assert "failure" not in await page.ask(goToZero=zero)
        await page.until_laser(
            lambda laser: state_of(laser) == "Idle" and place_of(laser)[:2] == [0.0, 0.0]
        )


async def test_a_frame_goes_around_the_box_with_the_beam_off_or_low(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await said(page, "$32=1")
        await said(page, "G91")
        frame = {"machine": LASER, "box": BOX, "feed": 6000}
        assert "failure" not in await page.ask(frame=frame)
        assert "failure" not in await page.ask(frame={**frame, "powerPercent": 5})
        assert "failure" in await page.ask(frame={**frame, "powerPercent": 50})
        received = program(shop)
        dark = re.findall(r"\$J=G21G90X(\S+?)Y(\S+?)F6000", received)
        assert dark[-5:] == [("1", "2"), ("6", "2"), ("6", "5"), ("1", "5"), ("1", "2")]
        lit = received.partition("M4S0")[2]
        assert re.findall(r"X(\d)Y(\d)S50", lit) == [("6", "2"), ("6", "5"), ("1", "5"), ("1", "2")]
        assert re.search(r"M5S0\s+G0\s+G91", lit)  # off, and as it was
        await said(page, "G90")


async def test_a_pulse_is_one_piece_that_ends_by_itself(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await said(page, "$32=1")
        await page.until_laser(lambda laser: laser["abilities"].get("canPulse"))
        pulse = {"machine": LASER, "powerPercent": 3, "duration": "0.2s"}
        assert "failure" not in await page.ask(pulse=pulse)
        assert "M3S30\nG4P0.200\nM5S0\n" in program(shop)
        for wrong in ({"powerPercent": 11}, {"duration": "1.5s"}, {"powerPercent": 0}):
            answer = await page.ask(pulse={**pulse, **wrong})
            text = answer["failure"]["text"]
            assert "at most" in text or "must last" in text


async def test_overrides_are_real_time_bytes(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await page.ask(setOverrides={"machine": LASER, "feedPercent": 123, "rapidsPercent": 50})
        laser = await page.until_laser(
            lambda laser: laser.get("report", {}).get("overrides", {}).get("feedPercent") == 123
        )
        assert laser["report"]["overrides"]["rapidsPercent"] == 50
        await page.ask(setOverrides={"machine": LASER, "feedPercent": 100, "rapidsPercent": 100})


@pytest.mark.parametrize(("field", "full"), [("feedPercent", 0x90), ("spindlePercent", 0x99)])
async def test_an_override_goes_down_that_is_asked_to(
    shop: PanelHost, field: str, full: int
) -> None:
    """From wherever it is, which GRBL says in few of its reports only."""
    steps = {full + 1: 10, full + 2: -10, full + 3: 1, full + 4: -1}
    async with shop.ready_page() as page:
        reached = []
        for percent in (150, 140, 60, 70, 100):
            asked = {"machine": LASER, field: percent}
            assert "failure" not in await page.ask(setOverrides=asked)
            now = 100
            for byte in shop.host.received():
                now = 100 if byte == full else now + steps.get(byte, 0)
            reached.append(now)
        assert reached == [150, 140, 60, 70, 100]


async def test_homing_is_answered_once_it_is_done(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await said(page, "$22=1")
        assert "failure" not in await page.ask(home={"machine": LASER})
        assert "$H" in program(shop)
        await said(page, "$22=0")
        refused = await page.ask(home={"machine": LASER})
        assert "$22=0" in refused["failure"]["text"]


async def test_a_stop_ends_what_waits_for_an_answer(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        number = await page.send(sendLine={"machine": LASER, "text": "G4 P30"})
        await page.ask(stop={"machine": LASER, "action": "STOP_ACTION_EMERGENCY_STOP"})
        await page.until(lambda: number in page.answers)
        assert "latched" in page.answers[number]["failure"]["text"]
        refused = await page.ask(home={"machine": LASER})
        assert "latched" in refused["failure"]["text"]
        latched = await page.until_laser(lambda laser: laser["port"].get("latched"))
        await page.ask(rearm={"machine": LASER, "epoch": latched["port"]["latch"]["epoch"]})
        await page.until_laser(lambda laser: not laser["port"].get("latched"))
        await page.ask(releaseControl={"machine": LASER})


async def said_by_another(number: int) -> None:
    """Have another program send a line that is wrong, and ask the machine what it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", number)
    writer.write(b"G999\n$I\n")
    async with asyncio.timeout(20):
        await reader.readuntil(b"ok\r\n")
    writer.close()


async def test_control_that_another_client_has_is_asked_for_and_not_taken(shop: PanelHost) -> None:
    target = f"127.0.0.1:{shop.host.serial_port}"
    command = ["usbshare-bridge", "--target", target, "--port", "laser", "--tcp"]
    number = free_port()
    async with shop.ready_page() as page:
        await page.ask(releaseControl={"machine": LASER})
        starting = running([*command, f"127.0.0.1:{number}"], shop.host.home)
        async with beside_loop(starting) as bridge:
            await asyncio.to_thread(bridge.wait_for, "ready")
            await page.until_laser(lambda laser: laser["controlState"] == "CONTROL_STATE_OTHER")
            home = await page.ask(home={"machine": LASER})
            step = await page.ask(jogStep={"machine": LASER, "xMm": 1, "feed": 100})
            for failure in (home["failure"], step["failure"], await Finger(page).refusal()):
                assert failure["isHeldByOther"], failure
                assert "held by" in failure["text"]
            await page.ask(show={"consoles": [LASER]})
            await page.until_laser(lambda laser: laser["port"].get("observers"))
            await said_by_another(number)
            await page.until(lambda: any("[VER:" in line["text"] for line in page.lines))
            texts = [line["text"] for line in page.lines]
            told_at = next(index for index, text in enumerate(texts) if "[VER:" in text)
            assert "ok" not in texts[told_at:]
            assert "error:20: GRBL has no such word" in texts
            told = await page.ask(requestControl={"machine": LASER})
            assert told["requestControl"]["told"]
            await asyncio.to_thread(bridge.wait_for, "asks for control|wants control|asked")
        await page.until_laser(lambda laser: laser["controlState"] == "CONTROL_STATE_FREE")


async def steps(page: Page, feed: float) -> list[int]:
    """Ask for three steps of 2 mm at once; returns the requests' numbers."""
    await page.ask(takeControl={"machine": LASER})
    await page.until_laser(lambda laser: state_of(laser) == "Idle")
    step = {"machine": LASER, "xMm": 2, "feed": feed}
    return [await page.send(jogStep=step) for _ in range(3)]


async def test_a_step_behind_a_step_is_moved_too(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await page.until_laser(place_of)
        start = place_of(page.laser)[0]
        numbers = await steps(page, 600)
        await page.until(lambda: all(each in page.answers for each in numbers))
        assert [page.answers[each].get("failure") for each in numbers] == [None] * 3
        await page.until_laser(lambda laser: round(place_of(laser)[0] - start, 3) == 6)
        await page.until_laser(lambda laser: state_of(laser) == "Idle")
        assert not page.laser.get("firmwareMessage")


@pytest.mark.parametrize("by", ["HOLD", "EMERGENCY_STOP", ""])
async def test_no_step_is_left_behind_a_stop(shop: PanelHost, by: str) -> None:
    """GRBL takes a hold while it jogs for a cancel, and would take the next step."""
    async with shop.ready_page() as page:
        numbers = await steps(page, 20)
        await page.until_laser(lambda laser: state_of(laser) == "Jog")
        had = program(shop).count("$J=")
        if by:
            await page.ask(stop={"machine": LASER, "action": f"STOP_ACTION_{by}"})
        else:
            await page.ask(cancelMotion={"machine": LASER})
        await page.until(lambda: all(each in page.answers for each in numbers))
        assert all("failure" in page.answers[each] for each in numbers[1:])
        assert program(shop).count("$J=") == had
        if latch := page.laser["port"].get("latch"):
            await page.ask(rearm={"machine": LASER, "epoch": latch["epoch"]})
            await page.ask(unlock={"machine": LASER})
        await page.until_laser(
            lambda laser: state_of(laser) == "Idle" and not laser["port"].get("hold")
        )
