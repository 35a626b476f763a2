"""What a finger aims at stays where it is; words are the page's own. Chromium, faked gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect

from fakes.panel_gateway import FakeGateway, fake_gateway
from fakes.panel_page import PHONE, panel_page
from fakes.panel_snapshots import KEY, TIME, job, machine, report, workshop
from fakes.waiting import until
from usbshare.job.v1 import job_pb2
from usbshare.page.v1 import page_pb2
from usbshare.serial.v1 import serial_pb2

WIDE = (1600, 1000)
LAPTOP = (1280, 900)
ASKED = page_pb2.ControlAsked(machine=KEY, who="usbshare://s/bench-4 (bridge)", time=TIME)


@asynccontextmanager
async def shown(
    browser: Browser, snapshot: page_pb2.Snapshot, size: tuple[int, int], address: str = ""
) -> AsyncIterator[tuple[FakeGateway, Page]]:
    """Show a page of the laser."""
    async with (
        fake_gateway(snapshot) as gateway,
        panel_page(
            browser, f"{gateway.url}#{address or '/machine/laser-host/laser'}", size
        ) as page,
    ):
        await expect(page.locator("h1")).to_be_visible()
        yield gateway, page


def silent() -> page_pb2.Machine:
    """Return the laser before anybody has control, which has reported nothing."""
    made = machine()
    made.ClearField("report")
    return made


def ours(activity: str = "") -> page_pb2.Machine:
    """Return the laser under this panel's control, with everything that it reports."""
    busy = report("Jog", feed=3000, spindle=100, pins="XY", accessories="SF", line=12)
    return machine(control_state=page_pb2.CONTROL_STATE_OURS, report=busy, activity=activity)


def others() -> page_pb2.Machine:
    """Return the laser under somebody else's control."""
    holder = serial_pb2.Holder(identity="usbshare://s/bench-4", client_name="bridge")
    return machine(
        control_state=page_pb2.CONTROL_STATE_OTHER,
        control_reason="usbshare://s/bench-4 (bridge me@a-computer-with-a-long-name) has control",
        port=serial_pb2.Port(holder=holder),
    )


def unopened() -> page_pb2.Machine:
    """Return a port whose firmware is not known yet."""
    made = silent()
    made.port.state = serial_pb2.PORT_STATE_AVAILABLE
    made.port.profile = serial_pb2.PROFILE_RAW
    made.abilities.Clear()
    return made


async def pad(page: Page) -> Sequence[float]:
    """Return where the jog pad is on the page."""
    found: Sequence[float] = await page.evaluate(
        "() => { const box = document.querySelector('.jog-plane').getBoundingClientRect();"
        " return [box.x, box.y + scrollY, box.width, box.height]; }"
    )
    return found


@pytest.mark.parametrize("size", [PHONE, LAPTOP, WIDE])
async def test_the_jog_pad_stays_where_it_is(browser: Browser, size: tuple[int, int]) -> None:
    async with shown(browser, workshop(silent()), size) as (gateway, page):
        await expect(page.locator(".jog-plane")).to_be_visible()
        before = await pad(page)
        for state, name in (
            (ours(), "Release control"),
            (ours(activity="framing"), "Release control"),
            (others(), "Ask for control"),
            (silent(), "Take control"),
        ):
            await gateway.change(state)
            await expect(page.get_by_role("button", name=name, exact=True)).to_be_visible()
            assert await pad(page) == before, name
        await gateway.change(ours())
        await gateway.send(control_asked=ASKED)
        await expect(page.get_by_role("button", name="Hand over")).to_be_visible()
        assert await pad(page) == before


async def test_a_request_for_control_is_said_on_every_page(browser: Browser) -> None:
    async with shown(browser, workshop(ours()), LAPTOP, "/doctor") as (gateway, page):
        await gateway.send(control_asked=ASKED)
        await expect(page.get_by_text("bench-4 (bridge) asks for control of")).to_be_visible()


