"""One service of a host, followed: asked again after each failure, until cancelled."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from usbshare.base.backoff import Backoff
from usbshare.base.errors import (
    ConnectionRefusedByPeerError,
    DrainingError,
    PeerRefusesError,
    SessionLostError,
    UsbshareError,
)
from usbshare.handshakes.unreachable import unreachable
from usbshare.hosts.identity_proof import first_proven
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

LOOK_S = 5.0


class ServiceState(Enum):
    """The state of the connection to a service."""

    NONE = "none"
    NOT_ASKED = "not asked"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service as pages show it."""

    state: ServiceState = ServiceState.NONE
    reason: str = ""
    target: str = ""


async def follow(
    once: Callable[[], Awaitable[None]],
    ended: Callable[[ServiceState, str], None],
    least_s: float = 0.0,
) -> None:
    """Run `once` again and again; `ended` is told how and why it ended. Never returns."""
    backoff = Backoff(random.random)
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        try:
            await once()
            ended(ServiceState.LOST, "the service ended the stream")
        except UsbshareError as error:
            ended(_state_after(error), str(error))
        if loop.time() - began > LOOK_S:  # it was established for a while
            backoff.reset()
        await asyncio.sleep(max(least_s, backoff.next_s()))


async def proven(targets: Sequence[Target], bundle: ClientBundle | None) -> Target:
    """Return the first target whose service proves its identity.

    ConnectionRefusedByPeerError if none.
    """
    if not targets:
        raise ConnectionRefusedByPeerError("its address is not known")
    found = await first_proven(targets, bundle)
    if found is None:
        why = await unreachable(targets[0], bundle, LOOK_S)
        raise why or ConnectionRefusedByPeerError(f"{targets[0]} did not answer")
    return found


def _state_after(error: UsbshareError) -> ServiceState:
    if isinstance(error, PeerRefusesError):
        return ServiceState.REFUSED
    is_gone = isinstance(error, (ConnectionRefusedByPeerError, SessionLostError, DrainingError))
    return ServiceState.LOST if is_gone else ServiceState.REFUSED
