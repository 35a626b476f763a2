"""Jobs from a page: upload, analysis, preview, queue, run, hold, resume, cancel, history."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any

import pytest

from fakes.job_host import PROGRAM, SHORT
from fakes.panel import HOST, Page, PanelHost, panel_host

BOX = {"minXMm": 0, "minYMm": 0, "maxXMm": 2, "maxYMm": 1}


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PanelHost]:
    async with panel_host(tmp_path_factory.mktemp("shop")) as running:
        yield running


async def upload(shop: PanelHost, content: bytes, **more: Any) -> tuple[int, dict[str, Any]]:
    """Send a file as a page does; return status and answer."""
    headers = {"Origin": shop.origin, "X-Usbshare": "1"} | more.pop("headers", {})
    query = {"host": HOST, "port": "laser", "name": "part.gcode"} | more
    address = f"{shop.origin}/upload"
    async with shop.http.post(address, params=query, data=content, headers=headers) as reply:
        return reply.status, json.loads(await reply.text())


async def call(page: Page, **what: Any) -> dict[str, Any]:
    """Call the job service; return the reply to that call."""
    answer = await page.ask(jobCall={"host": HOST, **what})
    assert "failure" not in answer, answer
    (reply,) = answer["job"].values()
    found: dict[str, Any] = reply
    return found


async def enqueued(shop: PanelHost, page: Page, content: bytes) -> dict[str, Any]:
    """Have a job of a file in the queue."""
    _, file = await upload(shop, content)
    order = {"portId": "laser", "sha256": file["sha256"], "name": "part.gcode"}
    job: dict[str, Any] = (await call(page, enqueue=order))["job"]
    await page.until(lambda: job["jobId"] in page.jobs)
    return job


@pytest.fixture
async def page(shop: PanelHost) -> AsyncIterator[Page]:
    async with shop.ready_page() as opened:
        await opened.until(
            lambda: opened.hosts[HOST].get("job", {}).get("state") == "SERVICE_STATE_CONNECTED"
        )
        yield opened


async def test_a_file_is_uploaded_analysed_and_drawn(shop: PanelHost, page: Page) -> None:
    status, file = await upload(shop, SHORT, progress="1000000007")
    assert status == 200
    assert base64.b64decode(file["sha256"]) == sha256(SHORT).digest()
    assert file["sizeBytes"] == str(len(SHORT))
    told = [each["progress"] for each in page.events if "progress" in each]
    await page.until(lambda: told or any("progress" in each for each in page.events))
    analysis = await call(page, analyse={"sha256": file["sha256"], "portId": "laser"})
    assert analysis["box"]["maxXMm"] == 2
    assert float(analysis["duration"].rstrip("s")) > 0
    query = {"host": HOST, "port": "laser", "sha256": file["sha256"]}
    async with shop.http.get(f"{shop.origin}/preview", params=query) as reply:
        assert (await reply.read()).startswith(b"\x89PNG")
    async with shop.http.get(f"{shop.origin}/preview", params=query | {"format": "json"}) as reply:
        assert (await reply.json())["segments"]


async def test_a_file_that_is_not_gcode_is_refused_with_a_reason(
    shop: PanelHost, page: Page
) -> None:
    status, answer = await upload(shop, b"\x00\x01\x02 no program at all" * 100)
    assert status == 409
    assert answer["text"]
    async with shop.http.get(f"{shop.origin}/preview", params={"host": HOST, "sha256": "x"}) as bad:
        assert "SHA-256" in (await bad.json())["text"]
    unknown = await page.ask(jobCall={"host": HOST, "start": {"jobId": "4711"}})
    assert "4711" in unknown["failure"]["text"]


async def test_an_upload_from_another_page_is_refused(shop: PanelHost) -> None:
    headers = {"Origin": shop.origin}
    async with shop.http.post(f"{shop.origin}/upload?host={HOST}", headers=headers) as reply:
        assert "X-Usbshare" in await reply.text()
    headers = {"Origin": "http://evil.example", "X-Usbshare": "1"}
    async with shop.http.post(f"{shop.origin}/upload?host={HOST}", headers=headers) as reply:
        assert reply.status == 403


async def test_a_job_runs_to_its_end_and_into_the_history(shop: PanelHost, page: Page) -> None:
    job = await enqueued(shop, page, SHORT)
    assert page.jobs[job["jobId"]]["state"] == "JOB_STATE_QUEUED"
    await call(page, start={"jobId": job["jobId"]})
    await page.until(lambda: job["jobId"] not in page.jobs)
    history = await call(page, listHistory={"portId": "laser"})
    assert history["jobs"][0]["jobId"] == job["jobId"]
    assert history["jobs"][0]["state"] == "JOB_STATE_FINISHED"


async def test_a_job_is_held_resumed_and_cancelled(shop: PanelHost, page: Page) -> None:
    job = await enqueued(shop, page, PROGRAM)
    other = await enqueued(shop, page, SHORT)
    await call(page, reorder={"jobId": other["jobId"], "place": 1})
    await page.until(lambda: page.jobs[job["jobId"]].get("place") == 2)
    await call(page, start={"jobId": job["jobId"]})
    await page.until(lambda: page.jobs[job["jobId"]]["state"] == "JOB_STATE_RUNNING")
    await page.until_laser(lambda laser: laser["controlState"] == "CONTROL_STATE_OTHER")
    refused = await page.ask(home={"machine": {"host": HOST, "portId": "laser"}})
    assert refused["failure"]["isHeldByOther"]
    await call(page, hold={"jobId": job["jobId"]})
    await page.until(lambda: page.jobs[job["jobId"]]["state"] == "JOB_STATE_HELD")
    held = page.jobs[job["jobId"]]
    await call(page, resume={"jobId": job["jobId"], "holdNumber": held["holdNumber"]})
    await page.until(lambda: page.jobs[job["jobId"]]["state"] == "JOB_STATE_RUNNING")
    await call(page, cancel={"jobId": job["jobId"]})
    await page.until(lambda: job["jobId"] not in page.jobs)
    await call(page, delete={"jobId": other["jobId"]})
    await page.until(lambda: other["jobId"] not in page.jobs)
