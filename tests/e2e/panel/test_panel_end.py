"""The panel ends as it should: pages are told, control is given back, nothing is held by it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp

from fakes.panel import panel_host
from fakes.panel_jog import Finger
from usbshare.client.serial.client import SerialClient
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle


async def test_a_panel_that_ends_gives_control_back_and_holds_nothing(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop, shop.ready_page() as page:
        finger = Finger(page)
        await finger.press()
        await finger.keep(lambda: page.laser["controlState"] == "CONTROL_STATE_OURS")
        shop.panel.process.send_signal(signal.SIGTERM)
        await page.until_ended()
        assert page.socket.close_code == aiohttp.WSCloseCode.GOING_AWAY
        assert await asyncio.to_thread(shop.panel.wait) == 0
        assert "Traceback" not in shop.panel.output
        bundle = ClientBundle.load(Path(shop.host.environment["USBSHARE_HOME"]) / "client.pem")
        client = SerialClient(Target("127.0.0.1", shop.host.serial_port), bundle)
        try:
            port = await client.get_port("laser")
        finally:
            await client.close()
        assert (port.holder, port.hold, port.latched) == ("", None, False)
