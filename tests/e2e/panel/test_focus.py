"""The keyboard keeps its place, whatever a press does. The page in Chromium, a faked gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect

from fakes.panel_gateway import FakeGateway, fake_gateway
from fakes.panel_page import panel_page
from fakes.panel_snapshots import job, machine, report, workshop
from fakes.waiting import until
from usbshare.page.v1 import page_pb2
from usbshare.serial.v1 import serial_pb2

FOCUS = "document.activeElement.textContent"
HOLD = serial_pb2.Hold(cause=serial_pb2.HOLD_CAUSE_STOP, who="usbshare://s/bench-4")

NUMBER_CONTROLS = """() => {
  const all = [...document.querySelectorAll("button, select, input, textarea, summary, a[href]")]
    .filter((each) => each.checkVisibility() && !each.disabled && !each.matches("[type=radio]"));
  return all.map((each, index) => (each.dataset.number = String(index)));
}"""


@asynccontextmanager
async def shown(
    browser: Browser, snapshot: page_pb2.Snapshot, address: str = "/machine/laser-host/laser"
) -> AsyncIterator[tuple[FakeGateway, Page]]:
    """Show a page of the laser."""
    async with (
        fake_gateway(snapshot) as gateway,
        panel_page(browser, f"{gateway.url}#{address}") as page,
    ):
        await expect(page.locator("h1")).to_be_visible()
        yield gateway, page


async def press(page: Page, name: str) -> None:
    """Press a button by the keyboard."""
    await page.get_by_role("button", name=name, exact=True).focus()
    await page.keyboard.press("Enter")


async def test_a_button_that_is_gone_leaves_the_focus_beside_it(browser: Browser) -> None:
    async with shown(browser, workshop()) as (gateway, page):
        await press(page, "Take control")
        await until(lambda: gateway.requests("take_control"))
        await gateway.change(machine(control_state=page_pb2.CONTROL_STATE_OURS))
        await expect(page.get_by_role("heading", name="Control", exact=True)).to_be_focused()
        await page.keyboard.press("Tab")
        assert await page.evaluate(FOCUS) == "Release control"


async def test_after_a_resume_one_more_press_moves_nothing(browser: Browser) -> None:
    port = serial_pb2.Port(hold=HOLD)
    held = machine(
        port=port,
        report=report("Hold", substate=0),
        condition="held",
        next_step=page_pb2.NEXT_STEP_RESUME,
    )
    async with shown(browser, workshop(held)) as (gateway, page):
        await press(page, "Resume")
        await until(lambda: gateway.requests("stop"))
        await gateway.change(machine())
        await expect(page.get_by_role("button", name="Resume", exact=True)).to_be_hidden()
        await page.wait_for_function("document.activeElement.matches('h1, h2, #main')")
        heard = len(gateway.heard)
        await page.keyboard.press("Enter")
        await page.keyboard.press("Space")
        assert {each.WhichOneof("action") for _, each in gateway.heard[heard:]} <= {"ping"}


async def test_a_row_that_is_gone_leaves_the_focus_in_its_list(browser: Browser) -> None:
    async with shown(browser, workshop(jobs=[job()]), "/jobs/laser-host/laser") as (gateway, page):
        await press(page, "Delete coaster.nc")
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await until(lambda: gateway.requests("job_call"))
        await gateway.send(job_removed=job())
        await expect(page.get_by_role("heading", name="Queue")).to_be_focused()


async def test_a_button_keeps_the_focus_while_it_works(browser: Browser) -> None:
    async with shown(browser, workshop(), "/doctor") as (gateway, page):
        asked: list[page_pb2.Request] = []

        def later(request: page_pb2.Request) -> None:
            asked.append(request)

        gateway.answers["run_doctor"] = later
        await press(page, "Run the checks")
        await until(lambda: asked)
        await expect(page.get_by_role("button", name="Run the checks")).to_be_disabled()
        answer = page_pb2.Answer(request_id=asked[0].id, doctor=page_pb2.DoctorReport())
        await gateway.send(answer=answer)
        await expect(page.get_by_role("button", name="Run the checks")).to_be_focused()


async def test_who_leaves_a_button_is_not_sent_back(browser: Browser) -> None:
    async with shown(browser, workshop()) as (gateway, page):
        await page.get_by_role("button", name="Take control").focus()
        await page.mouse.click(640, 880)
        await gateway.change(machine(control_state=page_pb2.CONTROL_STATE_OURS))
        await expect(page.get_by_role("button", name="Release control")).to_be_visible()
        assert await page.evaluate("document.activeElement.tagName") in ("BODY", "MAIN")


async def test_a_line_that_was_begun_is_still_there_after_the_history(browser: Browser) -> None:
    async with shown(browser, workshop()) as (gateway, page):
        line = page.get_by_label("Line to send")
        for text in ("G21", "G90"):
            await line.fill(text)
            await page.keyboard.press("Enter")
        await until(lambda: len(gateway.requests("send_line")) == 2)
        await line.fill("G0 X1")
        seen = []
        for key in ("ArrowUp", "ArrowUp", "ArrowUp", "ArrowDown", "ArrowDown", "ArrowDown"):
            await page.keyboard.press(key)
            seen.append(await line.input_value())
        assert seen == ["G90", "G21", "G21", "G90", "G0 X1", "G0 X1"]


@pytest.mark.parametrize("name", ["machine/laser-host/laser", "jobs/laser-host/laser", "access"])
async def test_every_control_is_reached_by_tab(browser: Browser, name: str) -> None:
    """Of a group of radio buttons one; its others are reached by arrow keys."""
    async with shown(browser, workshop(jobs=[job()]), f"/{name}") as (_, page):
        wanted = await page.evaluate(NUMBER_CONTROLS)
        assert wanted
        reached = set()
        for _ in range(2 * len(wanted)):
            await page.keyboard.press("Tab")
            reached.add(await page.evaluate("document.activeElement.dataset.number ?? ''"))
            if reached >= set(wanted):
                break
        assert set(wanted) - reached == set()
