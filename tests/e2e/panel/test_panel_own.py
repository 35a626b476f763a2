"""A fresh computer: the panel opens without a certificate, and everything else is by clicks."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fakes.json_schema import mistakes
from fakes.panel import Page, page_at, panel_host
from fakes.processes import Process, completed, environment, free_port, running

LASER = '[ports.laser]\nsource = "sim://grbl"\n'


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """Return the home of a host that invites, and where its serial service listens."""
    home = tmp_path / "host"
    folder = home / "config" / "usbshare"
    folder.mkdir(parents=True)
    enrolment = f'[tls]\nenrolment = "127.0.0.1:{free_port()}"\n'
    listen = f'[service]\nlisten = "127.0.0.1:{free_port()}"\n'
    (folder / "usbshare.toml").write_text(LASER + enrolment + listen)
    with running(["serial-svc"], home) as service:
        yield home, service.wait_for(r"ready at (127\.0\.0\.1:\d+)")[1]


def quiet_settings(home: Path) -> Path:
    """Have a computer that hears nobody."""
    home.mkdir()
    config = home / "panel.toml"
    config.write_text("[discovery]\nmdns = false\nbeacon = false\n")
    return config


@asynccontextmanager
async def fresh_panel(home: Path) -> AsyncIterator[Page]:
    """Open the panel of a computer that nobody has let in."""
    config = await asyncio.to_thread(quiet_settings, home)
    words = ["usbshare-bridge", "--config", str(config), "panel", "--json"]
    process = Process([*words, "--listen", "127.0.0.1:0"], environment(home))
    try:
        line = await asyncio.to_thread(process.wait_for, '"ready"')
        ready = json.loads(line.string)
        assert mistakes(ready, "panel_event") == []
        origin = ready["url"].rstrip("/")
        async with aiohttp.ClientSession() as http, page_at(http, origin) as page:
            yield page
    finally:
        process.stop()


def invitation(home: Path, name: str) -> str:
    """Have the host invite somebody."""
    words = ["serial-svc", "pki", "invite", "--name", name, "--role", "operator"]
    done = completed(words, home)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def enrolled(page: Page, **wish: Any) -> dict[str, Any]:
    """Use an invitation as soon as the host listens; return what came of it."""
    async with asyncio.timeout(60):
        while True:
            answer = await page.ask(enrol=wish)
            if "enrolled" in answer:
                found: dict[str, Any] = answer["enrolled"]
                return found
            assert "has no open invitation" in answer["failure"]["text"], answer
            await asyncio.sleep(0.3)


async def test_a_fresh_computer_enrols_and_sees_its_machine(
    tmp_path: Path, host: tuple[Path, str]
) -> None:
    home, target = host
    text = await asyncio.to_thread(invitation, home, "office-pc")
    async with fresh_panel(tmp_path / "pc") as page:
        await page.take()
        assert "no client certificate" in page.gateway["certificateProblem"]
        shown = (await page.ask(readInvitation={"text": text}))["invitation"]
        assert (shown["name"], shown["role"]) == ("office-pc", "operators")
        assert "replaces" not in shown
        wrong = await page.ask(readInvitation={"text": text[:-3]})
        assert "not a complete invitation" in wrong["failure"]["text"]
        assert (await enrolled(page, text=text))["identity"].endswith("/office-pc")
        await page.until(lambda: page.gateway.get("identity", "").endswith("/office-pc"))
        await page.until(lambda: any(port == "laser" for _, port in page.machines))
        ((key, _),) = page.machines
        assert page.hosts[key]["serial"]["target"] == target
        await page.until(lambda: page.gateway.get("preselected", {}).get("host") == key)
        stop = {"machine": {"host": key, "portId": "laser"}, "action": "STOP_ACTION_HOLD"}
        assert "stop" in await page.ask(stop=stop)

        other = await asyncio.to_thread(invitation, home, "other-pc")
        shown = (await page.ask(readInvitation={"text": other}))["invitation"]
        assert re.search(r"/office-pc, valid until 20\d\d-\d\d-\d\d$", shown["replaces"])
        kept = await page.ask(enrol={"text": other})
        assert "already a certificate" in kept["failure"]["text"]
        assert (await enrolled(page, text=other, replaces=True))["identity"].endswith("/other-pc")
        await page.until(lambda: page.gateway["identity"].endswith("/other-pc"))
        await page.until(
            lambda: page.hosts[key].get("whoAmI", {}).get("identity", "").endswith("/other-pc")
        )
        assert "stop" in await page.ask(stop=stop)


async def test_a_host_is_added_by_its_address_and_forgotten(
    tmp_path: Path,
) -> None:
    async with panel_host(tmp_path) as shop, shop.ready_page() as page:
        address = f"127.0.0.1:{free_port()}"
        added = (await page.ask(addHost={"address": address}))["host"]
        assert added["isAdded"]
        await page.until(lambda: added["key"] in page.hosts)
        (noted,) = await asyncio.to_thread(lambda: list(tmp_path.rglob("panel-hosts.json")))
        assert address in await asyncio.to_thread(noted.read_text)
        assert "failure" not in await page.ask(forgetHost={"host": added["key"]})
        await page.until(lambda: added["key"] not in page.hosts)
        wrong = await page.ask(addHost={"address": "http://x/"})
        assert "URL" in wrong["failure"]["text"]


async def test_another_address_of_a_known_host_is_shown_with_it_and_forgotten(
    tmp_path: Path,
) -> None:
    async with panel_host(tmp_path) as shop, shop.ready_page() as page:
        address = f"localhost:{shop.host.serial_port}"
        assert "host" in await page.ask(addHost={"address": address})
        await page.until(lambda: set(page.hosts) == {"shop"} and page.hosts["shop"].get("isAdded"))
        assert ("shop", "laser") in page.machines
        assert "failure" not in await page.ask(forgetHost={"host": "shop"})
        await page.until(lambda: not page.hosts["shop"].get("isAdded"))
        refused = await page.ask(forgetHost={"host": "shop"})
        assert "configuration" in refused["failure"]["text"]


async def test_the_doctor_checks_a_host(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop, shop.ready_page() as page:
        report = (await page.ask(runDoctor={"host": "shop"}))["doctor"]
        found = {each["name"]: each["result"] for each in report["checks"]}
        assert found["TCP"] == found["health"] == "CHECK_RESULT_OK", report
        assert any("progress" in each for each in page.events)
