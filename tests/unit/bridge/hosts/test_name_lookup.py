"""What a name stands for: which host is meant, and what a person is told who is not understood."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from fakes.certificates import make_site
from fakes.sightings import FOREIGN_SITE, OWN_SITE, FakeFinder, entry, instance
from usbshare.base.errors import InvalidArgumentError, NotFoundError
from usbshare.bridge.hosts import name_lookup
from usbshare.bridge.hosts.name_lookup import resolve
from usbshare.bridge.settings import Settings
from usbshare.hosts.host_selection import at_address, choose, unknown
from usbshare.hosts.instance import Source
from usbshare.hosts.targets import targets_of
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

# A friendly name with a space is no DNS name, so that nobody asks this computer's resolver.
NAME = "Laser Workshop"


@pytest.fixture
def finder(monkeypatch: pytest.MonkeyPatch) -> FakeFinder:
    made = FakeFinder()
    monkeypatch.setattr(name_lookup, "open_finder", lambda *_: made)
    return made


@pytest.fixture
def bundle(tmp_path: Path) -> ClientBundle:
    return ClientBundle.load(make_site(tmp_path).client_bundle)


def known_to_dns(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def look_up(host: str, *_: Any, **__: Any) -> list[Any]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_name_is_that_of_one_host_whatever_its_case() -> None:
    laser, mill = entry(instance("Läser")), entry(instance("Mill"), id_="2")
    assert choose("läser", [laser, mill], {OWN_SITE}) == [laser]
    assert choose("LÄSER", [laser, mill], {OWN_SITE}) == [laser]


def test_a_part_of_a_name_is_no_name() -> None:
    assert choose("Laser", [entry(instance("Laser-Workshop", host="x.local"))], {OWN_SITE}) == []


def test_a_dns_name_reported_by_discovery_is_a_name_too() -> None:
    laser = entry(instance(host="laser.local"))
    assert choose("LASER.local.", [laser], {OWN_SITE}) == [laser]


def test_a_friendly_name_goes_before_a_dns_name() -> None:
    named = entry(instance("laser.local", host="other.local"))
    host = entry(instance("Mill", host="laser.local"), id_="2")
    assert choose("laser.local", [named, host], {OWN_SITE}) == [named]


def test_a_host_of_ours_goes_before_a_foreign_one_of_the_same_name() -> None:
    own, foreign = entry(instance()), entry(instance(site=FOREIGN_SITE), id_="2")
    assert choose("Laser-Workshop", [foreign, own], {OWN_SITE}) == [own]
    assert choose("Laser-Workshop", [foreign], {OWN_SITE}) == [foreign]


def test_a_configured_host_goes_before_all_others() -> None:
    configured = entry(instance(site=""), Source.STATIC)
    assert choose("Laser-Workshop", [entry(instance(), id_="2"), configured], {OWN_SITE}) == [
        configured
    ]


def test_two_hosts_of_ours_with_one_name_are_ambiguous() -> None:
    two = [entry(instance()), entry(instance("Laser-Workshop", "192.0.2.30"), id_="2")]
    assert choose("Laser-Workshop", two, {OWN_SITE}) == two


def test_an_empty_host_name_means_no_host() -> None:
    assert choose(".", [entry(instance(host=""))], {OWN_SITE}) == []
    assert at_address("", [entry(instance(host=""))]) == []


@pytest.mark.parametrize("where", ["192.0.2.20", "laser", "LASER.local", "laser.local."])
def test_a_host_is_known_by_its_address_and_its_dns_name(where: str) -> None:
    laser = entry(instance())
    assert at_address(where, [laser, entry(instance("B", "192.0.2.9", host="b.local"))]) == [laser]


def test_a_long_list_of_candidates_is_cut() -> None:
    many = [entry(instance(f"host-{number}"), id_=f"{number}") for number in range(40)]
    text = str(unknown("x", many, {OWN_SITE}))
    assert text.endswith("and 28 more")


def test_the_addresses_of_a_host_are_targets_under_its_name(bundle: ClientBundle) -> None:
    found = targets_of(entry(instance(NAME, "192.0.2.20", "fe80::1%eth0")), bundle)
    assert [str(each) for each in found] == ["192.0.2.20:50051", "[fe80::1%eth0]:50051"]
    assert {each.name for each in found} == {NAME}


def test_without_a_certificate_discovery_leads_nowhere_but_to_this_computer() -> None:
    found = targets_of(entry(instance(NAME, "192.0.2.20", "127.0.0.1", "::1")), None)
    assert [each.host for each in found] == ["127.0.0.1", "::1"]


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("192.0.2.20", Target("192.0.2.20", 50051)),
        (" [::1]:7 ", Target("::1", 7)),
        ("laser:7", Target("laser", 7)),
    ],
)
async def test_addresses_and_what_has_a_port_are_taken_as_they_are(
    text: str, target: Target, finder: FakeFinder
) -> None:
    assert await resolve(text, None, None) == target
    assert finder.entered == 0


@pytest.mark.parametrize("text", ["", "laser:abc", "laser:0", "http://laser"])
async def test_nonsense_is_refused(text: str, finder: FakeFinder) -> None:
    with pytest.raises(InvalidArgumentError):
        await resolve(text, None, None)


async def test_a_configured_name_needs_no_network(finder: FakeFinder) -> None:
    settings = Settings.model_validate({"hosts": {"Mill": {"address": "192.0.2.9", "serial": 7}}})
    target = await resolve("mill", settings, None)
    assert (str(target), target.name) == ("192.0.2.9:7", "mill")
    assert finder.entered == 0


async def test_a_configured_host_without_ports_is_reported() -> None:
    settings = Settings.model_validate({"hosts": {"Mill": {"address": "192.0.2.9", "serial": 0}}})
    with pytest.raises(NotFoundError, match="has no serial ports"):
        await resolve("Mill", settings, None)


async def test_a_name_known_to_dns_needs_no_discovery(
    monkeypatch: pytest.MonkeyPatch, finder: FakeFinder
) -> None:
    known_to_dns(monkeypatch, "laser")
    monkeypatch.setattr(name_lookup, "DNS_HEAD_START_S", 30)
    assert await resolve("laser", None, None) == Target("laser", 50051)
    assert finder.entered == 0


async def test_a_name_unknown_to_dns_is_looked_up_by_discovery(
    monkeypatch: pytest.MonkeyPatch, finder: FakeFinder
) -> None:
    known_to_dns(monkeypatch)
    finder.tell(instance("laser", "127.0.0.1", serial=1, tls=False))
    target = await resolve("Laser", None, None)
    assert (str(target), target.name) == ("127.0.0.1:1", "laser")
    assert finder.left == 1


async def test_a_resolver_that_hangs_blocks_no_caller(
    monkeypatch: pytest.MonkeyPatch, finder: FakeFinder
) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(name_lookup, "_in_dns", lambda _: loop.create_future())
    monkeypatch.setattr(name_lookup, "DNS_HEAD_START_S", 0.01)
    finder.tell(instance("laser", "127.0.0.1", serial=1))
    assert (await resolve("laser", None, None)).port == 1


async def test_dns_wins_where_it_answers_during_discovery(
    monkeypatch: pytest.MonkeyPatch, finder: FakeFinder
) -> None:
    in_dns: asyncio.Future[Target] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(name_lookup, "_in_dns", lambda _: in_dns)
    monkeypatch.setattr(name_lookup, "DNS_HEAD_START_S", 0.01)
    monkeypatch.setattr(name_lookup, "SETTLE_S", 30)
    finder.tell(instance("laser", "127.0.0.1", serial=1))
    resolving = asyncio.create_task(resolve("laser", None, None, timeout_s=30))
    finder.catalogue.subscribe(lambda: in_dns.set_result(Target("laser", 50051)))
    await asyncio.sleep(0)
    finder.tell(instance("mill"))
    assert await resolving == Target("laser", 50051)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("laser.local.", "laser.local"),
        ("müller.local", "xn--mller-kva.local"),
        ("Müller.local.", "xn--mller-kva.local"),
        ("müller", "xn--mller-kva"),
    ],
)
async def test_a_name_is_asked_for_as_dns_has_it(
    text: str, host: str, monkeypatch: pytest.MonkeyPatch, finder: FakeFinder
) -> None:
    known_to_dns(monkeypatch, host)
    assert await resolve(text, None, None) == Target(host, 50051)


async def test_a_name_that_only_mdns_knows_leads_to_its_address(
    monkeypatch: pytest.MonkeyPatch, finder: FakeFinder
) -> None:
    known_to_dns(monkeypatch, "müller.local".encode())  # type: ignore[arg-type]
    found = await resolve("Müller.local", None, None)
    assert found == Target("192.0.2.1", 50051, tls_name="xn--mller-kva.local")
    assert found.name == "Müller.local"


async def test_a_name_of_people_may_have_any_letters(
    monkeypatch: pytest.MonkeyPatch, finder: FakeFinder
) -> None:
    known_to_dns(monkeypatch)
    finder.tell(instance("Müller", "127.0.0.1", serial=1))
    assert (await resolve("müller", None, None)).port == 1


async def test_an_unknown_name_is_reported_with_the_known_ones(
    finder: FakeFinder, bundle: ClientBundle
) -> None:
    finder.tell(instance("Mill", "192.0.2.9", site=bundle.site))
    finder.tell(instance("Router", "192.0.2.30", site=FOREIGN_SITE))
    with pytest.raises(NotFoundError) as caught:
        await resolve("Lazer Workshop", None, bundle, timeout_s=0.05)
    assert str(caught.value) == (
        "no host is called 'Lazer Workshop'; found: Mill at 192.0.2.9:50051, "
        "Router at 192.0.2.30:50051 (foreign site ffffffffffff)"
    )


async def test_where_nothing_is_found_at_all_the_remedy_is_reported(finder: FakeFinder) -> None:
    with pytest.raises(NotFoundError, match=r"found no hosts: give its address"):
        await resolve(NAME, None, None, timeout_s=0.05)


async def test_an_ambiguous_name_is_reported_with_its_candidates(
    finder: FakeFinder, bundle: ClientBundle
) -> None:
    finder.tell(instance(NAME, "127.0.0.1", serial=1, site=bundle.site, host="a.local"))
    finder.tell(instance(NAME, "127.0.0.2", serial=1, site=bundle.site, host="b.local"), key="b")
    with pytest.raises(NotFoundError) as caught:
        await resolve(NAME, None, bundle)
    assert "2 hosts are called 'Laser Workshop'" in str(caught.value)
    assert "127.0.0.1:1" in str(caught.value)
    assert "127.0.0.2:1" in str(caught.value)
    assert "give its address" in str(caught.value)


async def test_a_host_known_only_by_beacon_may_share_its_name_with_one_not_yet_heard(
    finder: FakeFinder, bundle: ClientBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_lookup, "SETTLE_S", 0)
    settings = Settings.model_validate({"discovery": {"beacon_interval_s": 600}})
    host = instance(NAME, "127.0.0.1", serial=1, site=bundle.site, host="a.local")
    finder.tell(host, Source.BEACON)
    resolving = asyncio.create_task(resolve(NAME, settings, bundle, timeout_s=3600))
    await asyncio.sleep(0)
    other = instance(NAME, "127.0.0.2", serial=1, site=bundle.site, host="b.local")
    finder.tell(other, Source.BEACON, key="b")
    finder.tell(other, Source.MDNS, key="b")  # there mDNS gets through, and has told all
    with pytest.raises(NotFoundError, match="2 hosts are called 'Laser Workshop'"):
        await resolving


async def test_a_host_without_a_serial_service_is_reported(finder: FakeFinder) -> None:
    finder.tell(instance(NAME, "127.0.0.1", serial=0))
    with pytest.raises(NotFoundError, match="announces discovery, but no serial: is serial-svc"):
        await resolve(NAME, None, None)


async def test_a_host_elsewhere_is_not_for_plaintext(finder: FakeFinder) -> None:
    finder.tell(instance(NAME, "192.0.2.20"))
    with pytest.raises(NotFoundError, match=r"plaintext .* is for this computer only"):
        await resolve(NAME, None, None)


async def test_a_late_host_of_our_site_precedes_a_foreign_one(
    finder: FakeFinder, bundle: ClientBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name_lookup, "FOREIGN_SETTLE_S", 30)
    finder.tell(instance(NAME, "127.0.0.2", serial=1, site=FOREIGN_SITE), key="foreign")
    resolving = asyncio.create_task(resolve(NAME, None, bundle, timeout_s=60))
    await asyncio.sleep(0)
    finder.tell(instance(NAME, "127.0.0.1", serial=2, site=bundle.site, host="b.local"))
    assert str(await resolving) == "127.0.0.1:2"


async def test_other_lookups_do_not_delay_a_found_host(
    finder: FakeFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    finder.tell(instance(NAME, "127.0.0.1", serial=1))
    resolving = asyncio.create_task(resolve(NAME, None, None, timeout_s=3600))
    number = 0
    while not resolving.done():
        number += 1
        finder.tell(instance(f"other-{number % 50}", f"192.0.2.{number % 250}"))
        await asyncio.sleep(0.01)
    assert resolving.result().port == 1
