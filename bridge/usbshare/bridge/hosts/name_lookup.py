"""Where the host is that a person calls by name: configuration, DNS or discovery knows it.

Discovery is imported only where it is needed, since `usbshare-bridge stop` comes by here.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from typing import TYPE_CHECKING

from usbshare.base.addresses import dns_form, parse_address
from usbshare.base.errors import InvalidArgumentError, NotFoundError
from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all
from usbshare.rpc.channel import DEFAULT_PORT, Target, parse_target
from usbshare.rpc.tls import ClientBundle

if TYPE_CHECKING:
    from usbshare.bridge.settings import Settings
    from usbshare.hosts.catalogue import Catalogue
    from usbshare.hosts.finder import Finder
    from usbshare.hosts.instance import Entry

DNS_HEAD_START_S = 0.15
SETTLE_S = 0.25
# A foreign host may have the name of one of ours, which then is meant.
FOREIGN_SETTLE_S = 1.0


async def resolve(
    text: str,
    settings: Settings | None,
    bundle: ClientBundle | None,
    timeout_s: float = 3.0,
    kind: str = "serial",
) -> Target:
    """Return where the service is that the text names, of that kind as discovery calls it.

    An address, or anything with a port, is taken as it is. NotFoundError names the candidates
    where nobody, or more than one host, has the name; InvalidArgumentError: the text is no name.
    """
    name = text.strip()
    if (target := configured(name, settings)) is not None:
        return target
    if (target := _as_written(name)) is not None:
        return target
    return await _look_up(name, settings, bundle, timeout_s, kind)


def configured(name: str, settings: Settings | None) -> Target | None:
    """Return the target of the host with this name in `[hosts]`, None if there is none.

    NotFoundError if `[hosts]` says that the host has no serial ports.
    """
    hosts = settings.hosts if settings is not None else {}
    folded = name.casefold()
    host = next((host for known, host in hosts.items() if known.casefold() == folded), None)
    if host is None:
        return None
    if not host.serial:
        raise NotFoundError(f"[hosts] says that {name!r} has no serial ports (serial = 0)")
    return Target(host.address, host.serial, name=name)


def open_finder(settings: Settings | None, bundle: ClientBundle | None) -> Finder:
    """Return what finds hosts, as configured; it is not started yet."""
    from usbshare.hosts.finder import Finder  # noqa: PLC0415 - see the top
    from usbshare.hosts.settings import DiscoveryTable  # noqa: PLC0415

    if settings is None:
        return Finder(DiscoveryTable(), {}, bundle, time.monotonic)
    return Finder(settings.discovery, settings.hosts, bundle, time.monotonic)


def _as_written(text: str) -> Target | None:
    """Return the target that an address, or a host with a port, is; None for a mere name."""
    try:
        target = parse_target(text)
    except InvalidArgumentError:
        if ":" in text or "/" in text or not text:
            raise
        return None
    is_name = parse_address(target.host) is None and target.host == dns_form(text)
    return None if is_name else target


async def _look_up(
    name: str,
    settings: Settings | None,
    bundle: ClientBundle | None,
    timeout_s: float,
    kind: str,
) -> Target:
    """Ask DNS and, unless that answers at once, discovery; DNS wins where it has an answer."""
    in_dns = _in_dns(name)
    await asyncio.wait((in_dns,), timeout=DNS_HEAD_START_S)
    if in_dns.done() and (known := in_dns.result()):
        return known
    discovering = _discover(name, settings, bundle, timeout_s, kind)
    finding = asyncio.create_task(discovering, name="discover")
    try:
        await asyncio.wait((in_dns, finding), return_when=asyncio.FIRST_COMPLETED)
        if in_dns.done() and (known := in_dns.result()):
            return known
        return await finding
    finally:
        await cancel_all(finding)


def _in_dns(name: str) -> asyncio.Future[Target | None]:
    """Return where the host is that the system's resolver knows by this name, None if it does not.

    In a thread that the end of the program does not wait for: without network it takes long.
    """
    loop = asyncio.get_running_loop()
    known: asyncio.Future[Target | None] = loop.create_future()

    def settle(found: Target | None) -> None:
        if not known.done():
            known.set_result(found)

    def ask() -> None:
        found = _resolved(name)
        with suppress(RuntimeError):  # the loop may be closed meanwhile
            loop.call_soon_threadsafe(settle, found)

    if dns_form(name):
        threading.Thread(target=ask, name="DNS", daemon=True).start()
    else:
        known.set_result(None)
    return known


def _resolved(name: str) -> Target | None:
    """Ask for the name in ASCII, as DNS has it, then in UTF-8, as mDNS does (RFC 6762, 16)."""
    ascii_name = dns_form(name)
    if _addresses_of(ascii_name):
        return Target(ascii_name, DEFAULT_PORT)
    if not name.isascii() and (found := _addresses_of(name.lower().encode())):
        return Target(found[0], DEFAULT_PORT, tls_name=ascii_name, name=name)
    return None


def _addresses_of(name: str | bytes) -> list[str]:
    try:
        found = socket.getaddrinfo(name, DEFAULT_PORT, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(entry[4][0]) for entry in found]


async def _discover(
    name: str,
    settings: Settings | None,
    bundle: ClientBundle | None,
    timeout_s: float,
    kind: str,
) -> Target:
    from usbshare.hosts import host_selection  # noqa: PLC0415 - see the top
    from usbshare.hosts.identity_proof import first_proven  # noqa: PLC0415
    from usbshare.hosts.instance import Kind  # noqa: PLC0415
    from usbshare.hosts.settings import DiscoveryTable  # noqa: PLC0415
    from usbshare.hosts.targets import sites_of, targets_of  # noqa: PLC0415

    sites = sites_of(bundle)
    beacon_interval_s = (settings.discovery if settings else DiscoveryTable()).beacon_interval_s
    async with open_finder(settings, bundle) as finder:
        found = await _settled(finder.catalogue, name, sites, timeout_s, beacon_interval_s)
        if not found:
            raise host_selection.unknown(name, finder.catalogue.entries(), sites)
    places = [targets_of(each, bundle, Kind(kind)) for each in found]
    if not any(places):
        raise host_selection.not_to_be_used(found[0], kind)
    answering = await asyncio.gather(*(first_proven(each, bundle) for each in places))
    if len(proven := [each for each in answering if each is not None]) == 1:
        return proven[0]
    if len(found) > 1:
        raise host_selection.ambiguous(name, found, sites)
    return places[0][0]


async def _settled(
    catalogue: Catalogue,
    name: str,
    sites: Collection[str],
    timeout_s: float,
    beacon_interval_s: float,
) -> list[Entry]:
    """Return who has the name, once no other host has appeared for a moment; empty at the end."""
    from usbshare.hosts import host_selection  # noqa: PLC0415 - see the top
    from usbshare.hosts.instance import Source  # noqa: PLC0415

    def settle_s() -> float:
        shortest_s = SETTLE_S if _is_ours(found, sites) else FOREIGN_SETTLE_S
        # A beacon cannot be requested: another host of this name may not have sent its own yet.
        is_beacon_alone = all(each.sources == {Source.BEACON} for each in found)
        return shortest_s + (beacon_interval_s if is_beacon_alone else 0.0)

    changed = asyncio.Event()
    unsubscribe = catalogue.subscribe(changed.set)
    clock = asyncio.get_running_loop().time
    end, since = clock() + timeout_s, 0.0
    found: list[Entry] = []
    try:
        while True:
            before, found = found, host_selection.choose(name, catalogue.entries(), sites)
            if [each.id for each in found] != [each.id for each in before]:
                since = clock()
            wait_s = (min(since + settle_s(), end) if found else end) - clock()
            if wait_s <= 0:
                return found
            await set_within(changed, wait_s)
            changed.clear()
    finally:
        unsubscribe()


def _is_ours(found: list[Entry], sites: Collection[str]) -> bool:
    return not sites or any(each.instance.site in sites for each in found)
