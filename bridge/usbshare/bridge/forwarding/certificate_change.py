"""Takes a bridge that runs over to a new certificate: its session first, then the way for stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from usbshare.base.watched_task import cancel_all
from usbshare.bridge.enrolment.automatic_renewal import Renewing
from usbshare.bridge.forwarding.relay import Relay
from usbshare.bridge.forwarding.report import Reporter
from usbshare.bridge.hosts.tracker import HostTracker
from usbshare.client.connection_limiter import Turns
from usbshare.client.serial.dialer import Dialer
from usbshare.rpc.tls import ClientBundle


@asynccontextmanager
async def renewing(
    relay: Relay, tracker: HostTracker, dialer: Dialer, turns: Turns, reporter: Reporter
) -> AsyncIterator[None]:
    """Keep the certificate of a bridge current while the block lasts; plaintext has none."""
    if tracker.bundle is None:
        yield
        return

    async def adopt(bundle: ClientBundle) -> bool:
        tracker.bundle = bundle
        return await _change_over(relay, dialer)

    keeper = Renewing(tracker.bundle, lambda: tracker.target, adopt, reporter, turns)
    task = asyncio.create_task(keeper.run(), name="renewing")
    try:
        yield
    finally:
        await cancel_all(task)


async def _change_over(relay: Relay, dialer: Dialer) -> bool:
    """Move what stands; a session that is lost, or only observes, gets there by reconnecting."""
    link = relay.link
    if link is None or not link.can_move:
        return True
    client = await dialer.connect()
    is_moved = False
    try:
        is_moved = await link.move(client)
    finally:
        if not is_moved:
            await client.close()
    if is_moved and relay.urgent_line is not None:
        relay.urgent_line.move()
    return is_moved
