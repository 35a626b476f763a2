"""Local ports that a page starts: bridges that live on without it, and come back."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

from fakes.panel import LASER, PanelHost, panel_host
from fakes.processes import Process, free_port


async def say(port: int, text: bytes) -> bytes:
    """Send a line to a local port over TCP; return what comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(text)
        async with asyncio.timeout(20):
            return await reader.readuntil(b"ok\r\n")
    finally:
        writer.close()


async def started(shop: PanelHost, **wish: Any) -> dict[str, Any]:
    """Start a local port; return it."""
    async with shop.ready_page() as page:
        answer = await page.ask(startLocalPort={"machine": LASER, **wish})
        assert "failure" not in answer, answer
        port: dict[str, Any] = answer["localPort"]
        return port


def panel_again(shop: PanelHost) -> Process:
    """Start the panel again as it was started first."""
    words = ["usbshare-bridge", "--config", str(shop.host.home / "panel.toml"), "panel", "--json"]
    return Process([*words, "--listen", "127.0.0.1:0"], shop.host.environment)


def kill_bridge(home: Path, id_: str) -> None:
    """Kill the bridge of a local port."""
    (lock,) = home.rglob(f"panel-ports/{id_}.lock")
    os.kill(int(lock.read_text()), signal.SIGKILL)


async def test_a_port_lives_on_without_its_page_and_ends_by_a_click(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop:
        number = free_port()
        port = await started(shop, kind="LOCAL_PORT_KIND_TCP", tcpPort=number)
        assert port["state"] == "LOCAL_PORT_STATE_READY"
        assert str(number) in port["place"]
        assert b"ok" in await say(number, b"G21\n")
        async with shop.ready_page() as page:
            assert page.ports[port["id"]]["place"] == port["place"]
            await page.until_laser(lambda laser: laser["controlState"] == "CONTROL_STATE_OTHER")
            refused = await page.ask(
                startLocalPort={"machine": LASER, "kind": "LOCAL_PORT_KIND_SERIAL"}
            )
            assert "held" in refused["failure"]["text"]
            assert "failure" not in await page.ask(stopLocalPort={"id": port["id"]})
            await page.until(lambda: port["id"] not in page.ports)
            await page.until_laser(lambda laser: laser["controlState"] == "CONTROL_STATE_FREE")
            again = await page.ask(stopLocalPort={"id": port["id"]})
            assert "no longer exists" in again["failure"]["text"]


async def test_a_second_panel_leaves_the_ports_of_the_first_alone(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop:
        number = free_port()
        port = await started(shop, kind="LOCAL_PORT_KIND_TCP", tcpPort=number)
        first, process = shop.url, panel_again(shop)
        try:
            shop.url = await _address(process)
            async with shop.ready_page() as page:
                assert not page.ports
                wish = {"machine": LASER, "kind": "LOCAL_PORT_KIND_TCP"}
                refused = await page.ask(startLocalPort=wish)
                assert "another panel" in refused["failure"]["text"]
        finally:
            process.stop()
        shop.url = first
        assert b"ok" in await say(number, b"G21\n")
        async with shop.ready_page() as page:
            assert "failure" not in await page.ask(stopLocalPort={"id": port["id"]})


async def test_a_kept_port_outlives_the_panel_and_is_found_again(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop:
        number = free_port()
        kept = await started(shop, kind="LOCAL_PORT_KIND_TCP", tcpPort=number, isKept=True)
        shop.panel.stop()
        assert b"ok" in await say(number, b"G21\n")
        process = panel_again(shop)
        try:
            shop.url = await _address(process)
            async with shop.ready_page() as page:
                await page.until(
                    lambda: page.ports.get(kept["id"], {}).get("state") == "LOCAL_PORT_STATE_READY"
                )
                assert page.ports[kept["id"]]["place"] == kept["place"]
                await page.ask(keepLocalPort={"id": kept["id"], "isKept": False})
                await page.until(lambda: not page.ports[kept["id"]].get("isKept"))
        finally:
            process.stop()
        await _until_closed(number)


async def test_a_kept_port_that_has_died_is_started_again(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop:
        number = free_port()
        kept = await started(shop, kind="LOCAL_PORT_KIND_TCP", tcpPort=number, isKept=True)
        shop.panel.stop()
        await asyncio.to_thread(kill_bridge, tmp_path, kept["id"])
        await _until_closed(number)
        process = panel_again(shop)
        try:
            shop.url = await _address(process)
            async with shop.ready_page() as page:
                await page.until(
                    lambda: page.ports.get(kept["id"], {}).get("state") == "LOCAL_PORT_STATE_READY"
                )
                assert b"ok" in await say(number, b"G21\n")
                await page.ask(stopLocalPort={"id": kept["id"]})
        finally:
            process.stop()


async def _address(process: Process) -> str:
    line = await asyncio.to_thread(process.wait_for, '"ready"')
    found = re.search(r'"url": "([^"]+)"', line.string)
    assert found
    return found[1]


async def _until_closed(number: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", number)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.05)
