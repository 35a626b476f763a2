"""A newcomer's walk: a fresh computer, one command, all else by clicks, which are counted."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from fakes.gcode_program import rosette
from fakes.panel_page import PHONE, WIDE, panel_page
from fakes.processes import (
    Process,
    completed,
    environment,
    free_port,
    running,
    wait_for_listener,
)

KEPT = Path(__file__).parents[3] / "build" / "panel"
LONG_MS = 60_000
FILE = FilePayload(name="coaster.nc", mimeType="text/plain", buffer=rosette())
# From the open page to a machine that is re-armed after an emergency stop, and a virtual port.
MOST_CLICKS = 20


class Walk:
    """A person at the page, whose clicks and slides are counted."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0

    async def click(self, what: Locator) -> None:
        """Click once it can be clicked."""
        await expect(what).to_be_enabled(timeout=LONG_MS)
        await what.click(timeout=LONG_MS)
        self.clicks += 1

    async def button(self, name: str) -> None:
        """Click a button."""
        await self.click(self.page.get_by_role("button", name=name, exact=True))

    async def link(self, name: str) -> None:
        """Click a link of the navigation."""
        await self.click(self.page.get_by_role("navigation").get_by_role("link", name=name))

    async def slide(self) -> None:
        """Slide the red button."""
        box = await self.page.locator("#emergency").bounding_box()
        assert box is not None
        y = box["y"] + box["height"] / 2
        await self.page.mouse.move(box["x"] + 20, y)
        await self.page.mouse.down()
        await self.page.mouse.move(box["x"] + box["width"], y, steps=4)
        await self.page.mouse.up()
        self.clicks += 1

    async def look(self, name: str) -> None:
        """Keep a picture of what is to be seen."""
        KEPT.mkdir(parents=True, exist_ok=True)
        await self.page.evaluate("window.scrollTo(0, 0)")
        await self.page.screenshot(path=KEPT / f"walk-{name}.png")


@asynccontextmanager
async def workshop(home: Path) -> AsyncIterator[tuple[Process, dict[str, int]]]:
    """Run a host with a laser, jobs and a camera; yields its serial service and all ports."""
    serial, jobs, camera, enrolment = free_port(), free_port(), free_port(), free_port()
    folder = home / "config" / "usbshare"
    folder.mkdir(parents=True)
    (folder / "usbshare.toml").write_text(
        f'[service]\nlisten = "127.0.0.1:{serial}"\n'
        f'[job]\nlisten = "127.0.0.1:{jobs}"\n'
        f'[serial]\ntarget = "127.0.0.1:{serial}"\n'
        f'[tls]\nenrolment = "127.0.0.1:{enrolment}"\n'
        '[ports.laser]\nsource = "sim://grbl?homing=1"\nprofile = "grbl"\n'
        'description = "40 W diode laser"\n'
    )
    with running(["serial-svc"], home) as service:
        await asyncio.to_thread(service.wait_for, "ready at")
        with running(["job-svc"], home) as job_service:
            await asyncio.to_thread(job_service.wait_for, "ready at")
            with running(["camera-svc", "--listen", f"127.0.0.1:{camera}"], home) as cameras:
                await asyncio.to_thread(cameras.wait_for, "ready at")
                yield service, {"serial": serial, "job": jobs, "camera": camera}


def settings(home: Path, ports: dict[str, int]) -> Path:
    """Have a computer that hears nobody and knows the host by its address."""
    home.mkdir()
    config = home / "panel.toml"
    config.write_text(
        "[discovery]\nmdns = false\nbeacon = false\n"
        '[hosts.shop]\naddress = "127.0.0.1"\n'
        + "".join(f"{kind} = {port}\n" for kind, port in ports.items())
    )
    return config


@asynccontextmanager
async def fresh_panel(home: Path, ports: dict[str, int]) -> AsyncIterator[str]:
    """Run the panel of a computer that nobody has let in; yields its address."""
    config = await asyncio.to_thread(settings, home, ports)
    words = ["usbshare-bridge", "--config", str(config), "panel", "--json"]
    process = Process([*words, "--listen", "127.0.0.1:0"], environment(home))
    try:
        line = await asyncio.to_thread(process.wait_for, '"ready"')
        yield json.loads(line.string)["url"]
    finally:
        process.stop()


async def invitation(home: Path) -> str:
    """Have the host invite this computer."""
    words = ["serial-svc", "pki", "invite", "--name", "office-pc", "--role", "operator"]
    done = await asyncio.to_thread(completed, words, home)
    assert done.returncode == 0, done.stderr
    await asyncio.to_thread(wait_for_listener, done.stderr)
    return done.stdout.strip()


