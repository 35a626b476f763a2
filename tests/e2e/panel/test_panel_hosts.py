"""A host that dies and comes back, a right that is missing, a second factor that is asked for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyotp

from fakes.panel import HOST, LASER, PanelHost, panel_host
from fakes.processes import run
from usbshare.client.serial.client import SerialClient
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

HOLD = {"machine": LASER, "action": "STOP_ACTION_HOLD"}
WATCHES_ONLY = '[[grants]]\nwho = ["operator"]\nrights = ["view"]\n'
WITH_CODE = (
    '[[grants]]\nwho = ["operator"]\nrights = ["control"]\nconfirm = "totp"\nconfirm_for = "1h"\n'
)


def set_policy(shop: PanelHost, policy: str) -> None:
    """Put a policy in force on the host."""
    path = Path(shop.host.environment["USBSHARE_HOME"]) / "policy.toml"
    path.write_text(policy, encoding="ascii")
    assert shop.host.serial is not None
    shop.host.serial.wait_for("the policy of .* is in force")


def new_app(shop: PanelHost) -> pyotp.TOTP:
    """Give the operator a second factor."""
    code, output = run(["serial-svc", "pki", "totp", "operator"], shop.host.home)
    assert code == 0, output
    app = pyotp.parse_uri(next(word for word in output.split() if word.startswith("otpauth://")))
    assert isinstance(app, pyotp.TOTP)
    return app


async def test_a_host_that_dies_is_reported_and_reconnected(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop, shop.ready_page() as page:
        assert shop.host.serial is not None
        shop.host.serial.process.kill()
        await page.until(lambda: page.hosts[HOST]["serial"]["state"] == "SERVICE_STATE_LOST")
        assert page.hosts[HOST]["serial"]["reason"]
        failed = await page.ask(stop=HOLD)
        assert failed["failure"]["layer"] == "LAYER_NETWORK"
        await asyncio.to_thread(shop.host.serial.stop)
        await asyncio.to_thread(shop.host.start_serial)
        await page.until(lambda: page.hosts[HOST]["serial"]["state"] == "SERVICE_STATE_CONNECTED")
        assert "stop" in await page.ask(stop=HOLD)


async def test_a_viewer_is_told_that_it_may_only_watch_and_stop(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop, shop.ready_page() as page:
        await asyncio.to_thread(set_policy, shop, WATCHES_ONLY)
        await page.until_laser(lambda laser: not laser["control"].get("isAllowed"))
        assert "may not control it" in page.laser["control"]["reason"]
        assert page.laser["stop"]["isAllowed"]
        refused = await page.ask(home={"machine": LASER})
        assert refused["failure"]["layer"] == "LAYER_HOST"
        assert "stop" in await page.ask(stop=HOLD)


async def test_a_code_is_requested_once_and_then_counts(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop, shop.ready_page() as page:
        await asyncio.to_thread(set_policy, shop, WITH_CODE)
        app = await asyncio.to_thread(new_app, shop)
        await page.until_laser(lambda laser: laser["control"].get("needsCode"))
        line = {"machine": LASER, "text": "G21"}
        async with asyncio.timeout(30):
            while True:  # until the host has read who has a second factor
                refused = (await page.ask(sendLine=line))["failure"]
                assert refused["needsSecondFactor"], refused
                if "needs a code" in refused["text"]:
                    break
        wrong = await page.ask(confirm={"host": HOST, "code": "12"})
        assert "wrong code" in wrong["failure"]["text"]
        nonsense = await page.ask(confirm={"host": HOST, "code": "abc"})
        assert nonsense["failure"]["layer"] == "LAYER_REQUEST"
        done = await page.ask(confirm={"host": HOST, "code": app.now()})
        assert "confirm" in done, done
        await page.until_laser(lambda laser: not laser["control"].get("needsCode"))
        assert (await page.ask(sendLine=line))["line"]["reply"] == "ok"


async def test_a_request_for_control_is_shown_and_granted_by_a_click(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop, shop.ready_page() as page:
        bundle = ClientBundle.load(Path(shop.host.environment["USBSHARE_HOME"]) / "client.pem")
        other = SerialClient(Target("127.0.0.1", shop.host.serial_port), bundle)
        try:
            await page.ask(takeControl={"machine": LASER})
            await page.until_laser(lambda laser: laser["controlState"] == "CONTROL_STATE_OURS")
            assert await other.request_control("laser", "bench-3")
        finally:
            await other.close()
        asked = await page.until(lambda: [each for each in page.events if "controlAsked" in each])
        assert "bench-3" in asked[0]["controlAsked"]["who"]
        answer = {"machine": LASER, "handsOver": False}
        assert "failure" not in await page.ask(answerControlRequest=answer)
        assert page.laser["controlState"] == "CONTROL_STATE_OURS"
        await page.ask(answerControlRequest={**answer, "handsOver": True})
        await page.until_laser(lambda laser: laser["controlState"] == "CONTROL_STATE_FREE")
