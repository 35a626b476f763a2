"""HOLD and EMERGENCY: on every page, by mouse, finger and keys; honest when they do not work."""

from __future__ import annotations

from itertools import product

import pytest
from playwright.async_api import Browser, Page, expect

from fakes.panel_gateway import FakeGateway, fake_gateway
from fakes.panel_page import PHONE, WIDE, finger, middle, panel_page
from fakes.panel_snapshots import KEY, MILL, machine, ms, workshop
from fakes.waiting import until
from usbshare.page.v1 import page_pb2
from usbshare.serial.v1 import serial_pb2

HOLD = serial_pb2.STOP_ACTION_HOLD
EMERGENCY = serial_pb2.STOP_ACTION_EMERGENCY_STOP
PAGES = ["hosts", "machine", "jobs", "ports", "access", "doctor", "latency", "more", "nonsense"]
ANSWER = "#stop-bar [role=status]"


def stopped(request: page_pb2.Request) -> page_pb2.Answer:
    """Answer as a host does that wrote the bytes."""
    is_emergency = request.stop.action == EMERGENCY
    response = serial_pb2.StopResponse(
        epoch=8, latched=is_emergency, sent=b"\x18" if is_emergency else b"!", write_delay=ms(1.4)
    )
    return page_pb2.Answer(stop=page_pb2.StopDone(response=response, round_trip=ms(3)))


def actions(gateway: FakeGateway) -> list[tuple[str, int]]:
    """Return what was asked to stop, and how, in order."""
    return [(each.stop.machine.port_id, each.stop.action) for _, each in gateway.requests("stop")]


async def slide(page: Page, part: float) -> None:
    """Press the red button with a mouse and slide it so far."""
    box = await page.locator("#emergency").bounding_box()
    assert box is not None
    x, y = box["x"] + 30, box["y"] + box["height"] / 2
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.mouse.move(x + (box["width"] - 72) * part / 2, y)
    await page.mouse.move(x + (box["width"] - 72) * part, y)
    await page.mouse.up()


