"""A page sees a host and its machine, and stops it: real panel, services and certificates."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from fakes.panel import HOST, LASER, PanelHost, panel_host


@pytest.fixture(scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[PanelHost]:
    async with panel_host(tmp_path_factory.mktemp("shop")) as running:
        yield running


async def test_a_page_is_shown_its_host_machine_and_rights(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await page.until(lambda: page.hosts[HOST].get("job", {}).get("state"))
        host, laser = page.hosts[HOST], page.laser
        assert "snapshot" in page.events[0]
        assert page.events[0]["snapshot"]["isLocalPage"]
        assert page.gateway["identity"].startswith("usbshare://")
        assert host["relation"] == "SITE_RELATION_OWN"
        assert host["serial"]["state"] == host["job"]["state"] == "SERVICE_STATE_CONNECTED"
        await page.until(lambda: "roundTrip" in page.hosts[HOST])
        assert laser["port"]["profile"] == "PROFILE_GRBL"
        assert laser["stop"]["isAllowed"]
        assert laser["controlState"] == "CONTROL_STATE_FREE"


async def test_a_stop_latches_and_rearming_releases(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        stop = {"machine": LASER, "action": "STOP_ACTION_EMERGENCY_STOP"}
        done = (await page.ask(stop=stop))["stop"]
        assert done["response"]["latched"]
        assert float(done["roundTrip"].rstrip("s")) > 0
        latched = await page.until_laser(lambda laser: laser["port"].get("latched"))
        assert latched["nextStep"] == "NEXT_STEP_REARM"
        assert "latched the port" in latched["condition"]
        epoch = latched["port"]["latch"]["epoch"]
        answer = await page.ask(rearm={"machine": LASER, "epoch": epoch})
        assert "failure" not in answer
        await page.until_laser(lambda laser: not laser["port"].get("latched"))


async def test_a_hold_is_shown_and_only_the_hold_that_was_seen_is_resumed(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        await page.ask(stop={"machine": LASER, "action": "STOP_ACTION_HOLD"})
        held = await page.until_laser(lambda laser: laser["port"].get("hold"))
        assert held["nextStep"] == "NEXT_STEP_RESUME"
        seen = {"epoch": held["port"]["epoch"], "holdNumber": held["port"]["holdNumber"]}
        late = {**seen, "holdNumber": "0"}
        resume = {"machine": LASER, "action": "STOP_ACTION_RESUME"}
        refused = await page.ask(stop={**resume, **late})
        assert "held again" in refused["failure"]["text"]
        done = await page.ask(stop={**resume, **seen})
        assert "stop" in done
        await page.until_laser(lambda laser: not laser["port"].get("hold"))


async def test_a_request_that_is_wrong_gets_one_clear_failure(shop: PanelHost) -> None:
    async with shop.ready_page() as page:
        unknown = await page.ask(stop={"machine": {**LASER, "portId": "x"}, "action": 4})
        assert "laser" in unknown["failure"]["text"]
        nobody = await page.ask(stop={"action": 4})
        assert nobody["failure"]["layer"] == "LAYER_REQUEST"
        nowhere = await page.ask(stop={"machine": {"host": "x", "portId": "y"}, "action": 4})
        assert "'x'" in nowhere["failure"]["text"]
        await page.tell(id=77, stop={"machine": 5})
        await page.until(lambda: 77 in page.answers)
        assert "page.proto" in page.answers[77]["failure"]["text"]
