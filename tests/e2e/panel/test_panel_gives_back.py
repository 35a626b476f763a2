"""Control that is given back leaves a machine that is dark and at rest. Real panel and services."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from fakes.job_host import PROGRAM, enqueued
from fakes.panel import LASER, Page, PanelHost, panel_host, state_of
from fakes.waiting import until
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.messages import RemotePort
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

LARGE = {"minXMm": 0, "minYMm": 0, "maxXMm": 200, "maxYMm": 200}
SMALL = {"minXMm": 0, "minYMm": 0, "maxXMm": 2, "maxYMm": 2}
LIT = {"frame": {"machine": LASER, "box": LARGE, "feed": 600, "powerPercent": 5}}
DARK = {"frame": {"machine": LASER, "box": LARGE, "feed": 600}}
HOMING = {"home": {"machine": LASER}}
CONSOLE = {"sendLine": {"machine": LASER, "text": "G1 X200 F600"}}
WAYS = ["release", "hand over", "end", "interrupt"]
WHY = {
    "release": "control was released",
    "hand over": "control was handed over",
    "end": "the panel is stopping",
    "interrupt": "the panel is stopping",
}
RESET, JOG_CANCEL = b"\x18", b"\x85"


@pytest.fixture
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PanelHost]:
    async with panel_host(tmp_path_factory.mktemp("shop")) as running:
        yield running


def events(shop: PanelHost) -> list[dict[str, Any]]:
    """Return what the machine lived through."""
    return [json.loads(line) for line in shop.host.record.read_text().splitlines()]


def beam(shop: PanelHost) -> float:
    """Return the power of the beam now."""
    return float(next((each["beam"] for each in reversed(events(shop)) if "beam" in each), 0.0))


async def port_of(shop: PanelHost) -> RemotePort:
    """Return the port as its host has it."""
    bundle = ClientBundle.load(Path(shop.host.environment["USBSHARE_HOME"]) / "client.pem")
    client = SerialClient(Target("127.0.0.1", shop.host.serial_port), bundle)
    try:
        return await client.get_port("laser")
    finally:
        await client.close()


async def begin(shop: PanelHost, page: Page, what: dict[str, Any]) -> None:
    """Have the machine in the middle of something."""
    for line in ("$32=1", "$22=1", "$130=2000", "$131=2000", "$24=100", "$25=300"):
        await page.ask(sendLine={"machine": LASER, "text": line})
    await page.ask(show={"consoles": [LASER]})
    await page.send(**what)
    wanted = "Run" if what is CONSOLE else "Jog"
    if what is LIT:
        await until(lambda: beam(shop) > 0)
    elif what is HOMING:  # of which GRBL reports nothing
        await until(lambda: b"$H" in shop.host.received())
    else:
        await page.until_laser(lambda laser: state_of(laser) == wanted)


async def give_back(shop: PanelHost, page: Page, way: str) -> None:
    """End the panel's control, in one of the ways."""
    if way == "release":
        assert "failure" not in await page.ask(releaseControl={"machine": LASER})
    elif way == "hand over":
        answer = {"machine": LASER, "handsOver": True}
        assert "failure" not in await page.ask(answerControlRequest=answer)
    else:
        shop.panel.process.send_signal(signal.SIGTERM if way == "end" else signal.SIGINT)
        with suppress(AssertionError):
            await page.until(lambda: False)
        assert await asyncio.to_thread(shop.panel.wait) in (0, 130)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("what", "ended_by"),
    [
        pytest.param(LIT, RESET, id="lit frame"),
        pytest.param(HOMING, RESET, id="homing"),
        pytest.param(CONSOLE, RESET, id="console"),
        pytest.param(DARK, JOG_CANCEL, id="dark frame"),
    ],
)
async def test_what_the_panel_moves_ends_before_control_is_given_back(
    shop: PanelHost, what: dict[str, Any], ended_by: bytes, way: str
) -> None:
    async with shop.ready_page() as page:
        await begin(shop, page, what)
        before = len(shop.host.received())
        await give_back(shop, page, way)
        assert ended_by in shop.host.received()[before:]
        assert beam(shop) == 0
        port = await port_of(shop)
        assert (port.holder, port.latch) == ("", None)
        texts = [line["text"] for line in page.lines]
        assert any(text.endswith(f"was ended: {WHY[way]}") for text in texts), texts
        if way in ("release", "hand over"):
            await page.until_laser(lambda laser: laser["controlState"] == "CONTROL_STATE_FREE")
            await page.until_laser(lambda laser: state_of(laser) in ("Idle", "Alarm"))


