"""A host that answers and refuses is not said to be away: what is wrong is said, and what helps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509

from fakes.certificates import make_site
from fakes.network import Network
from fakes.panel import HOST, Page, panel_host
from fakes.processes import run
from usbshare.trust import certificates
from usbshare.trust.authorities import load_authorities

REFUSED, CONNECTED = "SERVICE_STATE_REFUSED", "SERVICE_STATE_CONNECTED"
NOBODY = '[[grants]]\nwho = ["nobody"]\nrights = ["view"]\n'


async def reason_of(page: Page) -> str:
    """Return why the host refuses, once it does."""

    def serial() -> dict[str, Any]:
        found: dict[str, Any] = page.hosts.get(HOST, {}).get("serial", {})
        return found

    await page.until(lambda: serial().get("state") == REFUSED)
    return str(serial()["reason"])


async def test_a_computer_without_rights_is_told_so_and_let_in_once_it_has_some(
    tmp_path: Path,
) -> None:
    async with panel_host(tmp_path) as shop, shop.ready_page() as page:
        policy = Path(shop.host.environment["USBSHARE_HOME"]) / "policy.toml"
        policy.write_text(NOBODY)
        assert "may not" in await reason_of(page)
        policy.write_text(NOBODY.replace("nobody", "operator"))
        await page.until(lambda: page.hosts[HOST]["serial"]["state"] == CONNECTED)


async def test_a_computer_of_another_site_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    bundle = make_site(tmp_path / "other").client_bundle
    async with panel_host(tmp_path, ("--bundle", str(bundle))) as shop, shop.page() as page:
        reason = await reason_of(page)
        assert "different sites" in reason
        assert "pki invite" in reason


async def test_a_revoked_computer_is_told_so(tmp_path: Path) -> None:
    async with panel_host(tmp_path) as shop, shop.ready_page() as page:
        code, said = await asyncio.to_thread(
            run, ["serial-svc", "pki", "revoke", "operator"], tmp_path
        )
        assert code == 0, said
        assert "revoked" in await reason_of(page)


@asynccontextmanager
async def networks() -> AsyncIterator[list[Network]]:
    made: list[Network] = []
    try:
        yield made
    finally:
        for each in made:
            await each.close()


async def test_a_host_whose_certificate_has_expired_is_told_with_the_clock(tmp_path: Path) -> None:
    async with networks() as made:

        async def through(port: int) -> int:
            made.append(Network(f"127.0.0.1:{port}"))
            await made[0].start()
            return int(made[0].target.rpartition(":")[2])

        async with panel_host(tmp_path, through=through) as shop, shop.ready_page() as page:
            expire_certificate(Path(shop.host.environment["USBSHARE_HOME"]) / "site")
            made[0].cut()
            reason = await reason_of(page)
            assert "expired on" in reason
            assert "clock" in reason


def expire_certificate(home: Path) -> None:
    """Give a host a certificate that has expired, as it has after a year switched off."""
    now = datetime.now(UTC)
    authority = load_authorities(home, now).host
    key = certificates.load_key((home / "server.key").read_bytes())
    day = timedelta(days=1)
    shown = x509.load_pem_x509_certificate((home / "server.crt").read_bytes())
    dns, addresses = certificates.subject_names(shown)
    expired = certificates.issue_server(authority, key, dns, addresses, now - 3 * day, day)
    (home / "server.crt").write_bytes(certificates.certificate_pem(expired))
