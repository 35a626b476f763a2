"""Where the time of round trips to hosts goes: once, or followed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from usbshare.base.event_loop import on_stop_signals
from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.hosts.status_view import Place
from usbshare.client.latency.fields import objects
from usbshare.client.latency.records import HostLatency
from usbshare.client.latency.text import page
from usbshare.client.latency.watch import LatencyWatch, look_once
from usbshare.client.serial.client import SerialClient
from usbshare.client.status.shown import Shown
from usbshare.rpc.tls import ClientBundle

LATENCY: Shown[HostLatency] = Shown(page, objects)


async def look(
    places: Sequence[Place], bundle: ClientBundle | None, timeout_s: float
) -> list[HostLatency]:
    """Return where the time goes at these hosts."""
    looks = (look_once(name, SerialClient(at, bundle), timeout_s) for name, at in places)
    return list(await asyncio.gather(*looks))


async def follow(
    places: Sequence[Place],
    bundle: ClientBundle | None,
    interval_s: float,
    show: Callable[[Sequence[HostLatency]], None],
) -> None:
    """Show it again and again until SIGINT or SIGTERM."""
    stopped, found = asyncio.Event(), dict[int, HostLatency]()
    on_stop_signals(stopped.set)
    tasks = [
        asyncio.create_task(
            LatencyWatch(name, SerialClient(at, bundle)).run(
                interval_s, partial(found.__setitem__, number)
            ),
            name=f"latency of {name}",
        )
        for number, (name, at) in enumerate(places)
    ]
    try:
        while not stopped.is_set():
            for task in tasks:
                if task.done():
                    task.result()
            if found:
                show([found[number] for number in sorted(found)])
            await set_within(stopped, interval_s)
    finally:
        await cancel_all(*tasks)