async def test_from_an_invitation_to_a_re_armed_machine(browser: Browser, tmp_path: Path) -> None:
    async with (
        workshop(tmp_path / "host") as (service, ports),
        fresh_panel(tmp_path / "pc", ports) as url,
        panel_page(browser, url, WIDE) as page,
    ):
        walk = Walk(page)
        await is_let_in(walk, await invitation(tmp_path / "host"))
        await prepares_the_machine(walk)
        await runs_a_job(walk)
        await stops_and_re_arms(walk)
        await starts_a_virtual_port(walk)
        assert service.process.poll() is None
        assert walk.clicks <= MOST_CLICKS


def laser(page: Page) -> Locator:
    """Return the link to the laser of the host that the configuration names."""
    shop = page.get_by_role("article").filter(has=page.get_by_role("heading", name="shop"))
    return shop.get_by_role("link", name=re.compile("laser"))


async def is_let_in(walk: Walk, text: str) -> None:
    """Paste an invitation, and use it."""
    page = walk.page
    await page.get_by_label("Invitation", exact=True).fill(text)
    await walk.button("Check the invitation")
    await expect(page.get_by_text("office-pc", exact=True)).to_be_visible(timeout=LONG_MS)
    await walk.look("invitation")
    await walk.button("Enrol this computer")
    await expect(page.locator("#notices")).to_contain_text("is enrolled as", timeout=LONG_MS)
    await expect(laser(page)).to_be_visible(timeout=LONG_MS)
    await walk.look("hosts")


async def prepares_the_machine(walk: Walk) -> None:
    """Open the machine and home it."""
    page = walk.page
    await laser(page).click()
    walk.clicks += 1
    await walk.button("Home")
    await expect(page.get_by_text("homing")).to_be_hidden(timeout=LONG_MS)
    await expect(page.locator(".firmware-state").first).to_have_text("Idle", timeout=LONG_MS)
    await walk.button("Zero all here")
    await expect(page.locator("#picture")).to_contain_text("ms old", timeout=LONG_MS)
    await walk.look("machine")


async def runs_a_job(walk: Walk) -> None:
    """Have a file checked, queue it, start it, hold it, and let it go on."""
    page = walk.page
    await walk.link("Jobs")
    await expect(page.locator("#job-file")).to_be_enabled(timeout=LONG_MS)
    await page.set_input_files("#job-file", files=[FILE])
    await expect(page.get_by_role("img", name="Preview of the job")).to_be_visible(timeout=LONG_MS)
    await expect(page.get_by_text("Drawing …")).to_have_count(0, timeout=LONG_MS)
    await walk.look("file")
    await walk.button("Add to the queue")
    await frames(walk)
    await walk.button("Start …")
    await walk.button("Start now")
    now = page.get_by_role("region", name="Now")
    await expect(now).to_contain_text("running ·", timeout=LONG_MS)
    await expect(now).to_contain_text(re.compile(r"[1-9]\d* executed"), timeout=LONG_MS)
    await walk.button("HOLD")
    await expect(page.locator("#stop-bar [role=status]")).to_contain_text("answered in")
    await expect(now).to_contain_text("held", timeout=LONG_MS)
    await walk.look("held")
    await walk.click(now.get_by_role("button", name="Resume", exact=True))
    await expect(now).to_contain_text("running ·", timeout=LONG_MS)


async def frames(walk: Walk) -> None:
    """See where the job goes, with the beam off; end it before it is all around."""
    page = walk.page
    await walk.button(f"Frame {FILE['name']}")
    dialog = page.get_by_role("dialog")
    await walk.click(dialog.get_by_role("button", name="Frame", exact=True))
    await walk.look("frame")
    await walk.click(dialog.get_by_role("button", name="Cancel the motion"))
    await expect(page.locator("#notices")).to_contain_text("cancelled", timeout=LONG_MS)
    await walk.click(dialog.get_by_role("button", name="Close"))


async def stops_and_re_arms(walk: Walk) -> None:
    """Stop all at once, and let programs in again."""
    page = walk.page
    await walk.slide()
    status = page.locator("#stop-bar [role=status]")
    await expect(status).to_contain_text("until it is re-armed", timeout=LONG_MS)
    await walk.look("stopped")
    await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    await walk.look("phone")
    await page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
    await walk.button("Re-arm")
    await expect(page.get_by_role("button", name="Re-arm")).to_be_hidden(timeout=LONG_MS)


async def starts_a_virtual_port(walk: Walk) -> None:
    """Have a port for a program."""
    page = walk.page
    await walk.link("Ports")
    await walk.button("Start")
    await expect(page.get_by_text(re.compile("^Ready: "))).to_be_visible(timeout=LONG_MS)
    await walk.look("port")
    await walk.button("Stop")
    await expect(page.get_by_text("No virtual port yet")).to_be_visible(timeout=LONG_MS)
