"""A file that a page sends and cancels while the panel passes it on to its host."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest

from fakes.footprint import footprint, settled_footprint
from fakes.network import Network
from fakes.panel import HOST, TIMEOUT_S, PanelHost, panel_host
from usbshare.base.threads import in_thread

CONTENT = b"G1 X1 Y1 F3000 S100\nG1 X0 Y0\n" * 400_000
SLOW = 2_000_000.0
NUMBER = 1_000_000_007
AGAIN_S = 0.3


@pytest.fixture
async def network() -> AsyncIterator[list[Network]]:
    made: list[Network] = []
    yield made
    for each in made:
        await each.close()


async def post(shop: PanelHost) -> dict[str, str]:
    """Send the file as a page does; return the answer."""
    query = {"host": HOST, "port": "laser", "name": "large.nc", "progress": str(NUMBER)}
    headers = {"Origin": shop.origin, "X-Usbshare": "1"}
    address, timeout = f"{shop.origin}/upload", aiohttp.ClientTimeout(total=None)
    async with shop.http.post(
        address, params=query, data=io.BytesIO(CONTENT), headers=headers, timeout=timeout
    ) as reply:
        answer: dict[str, str] = json.loads(await reply.text())
        return answer


async def test_an_upload_that_is_cancelled_ends_on_both_sides_and_can_be_taken_up(
    tmp_path: Path, network: list[Network]
) -> None:
    async def through(port: int) -> int:
        network.append(Network(f"127.0.0.1:{port}"))
        await network[0].start()
        return int(network[0].target.rpartition(":")[2])

    async with panel_host(tmp_path, jobs_through=through) as shop, shop.ready_page() as page:
        await page.until(
            lambda: page.hosts[HOST].get("job", {}).get("state") == "SERVICE_STATE_CONNECTED"
        )
        before = await in_thread(footprint, shop.panel)
        (slow,) = network
        slow.up.bytes_per_s = SLOW

        def host_has_some() -> bool:
            told = [int(each["progress"]["done"]) for each in page.events if "progress" in each]
            # The panel counts what it has, then what the host has: a third of it, so that the rest
            # is less than all together with what was on its way as the page went.
            return bool(told) and max(told) > len(CONTENT) * 4 / 3

        sending = asyncio.create_task(post(shop))
        await page.until(host_has_some)
        slow.black_hole()  # the host takes nothing more, and does not hear of the end
        sending.cancel()
        await asyncio.wait([sending])
        after = await in_thread(settled_footprint, shop.panel, before.descriptors)
        assert after.descriptors <= before.descriptors
        slow.heal()
        (part,) = await kept(shop)
        assert 0 < part.stat().st_size < len(CONTENT)
        assert part.name.startswith(sha256(CONTENT).hexdigest())
        passed = slow.up.passed_bytes
        async with asyncio.timeout(TIMEOUT_S):
            while "sizeBytes" not in (answer := await post(shop)):  # noqa: ASYNC110
                await asyncio.sleep(AGAIN_S)  # the panel has yet to hear of the host again
        assert answer["sizeBytes"] == str(len(CONTENT))
        assert slow.up.passed_bytes - passed < len(CONTENT)  # only the rest
        assert not list(shop.host.folder.rglob("*.part"))


async def kept(shop: PanelHost) -> list[Path]:
    """Return what the host keeps of files that are not whole."""
    return await in_thread(lambda: list(shop.host.folder.rglob("*.part")))
