"""A fresh computer administers a real host by its page: enrol, invite, revoke, log, doctor."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pyotp
import pytest
from playwright.async_api import Browser, Page, expect

from fakes.panel_page import PHONE, WIDE, panel_page
from fakes.processes import (
    Process,
    completed,
    environment,
    free_port,
    running,
    wait_for_listener,
)

KEPT = Path(__file__).parents[3] / "build" / "panel"
LONG_MS = 60_000


@dataclass(frozen=True)
class Shop:
    """A host that lets computers in."""

    home: Path
    serial: int

    async def invitation(self, name: str, role: str) -> str:
        """Have the host invite somebody."""
        words = ["serial-svc", "pki", "invite", "--name", name, "--role", role]
        done = await asyncio.to_thread(completed, words, self.home)
        assert done.returncode == 0, done.stderr
        await asyncio.to_thread(wait_for_listener, done.stderr)
        return done.stdout.strip()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    home, serial = tmp_path / "host", free_port()
    folder = home / "config" / "usbshare"
    folder.mkdir(parents=True)
    (folder / "usbshare.toml").write_text(
        f'[service]\nlisten = "127.0.0.1:{serial}"\n'
        f'[tls]\nenrolment = "127.0.0.1:{free_port()}"\n'
        '[ports.laser]\nsource = "sim://grbl"\nprofile = "grbl"\n'
    )
    with running(["serial-svc"], home) as service:
        await asyncio.to_thread(service.wait_for, "ready at")
        yield Shop(home, serial)


def settings(home: Path, serial: int) -> Path:
    """Have a computer that hears nobody and knows the host by its address."""
    home.mkdir()
    config = home / "panel.toml"
    config.write_text(
        "[discovery]\nmdns = false\nbeacon = false\n"
        f'[hosts.shop]\naddress = "127.0.0.1"\nserial = {serial}\n'
    )
    return config


@asynccontextmanager
async def panel_of(home: Path, shop: Shop) -> AsyncIterator[str]:
    """Run the panel of a computer that nobody has let in; yields its address."""
    config = await asyncio.to_thread(settings, home, shop.serial)
    words = ["usbshare-bridge", "--config", str(config), "panel", "--json"]
    process = Process([*words, "--listen", "127.0.0.1:0"], environment(home))
    try:
        line = await asyncio.to_thread(process.wait_for, '"ready"')
        yield json.loads(line.string)["url"]
    finally:
        process.stop()


async def is_let_in(page: Page, text: str, name: str) -> None:
    """Paste an invitation, and use it."""
    await page.get_by_label("Invitation", exact=True).fill(text)
    await page.get_by_role("button", name="Check the invitation").click()
    await expect(page.get_by_text(name, exact=True)).to_be_visible(timeout=LONG_MS)
    await page.get_by_role("button", name="Enrol this computer").click()
    await expect(page.locator("#notices")).to_contain_text("is enrolled as", timeout=LONG_MS)
    await expect(page.get_by_role("link", name=re.compile("laser")).first).to_be_visible(
        timeout=LONG_MS
    )


async def look(page: Page, name: str) -> None:
    """Keep a picture of what is to be seen."""
    KEPT.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=KEPT / f"access-{name}.png", full_page=True)


async def test_a_fresh_computer_invites_and_revokes_another(
    browser: Browser, tmp_path: Path, shop: Shop
) -> None:
    async with (
        panel_of(tmp_path / "pc", shop) as url,
        panel_page(browser, url, WIDE) as page,
    ):
        await is_let_in(page, await shop.invitation("desk", "admin"), "desk")
        await page.get_by_role("navigation").get_by_role("link", name="Access and log").click()
        await expect(page.get_by_text("view, stop, control, admin").first).to_be_visible(
            timeout=LONG_MS
        )
        twice = page.locator("option").filter(has_text="127.0.0.1")
        await expect(twice).to_have_count(0)
        own = page.get_by_role("row", name=re.compile("^desk"))
        await expect(own).to_contain_text("This computer", timeout=LONG_MS)
        await expect(page.get_by_role("button", name="Revoke desk")).to_be_hidden()

        text = await invites(page)
        await is_used_elsewhere(tmp_path / "laptop", text)
        row = page.get_by_role("row", name=re.compile("^laptop"))
        await expect(row).to_contain_text("viewers", timeout=LONG_MS)
        await expect(page.get_by_text("No invitation is open.")).to_be_visible(timeout=LONG_MS)
        log = page.get_by_role("region", name="Audit log")
        await expect(log.get_by_role("cell", name="enrolled", exact=True)).not_to_have_count(0)
        assert text not in await page.content()
        await look(page, "enrolled")

        await is_revoked(page)
        await expect(row).to_contain_text("Revoked", timeout=LONG_MS)
        entry = log.get_by_role("row").filter(has_text="revoked").first
        await expect(entry).to_contain_text("desk", timeout=LONG_MS)
        async with asyncio.timeout(LONG_MS / 1000):  # the host promises a second
            while "is revoked" not in await asyncio.to_thread(who_am_i, tmp_path / "laptop", shop):
                pass

        await page.get_by_label("Filter").fill("no such thing")
        await expect(page.get_by_text("No entry matches.")).to_be_visible(timeout=LONG_MS)
        await page.get_by_label("Filter").fill("LAPTOP")
        await expect(log.get_by_role("cell", name="invited", exact=True)).to_be_visible(
            timeout=LONG_MS
        )
        await expect(log.get_by_role("cell", name="service started")).to_have_count(0)
        await look(page, "filtered")


async def invites(page: Page) -> str:
    """Make an invitation; return its text."""
    await page.get_by_role("button", name="Invite a computer").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name of the computer").fill("operator")
    await dialog.get_by_role("button", name="Make the invitation").click()
    await expect(dialog.get_by_label("Role")).to_have_value("")  # nobody is an admin by default
    await dialog.get_by_label("Role").select_option("viewers")
    await expect(dialog).to_contain_text("It may: view on ports *; cameras *.")
    await dialog.get_by_role("button", name="Make the invitation").click()
    await expect(dialog).to_contain_text("the host's own identity", timeout=LONG_MS)
    await look(page, "refused")
    await dialog.get_by_label("Name of the computer").fill("laptop")
    await dialog.get_by_role("button", name="Make the invitation").click()
    await expect(page.get_by_role("img", name="as a QR code")).to_be_visible(timeout=LONG_MS)
    await expect(dialog).to_contain_text("Once enrolled, it may: view, stop.")
    await look(page, "invitation")
    text = await dialog.locator("code.place").inner_text()
    await dialog.get_by_role("button", name="Close").click()
    await expect(page.get_by_text(re.compile("laptop as viewers"))).to_be_visible(timeout=LONG_MS)
    return text


async def is_used_elsewhere(home: Path, text: str) -> None:
    """Enrol a second computer by its command line."""
    words = ["usbshare-bridge", "enroll", text]
    done = await asyncio.to_thread(completed, words, home)
    assert done.returncode == 0, done.stderr


async def is_revoked(page: Page) -> None:
    """Look twice, then revoke."""
    await page.get_by_role("button", name="Revoke laptop").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("row", name=re.compile("^laptop"))).not_to_contain_text("Revoked")
    await page.get_by_role("button", name="Revoke laptop").click()
    await look(page, "second-look")
    await dialog.get_by_role("button", name="Revoke laptop").click()


def who_am_i(home: Path, shop: Shop) -> str:
    """Return what the host says to a computer."""
    words = ["usbshare-bridge", "whoami", "--target", f"127.0.0.1:{shop.serial}"]
    done = completed(words, home)
    return done.stdout + done.stderr


async def test_an_operator_sees_its_rights_and_why_it_has_no_more(
    browser: Browser, tmp_path: Path, shop: Shop
) -> None:
    async with (
        panel_of(tmp_path / "pc", shop) as url,
        panel_page(browser, url, PHONE, theme="dark") as page,
    ):
        await is_let_in(page, await shop.invitation("bench", "operator"), "bench")
        await page.goto(f"{url}#/access")
        await expect(page.get_by_text("view, stop, control", exact=True)).to_be_visible(
            timeout=LONG_MS
        )
        refusal = page.get_by_text(re.compile("bench may not administer the site"))
        await expect(refusal.first).to_be_visible(timeout=LONG_MS)
        await expect(page.get_by_role("button", name="Invite a computer")).to_be_hidden()
        await look(page, "operator")


async def test_a_change_asks_for_the_second_factor(
    browser: Browser, tmp_path: Path, shop: Shop
) -> None:
    async with (
        panel_of(tmp_path / "pc", shop) as url,
        panel_page(browser, url, PHONE) as page,
    ):
        await is_let_in(page, await shop.invitation("desk", "admin"), "desk")
        app = await asyncio.to_thread(has_to_confirm, shop)
        await page.goto(f"{url}#/access")
        await expect(page.get_by_text("admin (with a code)")).to_be_visible(timeout=LONG_MS)
        await page.get_by_role("button", name="Invite a computer").click()
        await page.get_by_label("Name of the computer").fill("laptop")
        await page.get_by_label("Role").select_option("viewers")
        await page.get_by_role("button", name="Make the invitation").click()
        code = page.get_by_label("Six digits from your authenticator app")
        await expect(code).to_be_visible(timeout=LONG_MS)
        await look(page, "code")
        await code.fill(app.now())
        await page.get_by_role("button", name="Confirm").click()
        await expect(page.get_by_role("img", name="as a QR code")).to_be_visible(timeout=LONG_MS)
        await look(page, "phone-invitation")
        await page.get_by_role("button", name="Close").click()
        await page.get_by_role("button", name="Withdraw").click()
        await expect(page.get_by_text("No invitation is open.")).to_be_visible(timeout=LONG_MS)


def has_to_confirm(shop: Shop) -> pyotp.TOTP:
    """Have the host want a code of administrators; return what makes them."""
    policy = shop.home / "config" / "usbshare" / "policy.toml"
    rights = 'rights = ["control", "admin"]'
    policy.write_text(policy.read_text().replace(rights, f'{rights}\nconfirm = "totp"', 1))
    done = completed(["serial-svc", "pki", "totp", "desk", "--no-qr"], shop.home)
    app = pyotp.parse_uri(done.stdout.strip())
    assert isinstance(app, pyotp.TOTP)
    return app


async def test_the_doctor_finds_a_real_fault_and_says_what_to_do(
    browser: Browser, tmp_path: Path, shop: Shop
) -> None:
    async with (
        panel_of(tmp_path / "pc", shop) as url,
        panel_page(browser, url, WIDE) as page,
    ):
        await is_let_in(page, await shop.invitation("bench", "operator"), "bench")
        (bundle,) = (tmp_path / "pc").rglob("client.pem")
        bundle.chmod(0o644)
        await page.goto(f"{url}#/doctor")
        await page.get_by_role("button", name="Run the checks").click()
        fault = page.locator(".check-item").filter(has_text="private key")
        await expect(fault).to_contain_text("chmod 600", timeout=LONG_MS)
        await expect(fault.locator(".remedy")).to_be_visible()
        await expect(page.get_by_text(re.compile(r"of \d+ checks found a problem"))).to_be_visible(
            timeout=LONG_MS
        )
        await look(page, "doctor")
