"""Virtual ports: started and stopped by a click, with where a program finds them."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from fakes.panel_gateway import fake_gateway
from fakes.panel_page import panel_page
from fakes.panel_snapshots import KEY, MILL, TIME, machine, workshop
from fakes.waiting import until
from usbshare.page.v1 import page_pb2

PLACE = "/run/user/1000/usbshare/COM10"


def port(**changes: object) -> page_pb2.LocalPort:
    """Return a virtual port of the laser that programs can open."""
    made = page_pb2.LocalPort(
        id="1",
        machine=KEY,
        host_name="Laser-Workshop",
        kind=page_pb2.LOCAL_PORT_KIND_SERIAL,
        state=page_pb2.LOCAL_PORT_STATE_READY,
        place=PLACE,
        start_time=TIME,
    )
    made.MergeFrom(page_pb2.LocalPort(**changes))  # type: ignore[arg-type]
    return made


async def test_a_port_is_started_as_it_was_asked_for(browser: Browser) -> None:
    async with (
        fake_gateway(workshop()) as fake,
        panel_page(browser, f"{fake.url}#/ports") as page,
    ):
        fake.answers["start_local_port"] = lambda _: page_pb2.Answer(local_port=port())
        await page.get_by_role("radio", name="TCP").check()
        await page.get_by_label("TCP port on this computer").fill("2323")
        await page.get_by_label("Answer motion lines early").check()
        await page.get_by_label("Keep it when the panel ends").check()
        await page.get_by_role("button", name="Start", exact=True).click()
        await expect(page.get_by_text(f"Ready: {PLACE}")).to_be_visible()
        start = fake.requests("start_local_port")[0][1].start_local_port
        assert (start.machine, start.kind) == (KEY, page_pb2.LOCAL_PORT_KIND_TCP)
        assert (start.tcp_port, start.is_buffered, start.is_kept) == (2323, True, True)


async def test_the_address_of_a_port_is_copied_and_explained(browser: Browser) -> None:
    snapshot = workshop(local_ports=[port()])
    async with fake_gateway(snapshot) as fake, panel_page(browser, f"{fake.url}#/ports") as page:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.get_by_role("button", name="Copy the name or address of the port").click()
        assert await page.evaluate("navigator.clipboard.readText()") == PLACE
        await page.get_by_text("Where to enter it").click()
        for program in ["LightBurn", "LaserGRBL", "OctoPrint"]:
            await expect(page.get_by_text(program, exact=True)).to_be_visible()


@pytest.mark.parametrize("kind", ["TCP", "RFC2217"])
async def test_each_program_gets_the_address_in_its_own_form(browser: Browser, kind: str) -> None:
    place = f"{kind.lower()}://127.0.0.1:2323"
    shown = port(kind=page_pb2.LocalPortKind.Value(f"LOCAL_PORT_KIND_{kind}"), place=place)
    snapshot = workshop(local_ports=[shown])
    async with fake_gateway(snapshot) as fake, panel_page(browser, f"{fake.url}#/ports") as page:
        await page.get_by_text("Where to enter it").click()
        guide = page.locator(".guide")
        await expect(guide).to_contain_text("127.0.0.1:2323")
        url = {"TCP": "socket", "RFC2217": "rfc2217"}[kind]
        await expect(guide.get_by_text(f"{url}://127.0.0.1:2323").first).to_be_visible()


async def test_an_address_is_copied_without_the_clipboard_api_too(browser: Browser) -> None:
    before = "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    copied = "document.addEventListener('copy', () => window.copied = `${getSelection()}`)"
    snapshot = workshop(local_ports=[port()])
    address = "#/ports"
    async with (
        fake_gateway(snapshot) as fake,
        panel_page(browser, fake.url + address, before=before) as page,
    ):
        await page.evaluate(copied)
        await page.get_by_role("button", name="Copy the name or address of the port").click()
        await expect(page.get_by_text("Copied")).to_be_visible()
        assert await page.evaluate("window.copied") == PLACE


async def test_stopping_a_port_in_use_asks_for_confirmation(browser: Browser) -> None:
    snapshot = workshop(local_ports=[port(is_open=True)])
    async with fake_gateway(snapshot) as fake, panel_page(browser, f"{fake.url}#/ports") as page:
        await page.get_by_role("button", name="Stop", exact=True).click()
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("a job that it is running is lost")
        assert fake.requests("stop_local_port") == []
        await dialog.get_by_role("button", name="Stop").click()
        await until(lambda: fake.requests("stop_local_port"))


async def test_a_failed_port_says_why_and_can_be_started_again(browser: Browser) -> None:
    failed = port(state=page_pb2.LOCAL_PORT_STATE_FAILED, reason="held by bench-4")
    snapshot = workshop(local_ports=[failed])
    async with fake_gateway(snapshot) as fake, panel_page(browser, f"{fake.url}#/ports") as page:
        await expect(page.get_by_text("held by bench-4")).to_be_visible()
        await page.get_by_role("button", name="Start again").click()
        await until(lambda: fake.requests("start_local_port"))
        assert fake.requests("stop_local_port")


async def test_another_machine_can_be_chosen_where_one_has_its_port(browser: Browser) -> None:
    snapshot = workshop(machine(), machine(MILL), local_ports=[port()])
    async with fake_gateway(snapshot) as fake, panel_page(browser, f"{fake.url}#/ports") as page:
        start = page.get_by_role("button", name="Start", exact=True)
        await expect(start).to_be_disabled()
        await expect(page.get_by_text("This machine already has a virtual port")).to_be_visible()
        await page.get_by_label("Machine", exact=True).select_option(label="Laser-Workshop / mill")
        await expect(start).to_be_enabled()
        await start.click()
        await until(lambda: fake.requests("start_local_port"))
        assert fake.requests("start_local_port")[0][1].start_local_port.machine == MILL


async def test_a_page_on_another_computer_starts_no_port(browser: Browser) -> None:
    snapshot = workshop(local_ports=[port()])
    snapshot.is_local_page = False
    async with fake_gateway(snapshot) as fake, panel_page(browser, f"{fake.url}#/ports") as page:
        await expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()
        await expect(page.get_by_role("button", name="Stop", exact=True)).to_be_disabled()
        await expect(page.get_by_text("open the panel there")).to_be_visible()
