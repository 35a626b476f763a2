"""The page of one machine: what it shows, what its buttons ask for, and why some cannot be used."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect

from fakes.panel_gateway import FakeGateway, fake_gateway
from fakes.panel_page import panel_page
from fakes.panel_snapshots import KEY, TIME, job, machine, ms, report, workshop
from fakes.waiting import until
from usbshare.job.v1 import job_pb2
from usbshare.page.v1 import page_pb2
from usbshare.serial.v1 import serial_pb2

BOX = job_pb2.Box(min_x_mm=10, min_y_mm=20, max_x_mm=60, max_y_mm=45)


@asynccontextmanager
async def shown(
    browser: Browser, snapshot: page_pb2.Snapshot
) -> AsyncIterator[tuple[FakeGateway, Page]]:
    """Show the page of the laser."""
    async with (
        fake_gateway(snapshot) as gateway,
        panel_page(browser, f"{gateway.url}#/machine/laser-host/laser") as page,
    ):
        await expect(page.locator("h1")).to_have_text("laser")
        yield gateway, page


async def asked(gateway: FakeGateway, action: str) -> page_pb2.Request:
    """Wait for a request of a kind; returns the first."""
    await until(lambda: gateway.requests(action))
    return gateway.requests(action)[0][1]


def latched() -> page_pb2.Machine:
    """Return the laser after an emergency stop."""
    latch = serial_pb2.Latch(
        cause=serial_pb2.LATCH_CAUSE_EMERGENCY_STOP, who="usbshare://s/bench-4", epoch=9
    )
    port = serial_pb2.Port(latched=True, latch=latch, epoch=11)
    return machine(
        port=port,
        condition="an emergency stop by bench-4 latches the port",
        next_step=page_pb2.NEXT_STEP_REARM,
    )


async def test_it_shows_what_the_machine_reports(browser: Browser) -> None:
    laser = machine(report=report("Hold", substate=0, spindle=250, pins="XD"))
    async with shown(browser, workshop(laser)) as (_, page):
        for text in ["Hold:0", "33.493", "-366.507", "S 250 (25 %)", "X limit, door"]:
            await expect(page.get_by_text(text, exact=True)).to_be_visible()


async def test_the_title_of_the_tab_says_what_the_machine_does(browser: Browser) -> None:
    async with shown(browser, workshop()) as (gateway, page):
        await expect(page).to_have_title("Idle · laser · Machine · usbshare")
        await gateway.change(machine(report=report("Run")))
        await expect(page).to_have_title("Run · laser · Machine · usbshare")
        await page.get_by_role("link", name="Doctor").click()
        await expect(page).to_have_title("Run · laser · Doctor · usbshare")


async def test_an_old_report_is_said_to_be_old(browser: Browser) -> None:
    async with shown(browser, workshop(machine(report=report(age=ms(9000))))) as (_, page):
        await expect(page.get_by_text("s old")).to_be_visible()


async def test_re_arming_names_the_stop_that_the_person_saw(browser: Browser) -> None:
    async with shown(browser, workshop(latched())) as (gateway, page):
        await expect(page.get_by_text("Emergency stop by bench-4.")).to_be_visible()
        await page.get_by_role("button", name="Re-arm").click()
        rearm = (await asked(gateway, "rearm")).rearm
        assert (rearm.machine, rearm.epoch) == (KEY, 9)


async def test_a_resume_names_the_hold_that_the_person_saw(browser: Browser) -> None:
    held = machine(
        report=report("Hold"),
        condition="a stop holds the machine",
        next_step=page_pb2.NEXT_STEP_RESUME,
    )
    async with shown(browser, workshop(held)) as (gateway, page):
        await page.get_by_role("button", name="Resume", exact=True).click()
        stop = (await asked(gateway, "stop")).stop
        assert stop.action == serial_pb2.STOP_ACTION_RESUME
        assert (stop.epoch, stop.hold_number) == (7, 2)


@pytest.mark.parametrize(
    ("step", "button", "action"),
    [
        (page_pb2.NEXT_STEP_HOME, "Home", "home"),
        (page_pb2.NEXT_STEP_UNLOCK, "Unlock", "unlock"),
        (page_pb2.NEXT_STEP_RESET, "Reset", "reset"),
    ],
)
async def test_an_alarm_has_the_firmwares_words_and_one_button(
    browser: Browser, step: page_pb2.NextStep.ValueType, button: str, action: str
) -> None:
    words = "ALARM:1 Hard limit triggered. Machine position is likely lost."
    alarmed = machine(report=report("Alarm"), firmware_message=words, next_step=step)
    async with shown(browser, workshop(alarmed)) as (gateway, page):
        note = page.locator(".note", has_text="The machine is in alarm")
        await expect(note).to_contain_text(words)
        await expect(note.get_by_role("button")).to_have_count(1)
        await note.get_by_role("button", name=button).click()
        await asked(gateway, action)


async def test_a_code_is_requested_and_then_the_request_is_sent_again(browser: Browser) -> None:
    async with shown(browser, workshop(latched())) as (gateway, page):
        codes: list[str] = []

        def rearm(_: page_pb2.Request) -> page_pb2.Answer:
            if "123456" in codes:
                return page_pb2.Answer()
            failure = page_pb2.Failure(text="a code is needed", needs_second_factor=True)
            return page_pb2.Answer(failure=failure)

        def confirm(request: page_pb2.Request) -> page_pb2.Answer:
            codes.append(request.confirm.code)
            if request.confirm.code == "123456":
                return page_pb2.Answer()
            return page_pb2.Answer(failure=page_pb2.Failure(text="that code is wrong"))

        gateway.answers |= {"rearm": rearm, "confirm": confirm}
        await page.get_by_role("button", name="Re-arm").click()
        field = page.get_by_label("Six digits")
        await field.fill("000000")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("that code is wrong")).to_be_visible()
        await field.fill("123456")
        await page.get_by_role("button", name="Confirm").click()
        await until(lambda: len(gateway.requests("rearm")) == 2)
        await expect(page.get_by_role("dialog")).to_have_count(0)


async def confirmed(page: Page) -> None:
    """Give the code that is asked for."""
    await page.get_by_label("Six digits").fill("123456")
    await page.get_by_role("button", name="Confirm").click()


@pytest.mark.parametrize("name", ["X plus", "Home", "Go to zero", "Resume"])
async def test_a_confirmed_code_moves_nothing_by_itself(browser: Browser, name: str) -> None:
    held = machine(condition="held", next_step=page_pb2.NEXT_STEP_RESUME)
    async with shown(browser, workshop(held)) as (gateway, page):
        codes: list[str] = []

        def refused(_: page_pb2.Request) -> page_pb2.Answer:
            if codes:
                return page_pb2.Answer()
            failure = page_pb2.Failure(text="a code is needed", needs_second_factor=True)
            return page_pb2.Answer(failure=failure)

        def confirm(request: page_pb2.Request) -> page_pb2.Answer:
            codes.append(request.confirm.code)
            return page_pb2.Answer()

        actions = ["jog_step", "home", "go_to_zero", "stop"]
        gateway.answers |= {**dict.fromkeys(actions, refused), "confirm": confirm}
        button = page.get_by_role("button", name=name, exact=True)
        await button.click()
        await confirmed(page)
        await expect(page.locator("#notices")).to_contain_text("repeat the action")
        assert sum(len(gateway.requests(each)) for each in actions) == 1
        await button.click()
        await until(lambda: sum(len(gateway.requests(each)) for each in actions) == 2)


async def test_without_the_code_nothing_is_sent_again(browser: Browser) -> None:
    async with shown(browser, workshop(latched())) as (gateway, page):
        failure = page_pb2.Failure(text="a code is needed", needs_second_factor=True)
        gateway.answers["rearm"] = lambda _: page_pb2.Answer(failure=failure)
        await page.get_by_role("button", name="Re-arm").click()
        await page.get_by_role("button", name="Cancel", exact=True).click()
        await expect(page.locator("#notices")).to_contain_text("A code is needed")
        assert len(gateway.requests("rearm")) == 1


async def test_a_user_who_may_only_stop_sees_why_the_rest_is_disabled(browser: Browser) -> None:
    why = "the policy lets bench-3 look and stop, not control"
    viewer = machine(
        control=page_pb2.Permission(is_allowed=False, reason=why),
        next_step=page_pb2.NEXT_STEP_RESUME,
        condition="held",
    )
    # A message that is merged keeps what it had.
    viewer.control.CopyFrom(page_pb2.Permission(reason=why))
    async with shown(browser, workshop(viewer)) as (_, page):
        for name in ["Resume", "Home", "X plus", "Send", "Zero all here", "Take control"]:
            await expect(page.get_by_role("button", name=name, exact=True)).to_be_disabled()
        await expect(page.locator("#motion-reason")).to_contain_text(why)
        await expect(page.locator("#console-reason")).to_contain_text(why)
        await expect(page.locator("#hold")).to_be_enabled()


async def test_control_changes_hands_only_by_a_click_that_says_so(browser: Browser) -> None:
    holder = serial_pb2.Holder(identity="usbshare://s/operator", client_name="LightBurn")
    other = machine(port=serial_pb2.Port(holder=holder), control_state=page_pb2.CONTROL_STATE_OTHER)
    async with shown(browser, workshop(other)) as (gateway, page):
        gateway.answers["request_control"] = lambda _: page_pb2.Answer(
            request_control=serial_pb2.RequestControlResponse(told=True)
        )
        await page.get_by_role("button", name="Ask for control").click()
        await expect(page.locator("#notices")).to_contain_text("The holder has been told")
        await page.get_by_role("button", name="Take control from the holder").click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("operator (LightBurn)")
        await expect(dialog).to_contain_text("its job is lost")
        assert gateway.requests("take_control") == []
        await dialog.get_by_role("button", name="Take it").click()
        assert (await asked(gateway, "take_control")).take_control.from_holder


async def test_somebody_who_asks_for_control_is_answered(browser: Browser) -> None:
    ours = machine(control_state=page_pb2.CONTROL_STATE_OURS)
    async with shown(browser, workshop(ours)) as (gateway, page):
        await gateway.send(
            control_asked=page_pb2.ControlAsked(machine=KEY, who="bench-4", time=TIME)
        )
        await expect(page.get_by_text("bench-4 asks for control of this machine")).to_be_visible()
        await page.get_by_role("button", name="Hand over").click()
        answer = (await asked(gateway, "answer_control_request")).answer_control_request
        assert answer.hands_over
        await expect(page.get_by_text("bench-4 asks for control of this machine")).to_be_hidden()


async def test_zero_overrides_and_pulse_send_what_their_buttons_say(browser: Browser) -> None:
    async with shown(browser, workshop()) as (gateway, page):
        await page.get_by_role("button", name="Set the work zero of Y here").click()
        assert (await asked(gateway, "set_zero")).set_zero.axes == "Y"
        await page.get_by_role("button", name="Feed 10 % more").click()
        assert (await asked(gateway, "set_overrides")).set_overrides.feed_percent == 110
        fire = page.get_by_role("button", name="Fire 1 % for 20 ms")
        await expect(fire).to_be_disabled()
        await page.get_by_label("Goggles on").check()
        await fire.click()
        pulse = (await asked(gateway, "pulse")).pulse
        assert (pulse.power_percent, pulse.duration.nanos) == (1, 20_000_000)


async def test_one_pulse_at_a_time(browser: Browser) -> None:
    async with shown(browser, workshop()) as (gateway, page):
        gateway.answers["pulse"] = lambda _: None
        await page.get_by_label("Goggles on").check()
        await page.get_by_role("button", name="Fire 1 %").dblclick(force=True)
        await page.get_by_role("button", name="Set the work zero of Y here").click()
        await asked(gateway, "set_zero")
        assert len(gateway.requests("pulse")) == 1


async def test_a_pulse_beyond_the_limit_is_not_offered(browser: Browser) -> None:
    async with shown(browser, workshop()) as (_, page):
        await page.get_by_label("Goggles on").check()
        await page.get_by_label("Time, ms").fill("101")
        await expect(page.get_by_role("button", name="Fire 1 % for 101 ms")).to_be_disabled()
        await page.get_by_label("Time, ms").fill("100")
        await page.get_by_label("Power, %").fill("5.1")
        await expect(page.get_by_role("button", name="Fire 5.1 %")).to_be_disabled()


async def test_a_job_is_framed_along_its_box_with_the_beam_off(browser: Browser) -> None:
    async with shown(browser, workshop(jobs=[job()])) as (gateway, page):
        analysis = job_pb2.Analysis(box=BOX, burnt_box=BOX)
        gateway.answers["job_call"] = lambda _: page_pb2.Answer(
            job=page_pb2.JobReply(analyse=analysis)
        )
        await page.get_by_role("button", name="Frame a job").click()
        await page.get_by_role("button", name="Frame", exact=True).click()
        frame = (await asked(gateway, "frame")).frame
        assert (frame.box, frame.power_percent, frame.feed) == (BOX, 0, 1500)


async def test_two_quick_clicks_home_once(browser: Browser) -> None:
    async with shown(browser, workshop()) as (gateway, page):
        gateway.answers["home"] = lambda _: None
        await page.get_by_role("button", name="Home", exact=True).dblclick()
        await page.get_by_role("button", name="Set the work zero of Y here").click()
        await asked(gateway, "set_zero")
        assert len(gateway.requests("home")) == 1


@pytest.mark.parametrize("typed", ["-5", "0", "", "99999999"])
async def test_a_feed_that_is_none_becomes_the_usual_one(browser: Browser, typed: str) -> None:
    async with shown(browser, workshop()) as (gateway, page):
        feed = page.get_by_label("Feed, mm/min")
        await feed.fill(typed)
        await page.get_by_role("button", name="X plus", exact=True).click()
        assert (await asked(gateway, "jog_step")).jog_step.feed == 1500
        await expect(feed).to_have_value("1500")


async def test_what_a_person_cancels_is_no_failure(browser: Browser) -> None:
    async with shown(browser, workshop()) as (gateway, page):
        refused = page_pb2.Answer(
            failure=page_pb2.Failure(text="it was cancelled: no more is sent")
        )
        gateway.answers["home"] = lambda _: None
        await page.get_by_role("button", name="Home", exact=True).click()
        refused.request_id = (await asked(gateway, "home")).id
        await page.get_by_role("button", name="Cancel the motion").click()
        await asked(gateway, "cancel_motion")
        await gateway.send(answer=refused)
        said = page.locator("#notices .notice")
        await expect(said).to_contain_text("It was cancelled: no more")
        await expect(said).not_to_have_attribute("data-tone", "danger")


async def test_the_console_sends_shows_and_remembers(browser: Browser) -> None:
    async with shown(browser, workshop()) as (gateway, page):
        assert (await asked(gateway, "show")).show is not None
        await until(lambda: any(KEY in each.show.consoles for _, each in gateway.requests("show")))
        gateway.answers["send_line"] = lambda _: page_pb2.Answer(
            line=page_pb2.LineAnswer(reply="error:20", meaning="unsupported command")
        )
        line = page.get_by_label("Line to send")
        await line.fill("G99")
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("G99: error:20, unsupported command")).to_be_visible()
        await line.press("ArrowUp")
        await expect(line).to_have_value("G99")
        lines = [
            page_pb2.ConsoleLine(
                number=number, time=TIME, origin=page_pb2.LINE_ORIGIN_MACHINE, text=text
            )
            for number, text in enumerate(["[VER:1.1h]", "<Idle|MPos:0,0,0>", "<b>x</b>"], 1)
        ]
        for _ in range(2):  # as after a new connection: nothing is doubled
            await gateway.send(console=page_pb2.ConsoleLines(machine=KEY, lines=lines))
        log = page.get_by_role("log")
        await expect(log.get_by_text("[VER:1.1h]")).to_have_count(1)
        await expect(log.get_by_text("<b>x</b>")).to_be_visible()
        await expect(log.get_by_text("<Idle|MPos:0,0,0>")).to_be_hidden()
        await page.get_by_label("Show status reports").check()
        await expect(log.get_by_text("<Idle|MPos:0,0,0>")).to_be_visible()


async def test_a_machine_that_disappeared_is_shown_as_gone(browser: Browser) -> None:
    async with shown(browser, workshop()) as (gateway, page):
        await gateway.send(machine_removed=KEY)
        await expect(page.get_by_text("There is no machine laser")).to_be_visible()
