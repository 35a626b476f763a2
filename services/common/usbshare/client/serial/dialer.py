"""Makes the connections of one bridge to its service, one attempt at a time.

An attempt is not abandoned while it may still succeed: each takes several round trips, and a busy
service answers in its own time. Only one that ran out of its time makes the next one longer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

import grpc

from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.base.waits import set_within
from usbshare.base.watched_task import cancel_all
from usbshare.client.connection_limiter import Turns
from usbshare.client.serial.client import SerialClient
from usbshare.rpc.status import error_from_rpc

log = logging.getLogger(__name__)

FIRST_ATTEMPT_S = 10.0
LONGEST_ATTEMPT_S = 40.0
_NEARLY = 0.9
KEPT = 4

MakeClient = Callable[[float], SerialClient]


class Connections(Protocol):
    """What makes connections."""

    async def connect(self, *, looks_closer: bool = False) -> SerialClient:
        """Return a client that is connected, the caller's to close."""
        ...

    async def explain(self, client: SerialClient, error: grpc.aio.AioRpcError) -> UsbshareError:
        """Return why a call failed; the client is closed."""
        ...


class Dialer:
    """Connects for a session, for stops and for a move; `make` is given an attempt's time.

    `living` are the connections that work, the newest first: a stop may go out on any of them.
    """

    def __init__(self, make: MakeClient, turns: Turns, clock: Callable[[], float]) -> None:
        self._make = make
        self._turns = turns
        self._clock = clock
        self._attempt_s = FIRST_ATTEMPT_S
        self._attempt: asyncio.Task[None] | None = None
        self._began = 0.0
        self._made: list[SerialClient] = []
        self._news = asyncio.Event()

    @property
    def living(self) -> list[SerialClient]:
        """The connections that work, as far as is known."""
        self._made = [each for each in self._made if each.is_connected]
        return list(reversed(self._made))

    async def connect(self, *, looks_closer: bool = False) -> SerialClient:
        """Return a client that is connected, the caller's to close.

        One attempt; ConnectionRefusedByPeerError says why it failed, `looks_closer` in words that
        help, which takes time. An attempt that was only too slow is then followed by a longer one.
        """
        async with self._turns.turn():
            while True:
                client, attempt_s = self._make(self._attempt_s), self._attempt_s
                try:
                    await self._dial(client)
                except ConnectionRefusedByPeerError as error:
                    why = await client.why_unreachable() if looks_closer else str(error)
                    if not why and self._attempt_s > attempt_s:
                        continue
                    raise ConnectionRefusedByPeerError(why or str(error)) from error
                return client

    async def explain(self, client: SerialClient, error: grpc.aio.AioRpcError) -> UsbshareError:
        """Return why a call failed, looking closer where gRPC does not say; closes the client."""
        if not isinstance(error_from_rpc(error), ConnectionRefusedByPeerError):
            return await client.explain(error)
        await client.close()
        async with self._turns.turn():
            return await client.explain(error)

    def abandon(self, older_than_s: float = 0.0) -> None:
        """Give up an attempt of that age: the host is elsewhere, or another since it was begun."""
        if self._attempt is not None and self._clock() - self._began >= older_than_s:
            self._attempt.cancel()

    def hurry(self) -> None:
        """Wake those who wait in `news`."""
        self._news.set()

    async def news(self, wait_s: float) -> None:
        """Return when a connection has been made, at `hurry`, or after that time."""
        self._news.clear()
        await set_within(self._news, wait_s)

    async def _dial(self, client: SerialClient) -> None:
        self._began = started = self._clock()
        self._attempt = attempt = asyncio.create_task(client.connect(), name="dial")
        try:
            await asyncio.wait((attempt,))
            if attempt.cancelled():
                raise ConnectionRefusedByPeerError(f"{client.target}: the host was seen again")
            attempt.result()
        except BaseException:
            if self._clock() - started >= _NEARLY * self._attempt_s:
                self._attempt_s = min(LONGEST_ATTEMPT_S, 2 * self._attempt_s)
            await _give_up(attempt, client)
            raise
        finally:
            self._attempt = None
            del attempt  # its exception leads to this frame: it would keep the connection alive
        log.debug("connected to %s in %.3f s", client.target, self._clock() - started)
        self._attempt_s = FIRST_ATTEMPT_S
        self._made = [*self._made[-KEPT:], client]
        self._news.set()


async def _give_up(attempt: asyncio.Task[None], client: SerialClient) -> None:
    await cancel_all(attempt)
    await client.close()