async def test_hold_acts_when_it_is_pressed_and_shows_the_measured_time(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        gateway.answers["stop"] = stopped
        await expect(page.locator("#hold")).to_be_enabled()
        await page.mouse.move(*await middle(page, "#hold"))
        await page.mouse.down()
        await until(lambda: actions(gateway) == [("laser", HOLD)])
        await page.mouse.up()
        answer = page.locator(ANSWER)
        await expect(answer).to_contain_text("HOLD for Laser-Workshop / laser: answered in ")
        await expect(answer).to_contain_text(" ms; written to the machine after 1.4 ms")
        assert actions(gateway) == [("laser", HOLD)]


async def test_a_tap_or_half_a_slide_sends_no_emergency_stop(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        await expect(page.locator("#emergency")).to_be_enabled()
        await page.locator("#emergency").click()
        await page.locator("#emergency").dblclick()
        await slide(page, 0.7)
        await expect(page.locator(ANSWER)).to_contain_text("Slide the red button")
        await page.locator("#hold").click()
        await until(lambda: gateway.requests("stop"))
        assert actions(gateway) == [("laser", HOLD)]


async def test_a_full_slide_sends_one_emergency_stop(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        gateway.answers["stop"] = stopped
        await expect(page.locator("#emergency")).to_be_enabled()
        await slide(page, 1.2)
        await expect(page.locator(ANSWER)).to_contain_text(
            "accepts no programs until it is re-armed"
        )
        assert actions(gateway) == [("laser", EMERGENCY)]


async def test_a_finger_slides_on_a_phone(browser: Browser) -> None:
    async with (
        fake_gateway(workshop()) as gateway,
        panel_page(browser, gateway.url, PHONE) as page,
    ):
        gateway.answers["stop"] = stopped
        await expect(page.locator("#emergency")).to_be_enabled()
        touch = await finger(page)
        box = await page.locator("#emergency").bounding_box()
        assert box is not None
        y = box["y"] + box["height"] / 2
        await touch.down(box["x"] + 20, y)
        for part in range(1, 11):
            await touch.move(box["x"] + 20 + box["width"] * part / 10 - 10, y)
        await touch.up()
        await until(lambda: actions(gateway) == [("laser", EMERGENCY)])


async def test_a_touch_that_the_system_cancels_sends_no_emergency_stop(browser: Browser) -> None:
    async with (
        fake_gateway(workshop()) as gateway,
        panel_page(browser, gateway.url, PHONE) as page,
    ):
        await expect(page.locator("#emergency")).to_be_enabled()
        touch = await finger(page)
        box = await page.locator("#emergency").bounding_box()
        assert box is not None
        y = box["y"] + box["height"] / 2
        await touch.down(box["x"] + 20, y)
        await touch.move(box["x"] + 60, y)
        await touch.cancel()
        await expect(page.locator(ANSWER)).to_contain_text("Slide the red button")
        assert actions(gateway) == []


@pytest.mark.parametrize("key", ["Enter", " "])
async def test_emergency_by_keys_takes_two_presses_or_a_long_one(
    browser: Browser, key: str
) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        gateway.answers["stop"] = stopped
        await expect(page.locator("#emergency")).to_be_enabled()
        await page.locator("#emergency").focus()
        await page.keyboard.press(key)
        await expect(page.locator(ANSWER)).to_contain_text("Press again")
        assert actions(gateway) == []
        await page.keyboard.press(key)
        await until(lambda: len(actions(gateway)) == 1)
        await page.keyboard.down(key)
        await until(lambda: len(actions(gateway)) == 2)
        await page.keyboard.up(key)
        assert actions(gateway) == [("laser", EMERGENCY)] * 2


async def test_one_press_of_a_key_is_forgotten_when_the_focus_leaves(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        await expect(page.locator("#emergency")).to_be_enabled()
        await page.locator("#emergency").focus()
        await page.keyboard.press("Enter")
        await page.locator("#hold").focus()
        await page.locator("#emergency").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#emergency")).to_have_attribute("data-armed", "")
        assert actions(gateway) == []


async def test_a_screen_reader_activates_emergency_twice(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        await expect(page.locator("#emergency")).to_be_enabled()
        await page.evaluate("document.getElementById('emergency').click()")
        await expect(page.locator(ANSWER)).to_contain_text("Press again")
        await page.evaluate("document.getElementById('emergency').click()")
        await until(lambda: actions(gateway) == [("laser", EMERGENCY)])


async def test_escape_twice_holds_but_not_while_somebody_types(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        await page.get_by_label("Address").fill("las")
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")
        await page.locator("h1").click()
        await page.keyboard.press("Escape")
        await page.keyboard.press("Escape")
        await until(lambda: gateway.requests("stop"))
        assert actions(gateway) == [("laser", HOLD)]


async def test_hold_and_emergency_are_first_in_the_order_of_tab(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        await expect(page.locator("#hold")).to_be_enabled()
        await page.evaluate("document.activeElement.blur()")
        reached = []
        for _ in range(2):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate("document.activeElement.id"))
        assert reached == ["hold", "emergency"]


async def test_both_buttons_can_be_reached_on_every_page(browser: Browser) -> None:
    sizes = [PHONE, (740, 360), (768, 1024), WIDE, (1600, 1000)]
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        await expect(page.locator("#hold")).to_be_enabled()
        for size, name in product(sizes, PAGES):
            await page.set_viewport_size({"width": size[0], "height": size[1]})
            await page.goto(f"{gateway.url}#/{name}")
            await page.mouse.wheel(0, 3000)
            for button in ("#hold", "#emergency"):
                x, y = await middle(page, button)
                assert 0 < x < size[0]
                assert 0 < y < size[1]
                top = await page.evaluate(
                    "([x, y]) => document.elementFromPoint(x, y).closest('button').id", [x, y]
                )
                assert f"#{top}" == button, (size, name)


async def test_both_buttons_work_while_a_dialog_is_open(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        gateway.answers["stop"] = stopped
        gateway.answers["add_host"] = lambda _: page_pb2.Answer(
            failure=page_pb2.Failure(text="a code is needed", needs_second_factor=True)
        )
        other = workshop(hosts=[page_pb2.Host(key="added", name="Added", is_added=True)])
        gateway.snapshot.CopyFrom(other)
        await gateway.drop()
        await page.get_by_role("button", name="Forget this host").click()
        await expect(page.get_by_role("dialog")).to_be_visible()
        await page.locator("#hold").click()
        await slide(page, 1.2)
        await until(lambda: actions(gateway) == [("laser", HOLD), ("laser", EMERGENCY)])


async def test_the_machine_to_stop_is_shown_and_can_be_chosen(browser: Browser) -> None:
    snapshot = workshop(machine(), machine(MILL))
    async with fake_gateway(snapshot) as gateway, panel_page(browser, gateway.url) as page:
        which = page.get_by_label("The machine that HOLD and EMERGENCY stop")
        await expect(which.locator("option:checked")).to_have_text("Stops Laser-Workshop / laser")
        await which.select_option(label="Stops Laser-Workshop / mill")
        await page.locator("#hold").click()
        await until(lambda: actions(gateway) == [("mill", HOLD)])
        await page.goto(f"{gateway.url}#/machine/laser-host/laser")
        await expect(which.locator("option:checked")).to_have_text("Stops Laser-Workshop / laser")


async def test_a_machine_that_is_gone_is_not_replaced_by_another(browser: Browser) -> None:
    snapshot = workshop(machine(), machine(MILL))
    async with fake_gateway(snapshot) as gateway, panel_page(browser, gateway.url) as page:
        await expect(page.locator("#hold")).to_be_enabled()
        gateway.answers["stop"] = lambda _: page_pb2.Answer(
            failure=page_pb2.Failure(text="there is no machine laser")
        )
        await gateway.send(machine_removed=KEY)
        bar = page.locator("#stop-bar")
        await expect(bar).to_contain_text("The panel no longer knows this machine.")
        await page.locator("#hold").click()
        await expect(bar).to_contain_text("HOLD for Laser-Workshop / laser FAILED")
        assert actions(gateway) == [("laser", HOLD)]
        await gateway.send(machine_changed=machine())
        await expect(bar.locator("option:checked")).to_have_text("Stops Laser-Workshop / laser")


async def test_without_a_machine_there_is_nothing_to_stop(browser: Browser) -> None:
    empty = page_pb2.Snapshot()
    async with fake_gateway(empty) as gateway, panel_page(browser, gateway.url) as page:
        await expect(page.locator("#stop-bar")).to_contain_text("No machine to stop")
        await expect(page.locator("#hold")).to_be_disabled()


async def test_a_failure_is_shown_with_what_to_do(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        failure = page_pb2.Failure(
            text="laser:50051 cannot be reached.", layer=page_pb2.LAYER_NETWORK
        )
        gateway.answers["stop"] = lambda _: page_pb2.Answer(failure=failure)
        await page.locator("#hold").click()
        answer = page.locator(ANSWER)
        await expect(answer).to_contain_text("FAILED. Use the machine's own emergency stop.")
        await expect(answer).to_contain_text("laser:50051 cannot be reached.")


@pytest.mark.parametrize("size", [PHONE, WIDE])
async def test_an_answer_moves_nothing_that_may_be_under_a_finger(
    browser: Browser, size: tuple[int, int]
) -> None:
    address = "#/machine/laser-host/laser"
    async with (
        fake_gateway(workshop()) as gateway,
        panel_page(browser, gateway.url + address, size) as page,
    ):
        gateway.answers["stop"] = stopped
        await expect(page.locator("#hold")).to_be_enabled()
        watched = ["#hold", "#emergency", "h1", ".jog-stop"]
        before = [await page.locator(each).bounding_box() for each in watched]
        await page.locator("#emergency").focus()
        await page.keyboard.press("Enter")
        await page.keyboard.press("Enter")
        await expect(page.locator(ANSWER)).to_contain_text("until it is re-armed")
        assert [await page.locator(each).bounding_box() for each in watched] == before


async def test_a_missing_answer_is_shown(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        gateway.answers["stop"] = lambda _: None
        await page.locator("#hold").click()
        await expect(page.locator(ANSWER)).to_contain_text("No answer yet to HOLD")


async def test_a_stop_without_a_connection_is_never_kept_for_later(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        await expect(page.locator("#hold")).to_be_enabled()
        gateway.is_refusing = True
        await gateway.drop()
        answer = page.locator(ANSWER)
        await expect(answer).to_contain_text("HOLD and EMERGENCY do not work")
        await page.locator("#hold").click()
        await expect(answer).to_contain_text("NOT SENT")
        gateway.is_refusing = False
        await expect(page.locator("#stop-bar")).not_to_have_attribute("data-down", "")
        await page.get_by_role("link", name="Doctor").click()
        await until(lambda: any(each[1].WhichOneof("action") == "show" for each in gateway.heard))
        assert actions(gateway) == []


async def test_a_stop_during_a_short_gap_is_sent_once_it_is_over(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        gateway.answers["stop"] = stopped
        await expect(page.locator("#hold")).to_be_enabled()
        gateway.is_refusing = True
        await gateway.drop()
        await expect(page.locator(ANSWER)).to_contain_text("do not work")
        await page.locator("#hold").click()
        gateway.is_refusing = False
        await expect(page.locator(ANSWER)).to_contain_text("answered in")
        assert actions(gateway) == [("laser", HOLD)]


async def test_a_gateway_that_has_frozen_is_noticed(browser: Browser) -> None:
    async with fake_gateway(workshop()) as gateway, panel_page(browser, gateway.url) as page:
        await expect(page.locator("#hold")).to_be_enabled()
        gateway.is_frozen = True
        gateway.is_refusing = True
        await expect(page.locator(ANSWER)).to_contain_text("do not work")
