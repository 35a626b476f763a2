"""An alarm's number is told to everybody, whoever had control when it came."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp

from fakes.panel import LASER, Page, page_at, panel_host
from fakes.processes import Process, run

LIMITED = ("$22=1", "$20=1")


async def test_a_panel_that_comes_later_shows_an_alarm_and_what_helps(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop:
        async with shop.ready_page() as page:
            for line in LIMITED:
                await page.ask(sendLine={"machine": LASER, "text": line})
            too_far = await page.ask(sendLine={"machine": LASER, "text": "G0 X900"})
            assert "ALARM:2" in too_far["failure"]["text"]
        target = f"127.0.0.1:{shop.host.serial_port}"
        shown = ["usbshare-bridge", "status", "--target", target]
        code, said = await asyncio.to_thread(run, shown, tmp_path)
        assert code == 0, said
        assert "ALARM:2: the move would leave" in " ".join(said.split())
        words = ["usbshare-bridge", "--config", str(tmp_path / "panel.toml"), "panel", "--json"]
        later = Process([*words, "--listen", "127.0.0.1:0"], shop.host.environment)
        try:
            url = str(json.loads(later.wait_for('"ready"').string)["url"]).rstrip("/")
            async with aiohttp.ClientSession() as http, page_at(http, url) as page:
                await resets_it(page)
        finally:
            later.stop()


async def resets_it(page: Page) -> None:
    """Do what the page of an alarmed machine offers."""
    laser = await page.until_laser(lambda laser: laser.get("firmwareMessage"))
    assert laser["firmwareMessage"].startswith("ALARM:2: the move would leave")
    assert laser["nextStep"] == "NEXT_STEP_RESET"
    assert "failure" not in await page.ask(reset={"machine": LASER})
    await page.until_laser(
        lambda laser: laser["port"].get("hold") and laser["nextStep"] == "NEXT_STEP_HOME"
    )


async def test_a_machine_that_sleeps_is_reset_and_given_nothing_before(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop, shop.ready_page() as page:
        await page.ask(sendLine={"machine": LASER, "text": "$SLP"})
        await page.until_laser(lambda laser: laser.get("nextStep") == "NEXT_STEP_RESET")
        line = await page.ask(sendLine={"machine": LASER, "text": "$$"})
        assert "sleeps" in line["failure"]["text"]
        assert b"$$\n" not in shop.host.received().partition(b"$SLP")[2]
        assert "failure" not in await page.ask(reset={"machine": LASER})
        await page.until_laser(lambda laser: laser.get("nextStep") == "NEXT_STEP_UNLOCK")
        assert "failure" not in await page.ask(unlock={"machine": LASER})
        await page.until_laser(lambda laser: not laser.get("nextStep"))
