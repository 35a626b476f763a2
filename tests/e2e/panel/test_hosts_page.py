"""The first page: which hosts there are, and how this computer is let in."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from fakes.panel_gateway import fake_gateway
from fakes.panel_page import PHONE, panel_page
from fakes.panel_snapshots import SITE, foreign_host, gateway, host, machine, workshop
from fakes.waiting import until
from usbshare.page.v1 import page_pb2
from usbshare.trust.certificates import short_text

INVITATION = "usbshare-invitation-of-a-test"


def stranger() -> page_pb2.Snapshot:
    """Return what a computer sees that is not enrolled."""
    bare = page_pb2.Gateway(version="0.1.0", name="bench-3")
    return page_pb2.Snapshot(gateway=bare, hosts=[foreign_host()], is_local_page=True)


async def test_hosts_machines_and_the_preselected_port_are_shown(browser: Browser) -> None:
    async with fake_gateway(workshop()) as fake, panel_page(browser, fake.url) as page:
        own = page.get_by_role("article").filter(has_text="Laser-Workshop")
        await expect(own).to_contain_text("Connected, 1.1 ms")
        await expect(own).to_contain_text("40 W diode laser")
        other = page.get_by_role("article").filter(has_text="Neighbour")
        await expect(other).to_contain_text("Another site")
        await expect(other).to_contain_text("plotter")
        await expect(other.get_by_role("link")).to_have_count(0)
        await page.get_by_role("link", name="Open").click()
        await expect(page.locator("h1")).to_have_text("laser")


async def test_changes_are_shown_as_they_come(browser: Browser) -> None:
    async with fake_gateway(workshop()) as fake, panel_page(browser, fake.url) as page:
        own = page.get_by_role("article").filter(has_text="Laser-Workshop")
        lost = page_pb2.Service(
            state=page_pb2.SERVICE_STATE_LOST, reason="no answer for 3 s; tried again"
        )
        await fake.send(host_changed=host(serial=lost))
        await expect(own).to_contain_text("No connection")
        await expect(own).to_contain_text("no answer for 3 s")
        await expect(page.locator("#stop-bar")).to_contain_text("may not reach this machine")
        await fake.send(
            machine_changed=machine(key=page_pb2.MachineKey(host="laser-host", port_id="mill"))
        )
        await expect(own.get_by_role("link")).to_have_count(2)
        await fake.send(host_removed="laser-host")
        await expect(own).to_have_count(0)
        await expect(page.locator("#stop-bar")).to_contain_text("no longer knows this machine")


REFUSED = (
    "192.168.1.20:50051 refuses the certificate in /home/anna/.config/usbshare/client.pem: it was "
    "revoked: ask the host's operator for a new one"
)


async def test_a_host_that_refuses_says_so_on_every_page(browser: Browser) -> None:
    service = page_pb2.Service(state=page_pb2.SERVICE_STATE_REFUSED, reason=REFUSED)
    async with (
        fake_gateway(workshop()) as fake,
        panel_page(browser, f"{fake.url}#/machine/laser-host/laser", PHONE) as page,
    ):
        state = page.locator(".page-head .pill")
        await expect(state).to_have_text("Idle")
        await fake.send(host_changed=host(serial=service))
        await expect(state).to_have_text("Refused")
        await expect(page.get_by_role("button", name="Home", exact=True)).to_be_disabled()
        await expect(page.locator("#stop-bar")).to_contain_text("it was revoked")
        await fake.send(machine_removed=machine().key)
        await expect(page.locator("main")).to_contain_text("ask the host's operator")
        await expect(page.locator("#stop-bar")).to_contain_text("it was revoked")
        is_wider = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not await page.evaluate(is_wider)
        await page.goto(f"{fake.url}#/hosts")
        own = page.get_by_role("article").filter(has_text="Laser-Workshop")
        await expect(own.locator(".pill").first).to_have_text("Refused")
        await expect(own).to_contain_text("it was revoked")


async def test_a_computer_enrols_with_an_invitation(browser: Browser) -> None:
    async with fake_gateway(stranger()) as fake, panel_page(browser, fake.url) as page:
        fake.answers["read_invitation"] = lambda request: page_pb2.Answer(
            invitation=page_pb2.Invitation(target="192.168.1.20:50052", site=SITE)
            if request.read_invitation.text == INVITATION
            else None,
            failure=None
            if request.read_invitation.text == INVITATION
            else page_pb2.Failure(text="this is no invitation"),
        )
        fake.answers["enrol"] = lambda _: page_pb2.Answer(
            enrolled=page_pb2.Enrolled(identity=f"usbshare://{SITE[:12]}/bench-3", role="operator")
        )
        field = page.get_by_label("Invitation", exact=True)
        await field.fill("something else")
        await page.get_by_role("button", name="Check the invitation").click()
        await expect(page.get_by_text("this is no invitation")).to_be_visible()
        await field.fill(f"  {INVITATION}\n")
        await page.get_by_role("button", name="Check the invitation").click()
        as_the_host_prints_it = short_text(bytes.fromhex(SITE))
        await expect(page.get_by_text(as_the_host_prints_it)).to_be_visible()
        assert fake.requests("enrol") == []
        await page.get_by_role("button", name="Enrol this computer").click()
        await expect(page.locator("#notices")).to_contain_text("/bench-3 (operator)")
        await fake.send(gateway_changed=gateway())
        await expect(page.get_by_text("This computer is not enrolled yet")).to_be_hidden()


async def test_a_certificate_is_replaced_only_if_the_person_agrees(browser: Browser) -> None:
    async with fake_gateway(workshop()) as fake, panel_page(browser, fake.url) as page:
        fake.answers["read_invitation"] = lambda _: page_pb2.Answer(
            invitation=page_pb2.Invitation(site=SITE, replaces="usbshare://old/bench-3")
        )
        await page.get_by_text("Use an invitation to another site").click()
        await page.get_by_label("Invitation", exact=True).fill(INVITATION)
        await page.get_by_role("button", name="Check the invitation").click()
        use = page.get_by_role("button", name="Enrol this computer")
        await expect(use).to_be_disabled()
        await page.get_by_label("Replace this computer's certificate").check()
        await use.click()
        await until(lambda: fake.requests("enrol"))
        assert fake.requests("enrol")[0][1].enrol.replaces


async def test_a_page_from_elsewhere_cannot_enrol_the_computer(browser: Browser) -> None:
    snapshot = stranger()
    snapshot.is_local_page = False
    async with fake_gateway(snapshot) as fake, panel_page(browser, fake.url) as page:
        await expect(page.get_by_role("button", name="Check the invitation")).to_be_disabled()
        await expect(page.get_by_text("open the panel there")).to_be_visible()


async def test_a_host_is_added_and_forgotten(browser: Browser) -> None:
    added = page_pb2.Host(key="added", name="Added", is_added=True)
    async with fake_gateway(workshop()) as fake, panel_page(browser, fake.url) as page:
        fake.answers["add_host"] = lambda _: page_pb2.Answer(host=added)
        await page.get_by_label("Address").fill("mill.local")
        await page.keyboard.press("Enter")
        await until(lambda: fake.requests("add_host"))
        assert fake.requests("add_host")[0][1].add_host.address == "mill.local"
        await fake.send(host_changed=added)
        await page.get_by_role("button", name="Forget this host").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Forget this host").click()
        await until(lambda: fake.requests("forget_host"))


async def test_another_address_of_a_known_host_is_said_to_be_one(browser: Browser) -> None:
    known = host(is_added=True, addresses=["192.168.1.20", "laser.local"])
    async with fake_gateway(workshop()) as fake, panel_page(browser, fake.url) as page:
        fake.answers["add_host"] = lambda _: page_pb2.Answer(host=known)
        await page.get_by_label("Address").fill("laser.local:50051")
        await page.keyboard.press("Enter")
        said = page.locator("#notices")
        await expect(said).to_contain_text("laser.local:50051 is Laser-Workshop")


async def test_an_address_that_turns_out_to_be_a_known_hosts_is_said_to_be_one(
    browser: Browser,
) -> None:
    added = page_pb2.Host(key="[fe80::1]:50051", name="[fe80::1]:50051", is_added=True)
    async with fake_gateway(workshop()) as fake, panel_page(browser, fake.url) as page:
        fake.answers["add_host"] = lambda _: page_pb2.Answer(host=added)
        await page.get_by_label("Address").fill("[fe80::1]:50051")
        await page.keyboard.press("Enter")
        await until(lambda: fake.requests("add_host"))
        await fake.send(host_changed=added)
        await expect(page.get_by_role("article").filter(has_text="fe80")).to_be_visible()
        await fake.send(host_changed=host(is_added=True, addresses=["192.168.1.20", "fe80::1"]))
        await fake.send(host_removed="[fe80::1]:50051")
        said = page.locator("#notices")
        await expect(said).to_contain_text("[fe80::1]:50051 is Laser-Workshop")
        await expect(page.locator("#stop-bar")).to_contain_text("Laser-Workshop / laser")


async def test_a_host_that_is_not_asked_yet_says_why(browser: Browser) -> None:
    snapshot = stranger()
    snapshot.hosts.add(key="shop", name="shop").serial.state = page_pb2.SERVICE_STATE_NOT_ASKED
    async with fake_gateway(snapshot) as fake, panel_page(browser, fake.url) as page:
        shop = page.get_by_role("article").filter(has_text="shop")
        await expect(shop).to_contain_text("must be enrolled first")


async def test_names_are_shown_as_text_whatever_they_contain(browser: Browser) -> None:
    evil = "<img src=x onerror=alert(1)>"
    snapshot = workshop(machine(), hosts=[page_pb2.Host(key="evil", name=evil)])
    async with fake_gateway(snapshot) as fake, panel_page(browser, fake.url) as page:
        await expect(page.get_by_text(evil).first).to_be_visible()
        await expect(page.locator("img")).to_have_count(0)