async def test_a_job_is_handed_over_to_who_asks(browser: Browser) -> None:
    request = job_pb2.ControlRequest(who="usbshare://s/bench-4", request_time=TIME)
    running = job(state=job_pb2.JOB_STATE_RUNNING, control_requests=[request])
    async with shown(browser, workshop(jobs=[running]), LAPTOP) as (gateway, page):
        await expect(page.get_by_text("bench-4 asks for this machine")).to_be_visible()
        await page.get_by_role("button", name="Hand over", exact=True).click()
        await expect(page.get_by_text("bench-4 can then take control")).to_be_visible()
        assert not gateway.requests("job_call")
        await page.get_by_role("button", name="End the job and hand over").click()
        await until(lambda: gateway.requests("job_call"))
        assert gateway.requests("job_call")[0][1].job_call.hand_over.job_id == 17


async def test_nobody_asks_for_a_job(browser: Browser) -> None:
    running = job(state=job_pb2.JOB_STATE_RUNNING)
    async with shown(browser, workshop(jobs=[running]), LAPTOP) as (_, page):
        await expect(page.get_by_role("button", name="Cancel the job")).to_be_visible()
        await expect(page.get_by_role("button", name="Hand over", exact=True)).to_be_hidden()


async def test_a_typed_resume_names_the_hold_that_is_seen(browser: Browser) -> None:
    async with shown(browser, workshop(ours()), LAPTOP) as (gateway, page):
        await page.get_by_label("Line to send").fill("~")
        await page.keyboard.press("Enter")
        await until(lambda: gateway.requests("send_line"))
        line = gateway.requests("send_line")[0][1].send_line
        assert (line.epoch, line.hold_number) == (7, 2)


async def test_a_port_that_is_not_open_says_so(browser: Browser) -> None:
    async with shown(browser, workshop(unopened()), LAPTOP) as (_, page):
        await expect(page.get_by_text("The port is not open yet.")).to_be_visible()
        await expect(page.get_by_text("no jog command")).to_be_hidden()


async def test_a_service_of_the_host_is_said_to_be_one(browser: Browser) -> None:
    async with shown(browser, workshop(), LAPTOP, "/access") as (gateway, page):
        gateway.answers["get_access"] = lambda _: page_pb2.Answer(
            access=page_pb2.AccessReport(
                identities=[
                    page_pb2.Identity(name="job-svc", role="service", rights="nothing"),
                    page_pb2.Identity(name="bench-9", role="viewer", rights="nothing"),
                ]
            )
        )
        await page.reload()
        await expect(page.get_by_text("a service of the host")).to_have_count(1)
        await expect(page.get_by_role("cell", name="nothing", exact=True)).to_have_count(1)


async def test_entries_of_the_log_are_folded_on_a_phone(browser: Browser) -> None:
    entries = [
        page_pb2.AuditEntry(
            number=each, time=TIME, who="anna", what=f"did {each}", resource="laser", text="more"
        )
        for each in range(1, 61)
    ]
    async with shown(browser, workshop(), PHONE, "/access") as (gateway, page):
        await until(lambda: any(each.show.audits for _, each in gateway.requests("show")))
        await gateway.send(audit=page_pb2.AuditEntries(host="laser-host", entries=entries))
        rows = page.locator(".log tbody tr")
        await expect(rows).to_have_count(25)
        assert await rows.first.evaluate("row => row.offsetHeight") <= 80
        await expect(rows.first.get_by_text("anna")).to_be_visible()
        await expect(rows.first.get_by_text("laser")).to_be_hidden()
        await rows.first.get_by_role("button", name="Details of did 60").click()
        await expect(rows.first.get_by_text("laser")).to_be_visible()
        await page.get_by_role("button", name="Show 25 older entries").click()
        await page.get_by_role("button", name="Show 10 older entries").click()
        await expect(rows).to_have_count(60)
        await expect(rows.first.get_by_text("laser")).to_be_visible()
