"""What a machine refuses in the state that it is in is disabled, with the reason beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, expect

from fakes.panel_gateway import FakeGateway, fake_gateway
from fakes.panel_page import panel_page
from fakes.panel_snapshots import job, machine, report, workshop
from fakes.waiting import until
from usbshare.page.v1 import page_pb2
from usbshare.serial.v1 import serial_pb2

STOPPED = serial_pb2.Port(latched=True, latch=serial_pb2.Latch(epoch=9))
ARROWS = ["X plus", "Y minus", "Z plus", "X minus, Y plus"]
ZEROS = ["Zero all here", "Set the work zero of X here"]
AT_REST = ["Home", "Go to zero", "Frame a job"]
COMMANDS = ["Show the settings", "Show the version"]
ALWAYS = ["Ask for the state", "Send", "Cancel the motion that the panel began"]
MOVES = [*ARROWS, *ZEROS, "Go to zero", "Frame a job"]


def held(cause: serial_pb2.HoldCause.ValueType) -> serial_pb2.Port:
    """Return a port that is held."""
    return serial_pb2.Port(hold=serial_pb2.Hold(cause=cause))


def alarmed(step: page_pb2.NextStep.ValueType, state: str = "Alarm") -> page_pb2.Machine:
    """Return a laser in alarm, and what helps."""
    port = held(serial_pb2.HOLD_CAUSE_ALARM)
    return machine(port=port, report=report(state), next_step=step, condition="in alarm")


def marlin() -> page_pb2.Machine:
    """Return a machine whose firmware has no jogs."""
    made = machine()
    made.ClearField("abilities")
    made.abilities.SetInParent()
    return made


# What is disabled, what is not, and why.
STATES: dict[str, tuple[page_pb2.Machine, list[str], list[str], str]] = {
    "idle": (machine(), [], [*MOVES, "Home", *COMMANDS], ""),
    "alarm": (
        alarmed(page_pb2.NEXT_STEP_HOME),
        MOVES,
        [*COMMANDS, *ALWAYS],
        "home or unlock it first",
    ),
    "limit": (
        alarmed(page_pb2.NEXT_STEP_RESET, "Run"),
        [*MOVES, "Home", *COMMANDS],
        ["Reset", *ALWAYS],
        "reset it first",
    ),
    "held": (
        machine(
            port=held(serial_pb2.HOLD_CAUSE_STOP),
            report=report("Hold"),
            next_step=page_pb2.NEXT_STEP_RESUME,
        ),
        [*MOVES, "Home", *COMMANDS],
        ALWAYS,
        "resume first",
    ),
    "door": (
        machine(
            port=held(serial_pb2.HOLD_CAUSE_MACHINE),
            report=report("Door"),
            next_step=page_pb2.NEXT_STEP_AT_MACHINE,
        ),
        [*MOVES, "Home", *COMMANDS],
        ALWAYS,
        "at the machine first",
    ),
    "latched": (
        machine(port=STOPPED, next_step=page_pb2.NEXT_STEP_REARM),
        [*MOVES, "Home", *COMMANDS],
        ALWAYS,
        "re-arm first",
    ),
    "asleep": (
        machine(report=report("Sleep"), next_step=page_pb2.NEXT_STEP_RESET),
        [*MOVES, "Home", *COMMANDS],
        ["Reset", *ALWAYS],
        "reset it first",
    ),
    "checking": (
        machine(report=report("Check")),
        [*MOVES, "Home"],
        [*COMMANDS, *ALWAYS],
        "Send $C to end that",
    ),
    "jogging": (machine(report=report("Jog")), AT_REST, [*ARROWS, *ZEROS, *ALWAYS], ""),
    "running": (machine(report=report("Run")), [*ARROWS, *ZEROS, *AT_REST], ALWAYS, ""),
    "homing": (
        machine(activity="homing"),
        [*ARROWS, *ZEROS, *AT_REST, *COMMANDS],
        ALWAYS,
        "Wait until this ends: homing",
    ),
    "marlin": (marlin(), [*MOVES, "Home"], [*COMMANDS, *ALWAYS], "Use the console"),
}


@asynccontextmanager
async def shown(
    browser: Browser, laser: page_pb2.Machine, name: str = "machine"
) -> AsyncIterator[tuple[FakeGateway, Page]]:
    """Show a page of a laser with a job in its queue."""
    async with (
        fake_gateway(workshop(laser, jobs=[job()])) as gateway,
        panel_page(browser, f"{gateway.url}#/{name}/laser-host/laser") as page,
    ):
        yield gateway, page


@pytest.mark.parametrize("state", STATES)
async def test_what_a_state_refuses_is_disabled_with_the_reason(
    browser: Browser, state: str
) -> None:
    laser, disabled, enabled, why = STATES[state]
    async with shown(browser, laser) as (_, page):
        for name in enabled:
            await expect(page.get_by_role("button", name=name, exact=True).first).to_be_enabled()
        for name in disabled:
            await expect(page.get_by_role("button", name=name, exact=True).last).to_be_disabled()
        reason = page.locator("#motion-reason")
        if why:
            await expect(reason).to_contain_text(why)
        else:
            await expect(reason).to_be_hidden()


@pytest.mark.parametrize("state", ["alarm", "checking", "asleep", "running"])
async def test_no_pulse_is_fired_and_no_job_framed_then(browser: Browser, state: str) -> None:
    async with shown(browser, STATES[state][0]) as (gateway, page):
        await page.get_by_label("Goggles on").check()
        await expect(page.get_by_role("button", name="Fire 1 %")).to_be_disabled()
        await page.goto(f"{gateway.url}#/jobs/laser-host/laser")
        frame = page.get_by_role("button", name="Frame coaster.nc")
        await expect(frame).to_be_disabled()
        assert await frame.get_attribute("title")


async def test_keys_jog_nothing_in_alarm(browser: Browser) -> None:
    async with shown(browser, machine()) as (gateway, page):
        await page.get_by_role("button", name="X plus", exact=True).focus()
        await page.keyboard.press("ArrowRight")
        await until(lambda: len(gateway.requests("jog_step")) == 1)
        await gateway.change(alarmed(page_pb2.NEXT_STEP_UNLOCK))
        await expect(page.locator("#motion-reason")).to_contain_text("unlock it first")
        for held_too in (False, True):
            if held_too:
                await page.get_by_role("radio", name="While held").check()
            await page.get_by_role("button", name="Cancel the motion").focus()
            for key in ["ArrowRight", "PageUp"]:
                await page.keyboard.press(key)
        await page.get_by_role("button", name="Cancel the motion").click()
        await until(lambda: gateway.requests("cancel_motion"))
        assert len(gateway.requests("jog_step")) == 1
        assert not gateway.requests("jog")


async def test_a_console_in_alarm_says_what_it_accepts(browser: Browser) -> None:
    async with shown(browser, alarmed(page_pb2.NEXT_STEP_UNLOCK)) as (gateway, page):
        await expect(page.locator("#console-reason")).to_contain_text("such as $X")
        await page.get_by_label("Line to send").fill("$X")
        await page.keyboard.press("Enter")
        await until(lambda: gateway.requests("send_line"))


async def test_a_machine_that_sleeps_is_woken_by_one_button(browser: Browser) -> None:
    async with shown(browser, STATES["asleep"][0]) as (gateway, page):
        note = page.locator(".note", has_text="The machine sleeps")
        await note.get_by_role("button", name="Reset").click()
        await until(lambda: gateway.requests("reset"))
