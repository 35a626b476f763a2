"""A jog lives only while a finger, a mouse button or a key is down and the page lives."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from fakes.panel_gateway import FakeGateway, fake_gateway
from fakes.panel_page import PHONE, WIDE, finger, panel_page
from fakes.panel_snapshots import KEY, machine, workshop
from fakes.waiting import until
from usbshare.page.v1 import page_pb2

QUIET_S = 0.3  # renewals come every 40 ms: several would have come


@asynccontextmanager
async def motion(
    browser: Browser, size: tuple[int, int] = WIDE, *, held: bool = True
) -> AsyncIterator[tuple[FakeGateway, Page]]:
    """Show the machine's page, its jog pad in sight."""
    async with (
        fake_gateway(workshop()) as gateway,
        panel_page(browser, f"{gateway.url}#/machine/laser-host/laser", size) as page,
    ):
        await expect(arrow(page)).to_be_enabled()
        if held:
            await page.get_by_role("radio", name="While held").check()
        await arrow(page).scroll_into_view_if_needed()
        yield gateway, page


def arrow(page: Page, name: str = "X plus") -> Locator:
    """Return the button of a direction."""
    return page.get_by_role("button", name=name, exact=True)


async def press(page: Page, name: str = "X plus") -> None:
    """Press a direction with the mouse, and keep it pressed."""
    box = await arrow(page, name).bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + 20, box["y"] + 20)
    await page.mouse.down()


async def moves(gateway: FakeGateway) -> page_pb2.Jog:
    """Wait until the page renews a jog; returns how it began."""
    await until(lambda: len(gateway.requests("jog")) >= 3)
    return gateway.requests("jog")[0][1].jog


async def rests(gateway: FakeGateway) -> None:
    """Wait until the page ended the jog, and see that it is not renewed any more."""
    await until(lambda: gateway.requests("end_jog"))
    count = len(gateway.requests("jog"))
    ended_at = time.monotonic()
    await until(lambda: time.monotonic() - ended_at > QUIET_S)
    assert len(gateway.requests("jog")) == count
    leases = {each.jog.lease for _, each in gateway.requests("jog")}
    assert {each.end_jog.lease for _, each in gateway.requests("end_jog")} >= leases


async def test_a_press_moves_and_its_release_ends_it(browser: Browser) -> None:
    async with motion(browser) as (gateway, page):
        await press(page)
        jog = await moves(gateway)
        assert (jog.machine, jog.x, jog.y, jog.z, jog.feed) == (KEY, 1, 0, 0, 1500)
        await page.mouse.up()
        await rests(gateway)


async def test_renewals_need_no_answer_and_name_the_same_press(browser: Browser) -> None:
    async with motion(browser) as (gateway, page):
        await press(page, "X minus, Y plus")
        await moves(gateway)
        await page.mouse.up()
        await rests(gateway)
        jogs = [each for _, each in gateway.requests("jog")]
        assert jogs[0].id != 0
        assert {each.id for each in jogs[1:]} == {0}
        assert len({each.jog.lease for each in jogs}) == 1
        assert abs(jogs[0].jog.x ** 2 + jogs[0].jog.y ** 2 - 1) < 1e-9


async def blur(page: Page) -> None:
    await page.evaluate("window.dispatchEvent(new Event('blur'))")


