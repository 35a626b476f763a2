"""Access, audit log, doctor and latency: what is read, and what takes a second look."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.timestamp_pb2 import Timestamp
from playwright.async_api import Browser, expect

from fakes.panel_gateway import fake_gateway
from fakes.panel_page import panel_page
from fakes.panel_snapshots import KEY, TIME, ms, workshop
from fakes.waiting import until
from usbshare.page.v1 import page_pb2

BENCH = page_pb2.Identity(name="bench-4", role="operator", rights="view, stop, control")


def report(**changes: object) -> Callable[[page_pb2.Request], page_pb2.Answer]:
    """Return what answers with one identity and one invitation."""
    made = page_pb2.AccessReport(
        identities=[BENCH],
        invitations=[page_pb2.OpenInvitation(name="tablet", role="viewer", end_time=TIME)],
        roles=["operator", "viewer"],
    )
    made.MergeFrom(page_pb2.AccessReport(**changes))  # type: ignore[arg-type]
    return lambda _: page_pb2.Answer(access=made)


async def test_the_page_shows_who_may_do_what(browser: Browser) -> None:
    async with fake_gateway(workshop()) as fake:
        fake.answers["get_access"] = report()
        async with panel_page(browser, f"{fake.url}#/access") as page:
            await expect(page.get_by_text("view, stop, control (with a code)")).to_be_visible()
            await expect(page.get_by_role("cell", name="bench-4", exact=True)).to_be_visible()
            await expect(page.get_by_text("tablet as viewer")).to_be_visible()


async def test_names_and_times_are_not_broken_beside_a_long_text(browser: Browser) -> None:
    rights = "view, stop, control with a code on every port of this host and on all cameras, " * 2
    who = page_pb2.Identity(
        name="foreperson", rights=rights, certificate_end_time=TIME, last_seen_time=TIME
    )
    async with fake_gateway(workshop()) as fake:
        fake.answers["get_access"] = report(identities=[who])
        async with panel_page(browser, f"{fake.url}#/access") as page:
            rows = page.get_by_role("row").filter(has_text="foreperson")
            await expect(rows).to_be_visible()
            lines = "cells => cells.map(cell => cell.firstChild.getClientRects().length)"
            cells = "tbody td:is(:nth-child(1), :nth-child(4), :nth-child(5))"
            region = page.get_by_role("region", name="Computers of this site")
            assert set(await region.locator(cells).evaluate_all(lines)) == {1}


async def test_revoking_asks_for_confirmation(browser: Browser) -> None:
    async with fake_gateway(workshop()) as fake:
        fake.answers["get_access"] = report()
        async with panel_page(browser, f"{fake.url}#/access") as page:
            await page.get_by_role("button", name="Revoke bench-4").click()
            dialog = page.get_by_role("dialog")
            await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
            await page.keyboard.press("Enter")
            await expect(dialog).to_have_count(0)
            assert fake.requests("revoke") == []
            await page.get_by_role("button", name="Revoke bench-4").click()
            await dialog.get_by_role("button", name="Revoke bench-4").click()
            await until(lambda: fake.requests("revoke"))
            assert fake.requests("revoke")[0][1].revoke.name == "bench-4"


async def test_a_user_who_may_not_change_access_sees_why(browser: Browser) -> None:
    async with fake_gateway(workshop()) as fake:
        fake.answers["get_access"] = report(read_only_reason="bench-3 is no administrator")
        async with panel_page(browser, f"{fake.url}#/access") as page:
            await expect(page.get_by_text("bench-3 is no administrator")).to_be_visible()
            await expect(page.get_by_role("button", name="Revoke bench-4")).to_have_count(0)
            await expect(page.get_by_role("button", name="Invite a computer")).to_be_disabled()


async def test_an_invitation_is_made_shown_once_and_withdrawn(browser: Browser) -> None:
    made = page_pb2.MadeInvitation(text="the-text", qr_rows=["101", "010", "101"], end_time=TIME)
    async with fake_gateway(workshop()) as fake:
        fake.answers["get_access"] = report()
        fake.answers["invite"] = lambda _: page_pb2.Answer(made_invitation=made)
        async with panel_page(browser, f"{fake.url}#/access") as page:
            await page.get_by_role("button", name="Invite a computer").click()
            await page.get_by_label("Name of the computer").fill("laptop-8")
            await page.get_by_label("Role").select_option("viewer")
            await page.get_by_role("button", name="Make the invitation").click()
            await expect(page.get_by_text("the-text")).to_be_visible()
            await expect(page.get_by_role("img", name="as a QR code")).to_be_visible()
            invite = fake.requests("invite")[0][1].invite
            assert (invite.name, invite.role, invite.lifetime.seconds) == (
                "laptop-8",
                "viewer",
                900,
            )
            await page.get_by_role("button", name="Close").click()
            await page.get_by_role("button", name="Withdraw").click()
            await until(lambda: fake.requests("withdraw"))


async def test_the_audit_log_is_live_and_filtered_at_the_host(browser: Browser) -> None:
    async with (
        fake_gateway(workshop()) as fake,
        panel_page(browser, f"{fake.url}#/access") as page,
    ):
        await expect(page.get_by_role("heading", name="Audit log")).to_be_visible()
        entry = page_pb2.AuditEntry(
            number=4, time=TIME, who="bench-4", what="rearm", resource="laser", is_refused=True
        )
        await until(
            lambda: any(
                each.show.audits and each.show.audits[0].host == "laser-host"
                for _, each in fake.requests("show")
            )
        )
        await fake.send(audit=page_pb2.AuditEntries(host="laser-host", entries=[entry]))
        await expect(page.get_by_text("rearm: refused")).to_be_visible()
        await page.get_by_label("Filter").fill("bench-4")
        await until(lambda: fake.requests("show")[-1][1].show.audits[0].text == "bench-4")
        await expect(page.get_by_text("rearm: refused")).to_be_hidden()


async def test_the_audit_log_is_followed_again_after_a_lost_connection(browser: Browser) -> None:
    async with (
        fake_gateway(workshop()) as fake,
        panel_page(browser, f"{fake.url}#/access") as page,
    ):
        await expect(page.get_by_role("heading", name="Audit log")).to_be_visible()
        await until(lambda: fake.requests("show") and fake.requests("show")[-1][1].show.audits)
        fake.heard.clear()
        await fake.drop()
        await until(lambda: fake.requests("show"))
        assert fake.requests("show")[-1][1].show.audits[0].host == "laser-host"


async def test_the_doctor_says_what_to_do(browser: Browser) -> None:
    checks = [
        page_pb2.Check(name="certificate", result=page_pb2.CHECK_RESULT_OK, text="valid"),
        page_pb2.Check(
            name="clock",
            result=page_pb2.CHECK_RESULT_WARNING,
            text="4 s ahead",
            remedy="switch on time synchronisation",
        ),
    ]
    async with (
        fake_gateway(workshop()) as fake,
        panel_page(browser, f"{fake.url}#/doctor") as page,
    ):
        fake.answers["run_doctor"] = lambda _: page_pb2.Answer(
            doctor=page_pb2.DoctorReport(checks=checks)
        )
        await page.get_by_role("button", name="Run the checks").click()
        await expect(page.get_by_text("1 of 2 checks found a problem.")).to_be_visible()
        await expect(page.get_by_text("switch on time synchronisation")).to_be_visible()
        assert fake.requests("run_doctor")[0][1].run_doctor.host == "laser-host"
        await page.get_by_label("Only this computer").check()
        await page.get_by_role("button", name="Run the checks").click()
        await until(lambda: len(fake.requests("run_doctor")) == 2)
        assert fake.requests("run_doctor")[1][1].run_doctor.host == ""


async def test_latency_is_shown_by_parts_with_its_warning(browser: Browser) -> None:
    parts = [
        page_pb2.PartTimes(part=page_pb2.LATENCY_PART_NETWORK, latest=ms(1.2), p95=ms(2)),
        page_pb2.PartTimes(
            part=page_pb2.LATENCY_PART_PORT, latest=ms(18), warning="the latency timer is 16 ms"
        ),
    ]
    address = "#/latency/laser-host/laser"
    async with (
        fake_gateway(workshop()) as fake,
        panel_page(browser, fake.url + address) as page,
    ):
        await until(lambda: any(KEY in each.show.latencies for _, each in fake.requests("show")))
        past = [page_pb2.Latency(time=Timestamp(seconds=TIME.seconds - back)) for back in (9, 5)]
        now = page_pb2.Latency(machine=KEY, time=TIME, parts=parts, past=past)
        await fake.send(latency=now)
        await expect(page.get_by_text("19 ms in all")).to_be_visible()
        await expect(page.get_by_text("Port: the latency timer is 16 ms")).to_be_visible()
        await expect(page.get_by_role("img", name="3 samples")).to_be_visible()
