"""What the machines of hosts are doing: once, or followed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from usbshare.base.watched_task import cancel_all
from usbshare.bridge.hosts.inventory import Inventory, KnownHost
from usbshare.bridge.hosts.match_filter import PORT
from usbshare.client.serial.client import SerialClient
from usbshare.client.status.follow import Followed, Show
from usbshare.client.status.host_jobs import HostJobs
from usbshare.client.status.host_watch import look_once
from usbshare.client.status.records import HostStatus
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

# How often it is looked for hosts that have come.
NEW_HOSTS_S = 30.0

Place = tuple[str, Target]  # what people call a host, and where its service is
Survey = Callable[[], Coroutine[Any, Any, Inventory]]


def place_of(target: Target) -> Place:
    """Return the place of a host that was asked for."""
    return KnownHost.at(target).name, target


def places_of(inventory: Inventory) -> list[Place]:
    """Return the places of the hosts that answered, by name."""
    return sorted(inventory.places_of(PORT).items(), key=lambda place: place[0].casefold())


async def look(
    places: Sequence[Place], bundle: ClientBundle | None, timeout_s: float
) -> list[HostStatus]:
    """Return what the machines of these hosts are doing."""
    looks = (look_once(name, target, bundle, timeout_s) for name, target in places)
    return list(await asyncio.gather(*looks))


async def follow(
    places: Sequence[Place],
    bundle: ClientBundle | None,
    interval_s: float,
    show: Show,
    survey: Survey | None,
) -> None:
    """Show them again and again until SIGINT or SIGTERM; `survey` finds hosts that have come."""
    followed, known = Followed(interval_s), set[str]()

    def add(found: Sequence[Place]) -> None:
        for name, target in found:
            if name not in known:
                known.add(name)
                followed.add(name, SerialClient(target, bundle), HostJobs(target, bundle))

    async def look_for_more() -> None:
        while survey is not None:
            await asyncio.sleep(NEW_HOSTS_S)
            add(places_of(await survey()))

    add(places)
    looking = asyncio.create_task(look_for_more(), name="look for hosts")
    try:
        await followed.show(show)
    finally:
        await cancel_all(looking)