async def test_a_held_frame_is_over_once_control_is_released(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await begin(shop, page, LIT)
        await page.ask(stop={"machine": LASER, "action": "STOP_ACTION_HOLD"})
        held = (await page.until_laser(lambda laser: laser["port"].get("hold")))["port"]
        await give_back(shop, page, "release")
        port = await port_of(shop)
        assert (port.hold is None or port.hold.cause == "alarm", port.latch) == (True, None)
        resume = {"machine": LASER, "action": "STOP_ACTION_RESUME", **_seen(held)}
        await page.ask(stop=resume)
        assert beam(shop) == 0
        await page.until_laser(lambda laser: state_of(laser) in ("Idle", "Alarm"))


async def test_the_hosts_log_says_that_it_was_reset(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await begin(shop, page, LIT)
        await page.ask(show={"audits": [{"host": "shop"}]})
        await give_back(shop, page, "release")
        entries: list[str] = []

        def told() -> bool:
            entries[:] = [
                entry["what"] + " " + entry.get("text", "")
                for event in page.events
                for entry in event.get("audit", {}).get("entries", ())
            ]
            return any("reset" in each for each in entries)

        await page.until(told)
        assert any("hold" in each for each in entries)


async def test_after_a_frame_another_may_have_the_machine_at_once(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        job = await enqueued(shop.host.jobs(), PROGRAM, port_id="laser")
        frame = {"machine": LASER, "box": SMALL, "feed": 6000}
        assert "failure" not in await page.ask(frame=frame)
        start = {"jobId": str(job.job_id), "despiteErrors": True}
        assert "failure" not in await page.ask(jobCall={"host": "shop", "start": start})
        await page.ask(jobCall={"host": "shop", "cancel": {"jobId": str(job.job_id)}})


async def test_a_job_is_handed_over_to_who_asks_for_its_machine(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        job = await enqueued(shop.host.jobs(), PROGRAM, port_id="laser")
        number = str(job.job_id)
        start = {"jobId": number, "despiteErrors": True}
        assert "failure" not in await page.ask(jobCall={"host": "shop", "start": start})
        await page.until(lambda: page.jobs[number]["state"] == "JOB_STATE_RUNNING")
        assert (await page.ask(requestControl={"machine": LASER}))["requestControl"]["told"]
        asked = await page.until(lambda: page.jobs[number].get("controlRequests"))
        assert "operator" in asked[0]["who"]
        answer = await page.ask(jobCall={"host": "shop", "handOver": {"jobId": number}})
        assert answer["job"]["handOver"]["job"]["state"] == "JOB_STATE_INTERRUPTED"
        assert "failure" not in await page.ask(takeControl={"machine": LASER})


async def test_a_frame_does_not_give_back_what_a_person_took(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await page.ask(takeControl={"machine": LASER})
        frame = {"machine": LASER, "box": SMALL, "feed": 6000}
        assert "failure" not in await page.ask(frame=frame)
        assert (await port_of(shop)).holder != ""


async def test_what_waits_for_its_turn_does_not_take_control_again(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await page.ask(takeControl={"machine": LASER})
        numbers = [
            await page.send(sendLine={"machine": LASER, "text": text})
            for text in ("G4 P30", "G0 X5", "G0 X6")
        ]
        await until(lambda: b"G4" in shop.host.received())
        await page.ask(releaseControl={"machine": LASER})
        await page.until(lambda: all(each in page.answers for each in numbers))
        assert all("failure" in page.answers[each] for each in numbers)
        assert (await port_of(shop)).holder == ""
        assert b"G0 X" not in shop.host.received()


async def test_a_resume_from_the_console_names_the_hold_that_was_seen(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        hold = {"machine": LASER, "action": "STOP_ACTION_HOLD"}
        await page.ask(takeControl={"machine": LASER})
        await page.ask(stop=hold)
        first = (await page.until_laser(lambda laser: laser["port"].get("hold")))["port"]
        await page.ask(stop=hold)
        second = await page.until_laser(
            lambda laser: laser["port"]["holdNumber"] != first["holdNumber"]
        )
        for seen in ({}, _seen(first)):
            answer = await page.ask(sendLine={"machine": LASER, "text": "~", **seen})
            assert "failure" in answer, answer
        assert b"~" not in shop.host.received()
        line = {"machine": LASER, "text": "~", **_seen(second["port"])}
        assert "failure" not in await page.ask(sendLine=line)
        await page.until_laser(lambda laser: not laser["port"].get("hold"))
        assert b"~" in shop.host.received()


def _seen(port: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": port["epoch"], "holdNumber": port["holdNumber"]}