async def hide(page: Page) -> None:
    await page.evaluate(
        "Object.defineProperty(document, 'hidden', {configurable: true, get: () => true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )


async def stray(page: Page) -> None:
    await page.mouse.move(5, 300)


async def leave(page: Page) -> None:
    await page.evaluate("location.hash = '#/hosts'")


async def cancel_pointer(page: Page) -> None:
    await page.evaluate(
        "document.querySelector('[data-moving]').dispatchEvent(new PointerEvent('pointercancel'))"
    )


async def lose_capture(page: Page) -> None:
    await page.evaluate(
        "document.querySelector('[data-moving]')"
        ".dispatchEvent(new PointerEvent('lostpointercapture'))"
    )


@pytest.mark.parametrize("release", [blur, hide, stray, leave, cancel_pointer, lose_capture])
async def test_anything_that_may_be_a_release_counts_as_one(
    browser: Browser, release: Callable[[Page], Awaitable[None]]
) -> None:
    async with motion(browser) as (gateway, page):
        await press(page)
        await moves(gateway)
        await release(page)
        await rests(gateway)


async def test_a_finger_moves_and_its_release_ends_it(browser: Browser) -> None:
    async with motion(browser, PHONE) as (gateway, page):
        box = await arrow(page).bounding_box()
        assert box is not None
        touch = await finger(page)
        await touch.down(box["x"] + 20, box["y"] + 20)
        await moves(gateway)
        await touch.up()
        await rests(gateway)


async def test_a_touch_that_the_system_cancels_ends_the_jog(browser: Browser) -> None:
    async with motion(browser, PHONE) as (gateway, page):
        box = await arrow(page, "Y minus").bounding_box()
        assert box is not None
        touch = await finger(page)
        await touch.down(box["x"] + 20, box["y"] + 20)
        await moves(gateway)
        await touch.cancel()
        await rests(gateway)


async def test_a_reload_during_a_jog_starts_no_new_one(browser: Browser) -> None:
    async with motion(browser) as (gateway, page):
        await press(page)
        await moves(gateway)
        await page.reload()
        await expect(arrow(page)).to_be_enabled()
        count = len(gateway.requests("jog"))
        assert gateway.requests("end_jog")
        await page.get_by_role("link", name="Hosts").click()
        await until(lambda: gateway.requests("show"))
        assert len(gateway.requests("jog")) == count


async def test_a_lost_connection_ends_it_for_good(browser: Browser) -> None:
    async with motion(browser) as (gateway, page):
        await press(page)
        await moves(gateway)
        await gateway.drop()
        await expect(page.locator("[data-moving]")).to_have_count(0)
        count = len(gateway.requests("jog"))
        await expect(page.locator("#stop-bar")).not_to_have_attribute("data-down", "")
        seen_at = time.monotonic()
        await until(lambda: time.monotonic() - seen_at > QUIET_S)
        assert len(gateway.requests("jog")) == count


async def test_a_jog_that_the_gateway_ended_is_not_renewed(browser: Browser) -> None:
    async with motion(browser) as (gateway, page):
        await press(page)
        jog = await moves(gateway)
        ended = page_pb2.JogEnded(machine=KEY, lease=jog.lease, reason="ALARM:1 Hard limit")
        await gateway.send(jog_ended=ended)
        await rests(gateway)
        await expect(page.get_by_text("ALARM:1 Hard limit")).to_be_visible()


async def test_a_pad_that_is_disabled_during_a_press_is_released(browser: Browser) -> None:
    async with motion(browser) as (gateway, page):
        await press(page)
        await moves(gateway)
        taken = machine(control_state=page_pb2.CONTROL_STATE_OTHER, control_reason="taken")
        await gateway.change(taken)
        await rests(gateway)


async def test_a_release_is_seen_though_the_button_is_disabled(browser: Browser) -> None:
    async with motion(browser) as (gateway, page):
        await press(page)
        await moves(gateway)
        await page.evaluate("document.querySelector('[data-moving]').disabled = true")
        await page.mouse.up()
        await rests(gateway)


@pytest.mark.parametrize(
    ("key", "direction"),
    [("ArrowUp", (0, 1, 0)), ("ArrowLeft", (-1, 0, 0)), ("PageDown", (0, 0, -1))],
)
async def test_a_key_moves_while_it_is_down(
    browser: Browser, key: str, direction: tuple[int, int, int]
) -> None:
    async with motion(browser) as (gateway, page):
        await arrow(page).focus()
        await page.keyboard.down(key)
        jog = await moves(gateway)
        assert [jog.x, jog.y, jog.z] == list(direction)
        await page.keyboard.up(key)
        await rests(gateway)


async def test_a_key_whose_button_loses_the_focus_is_released(browser: Browser) -> None:
    async with motion(browser) as (gateway, page):
        await arrow(page).focus()
        await page.keyboard.down("Enter")
        await moves(gateway)
        await page.locator("#hold").focus()
        await rests(gateway)
        await page.keyboard.up("Enter")


async def test_a_step_is_one_request_for_each_press(browser: Browser) -> None:
    async with motion(browser, held=False) as (gateway, page):
        await page.get_by_label("Feed, mm/min").fill("3000")
        await arrow(page, "Y minus").click()
        await arrow(page).focus()
        await page.keyboard.press("PageUp")
        await until(lambda: len(gateway.requests("jog_step")) == 2)
        steps = [each.jog_step for _, each in gateway.requests("jog_step")]
        assert [(each.x_mm, each.y_mm, each.z_mm, each.feed) for each in steps] == [
            (0, -10, 0, 3000),
            (0, 0, 10, 3000),
        ]
        assert gateway.requests("jog") == []


async def test_a_key_that_stays_down_is_one_step(browser: Browser) -> None:
    async with motion(browser, held=False) as (gateway, page):
        await arrow(page).focus()
        for key in ["Enter", "ArrowUp"]:
            for _ in range(5):  # the first is a press, the others repeat it
                await page.keyboard.down(key)
            await page.keyboard.up(key)
        await page.get_by_role("button", name="Set the work zero of X here").click()
        await until(lambda: gateway.requests("set_zero"))
        assert len(gateway.requests("jog_step")) == 2


async def test_a_confirmed_code_does_not_start_a_motion(browser: Browser) -> None:
    async with motion(browser) as (gateway, page):
        failure = page_pb2.Failure(text="a code is needed", needs_second_factor=True)
        gateway.answers["jog"] = lambda _: page_pb2.Answer(failure=failure)
        await press(page)
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.mouse.up()
        await rests(gateway)
        count = len(gateway.requests("jog"))
        await page.get_by_label("Six digits").fill("123456")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Confirmed. Press again to move.")).to_be_visible()
        assert gateway.requests("confirm")[0][1].confirm.code == "123456"
        assert len(gateway.requests("jog")) == count


async def test_the_pad_says_why_it_cannot_be_used(browser: Browser) -> None:
    reason = "held by operator (LightBurn) since 10:21"
    other = machine(
        control_state=page_pb2.CONTROL_STATE_OTHER,
        control_reason=reason,
    )
    async with (
        fake_gateway(workshop(other)) as gateway,
        panel_page(browser, f"{gateway.url}#/machine/laser-host/laser") as page,
    ):
        await expect(arrow(page)).to_be_disabled()
        described = await arrow(page).get_attribute("aria-describedby")
        await expect(page.locator(f"#{described}")).to_contain_text(reason)
