"""Every page for everybody: screen readers, both themes, narrow and wide, without a gateway."""

from __future__ import annotations

import asyncio
from itertools import product

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Browser, Page, expect

from fakes.panel_gateway import FakeGateway, fake_gateway
from fakes.panel_page import PHONE, WIDE, page_with_worker, panel_page
from fakes.panel_snapshots import KEY, job, machine, report, workshop
from usbshare.job.v1 import job_pb2
from usbshare.page.v1 import page_pb2
from usbshare.serial.v1 import serial_pb2

PAGES = ["hosts", "machine", "jobs", "ports", "access", "doctor", "latency", "more"]
SERIOUS = {"serious", "critical"}
# The rules of axe that depend on colours; all others say the same of both themes.
OF_COLOURS = ["color-contrast", "link-in-text-block"]
SMALL_TARGETS = """() => [...document.querySelectorAll("button, select, input, a[href], summary")]
  .filter((each) => each.checkVisibility() && !each.closest(".choice, .visually-hidden"))
  .filter((each) => !each.matches("input[type=checkbox], .visually-hidden, .stop-target select"))
  .filter((each) => !each.closest(".brand, .empty, p"))
  .filter((each) => {
    const box = each.getBoundingClientRect();
    return box.width > 0 && (box.height < 43.5 || box.width < 43.5);
  })
  .map((each) => each.outerHTML.slice(0, 120))"""


def busy_workshop() -> page_pb2.Snapshot:
    """Return a workshop in which everything that can be shown is there."""
    alarmed = machine(
        port=serial_pb2.Port(latched=True, latch=serial_pb2.Latch(epoch=7)),
        report=report("Alarm", pins="X", accessories="S"),
        condition="an emergency stop by bench-3 at 10:21",
        firmware_message="ALARM:1 Hard limit triggered.",
        next_step=page_pb2.NEXT_STEP_REARM,
    )
    running = job(
        18,
        name="a-long-name-of-a-file-that-does-not-end-so-soon_final_final2.gcode",
        state=job_pb2.JOB_STATE_RUNNING,
        place=0,
        progress=job_pb2.Progress(sent_lines=3000, acknowledged_lines=2900, executed_lines=2880),
    )
    port = page_pb2.LocalPort(
        id="1",
        machine=KEY,
        host_name="Laser-Workshop",
        kind=page_pb2.LOCAL_PORT_KIND_SERIAL,
        state=page_pb2.LOCAL_PORT_STATE_READY,
        place="/run/user/1000/usbshare/COM10",
        is_open=True,
    )
    return workshop(alarmed, jobs=[job(), running], local_ports=[port])


def answering(gateway: FakeGateway) -> FakeGateway:
    """Give the gateway something to say about access."""
    identity = page_pb2.Identity(name="bench-3", role="operator", rights="view, stop, control")
    invitation = page_pb2.OpenInvitation(name="tablet", role="viewer")
    access = page_pb2.AccessReport(
        identities=[identity], invitations=[invitation], roles=["operator", "viewer"]
    )
    gateway.answers["get_access"] = lambda _: page_pb2.Answer(access=access)
    return gateway


async def show(page: Page, gateway: FakeGateway, name: str) -> None:
    await page.goto(f"{gateway.url}#/{name}")
    await expect(page.locator("h1")).to_be_visible()


@pytest.mark.parametrize(("theme", "rules"), [("light", None), ("dark", OF_COLOURS)])
@pytest.mark.parametrize("size", [PHONE, WIDE])
async def test_axe_finds_nothing_serious(
    browser: Browser, theme: str, rules: list[str] | None, size: tuple[int, int]
) -> None:
    found = []
    asked = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
    async with fake_gateway(busy_workshop()) as gateway:
        answering(gateway)
        async with panel_page(browser, gateway.url, size, theme=theme) as page:
            for name in PAGES:
                await show(page, gateway, name)
                results = await Axe().run(page, options=asked)
                found += [
                    (name, each["id"], [node["html"][:160] for node in each["nodes"]])
                    for each in results.response["violations"]
                    if each["impact"] in SERIOUS
                ]
    assert found == []


async def test_no_page_is_wider_than_the_screen(browser: Browser) -> None:
    async with fake_gateway(busy_workshop()) as gateway:
        answering(gateway)
        async with panel_page(browser, gateway.url) as page:
            for width, name in product([360, 600, 899, 900, 1600], PAGES):
                await page.set_viewport_size({"width": width, "height": 800})
                await show(page, gateway, name)
                shown = await page.evaluate("document.documentElement.scrollWidth")
                assert shown <= width, (width, name)


async def test_touch_targets_are_large_enough(browser: Browser) -> None:
    async with fake_gateway(busy_workshop()) as gateway:
        answering(gateway)
        async with panel_page(browser, gateway.url, PHONE) as page:
            for name in PAGES:
                await show(page, gateway, name)
                assert await page.evaluate(SMALL_TARGETS) == [], name


async def test_the_choice_of_light_and_dark_is_kept(browser: Browser) -> None:
    theme = "document.documentElement.dataset.theme"
    async with (
        fake_gateway(workshop()) as gateway,
        panel_page(browser, gateway.url, theme="dark") as page,
    ):
        assert await page.evaluate(theme) == "dark"
        await page.get_by_role("button", name="Appearance: follow the system").click()
        assert await page.evaluate(theme) == "light"
        await page.reload()
        assert await page.evaluate(theme) == "light"
        await page.get_by_role("button", name="Appearance: light").click()
        await page.get_by_role("button", name="Appearance: dark").click()
        assert await page.evaluate(theme) == "dark"


async def test_announcements_to_screen_readers_do_not_repeat(browser: Browser) -> None:
    changes = """() => {
      window.announced = [];
      new MutationObserver((changes) => {
        for (const { target } of changes) {
          const region = (target.nodeType === 1 ? target : target.parentElement)
            .closest("[role=status], [role=alert], [aria-live=polite], [aria-live=assertive]");
          if (region) window.announced.push(region.textContent);
        }
      }).observe(document.body, {subtree: true, childList: true, characterData: true});
    }"""
    async with (
        fake_gateway(workshop()) as gateway,
        panel_page(browser, f"{gateway.url}#/machine/laser-host/laser") as page,
    ):
        await expect(page.get_by_text("33.493")).to_be_visible()
        await page.evaluate(changes)
        for step in range(1, 21):
            moved = machine()
            moved.report.work_position[0] = step
            await gateway.change(moved)
        await expect(page.get_by_text("20.000")).to_be_visible()
        assert await page.evaluate("window.announced") == []


async def test_a_lost_connection_is_shown_and_old_values_look_old(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        await expect(page.locator("#hold")).to_be_enabled()
        gateway.is_refusing = True
        await gateway.drop()
        line = page.locator("#lost")
        await expect(line).to_contain_text("The page shows the state as of that time")
        await expect(page.locator("html")).to_have_attribute("data-lost", "")
        results = await Axe().run(page)
        bad = [each for each in results.response["violations"] if each["impact"] in SERIOUS]
        assert [each["id"] for each in bad if each["id"] != "color-contrast"] == []
        await line.get_by_role("button", name="Try now").click()
        gateway.is_refusing = False
        await expect(line).to_be_empty()
        await expect(page.locator("html")).not_to_have_attribute("data-lost", "")


async def test_the_keyboard_skips_to_the_page_behind_the_stop_bar(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        await expect(page.locator("#hold")).to_be_enabled()
        for _ in range(3):
            await page.keyboard.press("Tab")
        await expect(page.get_by_text("Skip to the page")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.locator("#main")).to_be_focused()


async def test_without_the_program_the_browser_says_what_to_do(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, page_with_worker(browser, gateway.url) as page:
        await page.evaluate("navigator.serviceWorker.ready.then(() => null)")
        await page.reload()
        await gateway.stop()
        await page.reload()
        await expect(page.locator("h1")).to_have_text("The panel is not running")
        await expect(page.get_by_text("usbshare-bridge panel")).to_be_visible()
        await expect(page.get_by_text("use the machine's own emergency stop")).to_be_visible()
        results = await Axe().run(page)
        assert [each["id"] for each in results.response["violations"]] == []
        await gateway.start()
        await expect(page.locator("#hold")).to_be_enabled()


async def test_the_page_loads_nothing_from_other_hosts(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway:
        asked: list[str] = []
        async with panel_page(browser, gateway.url) as page:
            page.on("request", lambda request: asked.append(request.url))
            for name in PAGES:
                await show(page, gateway, name)
            await page.reload()
            await asyncio.sleep(0)
        assert [each for each in asked if not each.startswith(gateway.url)] == []
