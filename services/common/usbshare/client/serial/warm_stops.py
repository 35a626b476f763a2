"""A connection to one service that is kept open for what acts on a machine at once."""

from __future__ import annotations

import random
from asyncio import sleep
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from usbshare.base.backoff import Backoff
from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.stop_client import STOP_TIMEOUT_S
from usbshare.rpc.channel import STOP_KEEPALIVE, Target
from usbshare.rpc.tls import ClientBundle


class WarmStops:
    """Lends the open connection; while there is none, a new one that is not abandoned for slowness.

    A connection is closed with the last call that uses it: one that failed under a stop still has
    the attempts that run beside it.
    """

    def __init__(self, target: Target, bundle: ClientBundle | None) -> None:
        self._target = target
        self._bundle = bundle
        self._client: SerialClient | None = None
        self._users: Counter[SerialClient] = Counter()
        self._backoff = Backoff(random.random)

    @property
    def is_ready(self) -> bool:
        """Whether the connection works, as far as is known."""
        return self._client is not None and self._client.is_connected

    async def keep(self) -> None:
        """Connect, and stay connected, until cancelled."""
        while True:
            client = SerialClient(self._target, self._bundle)
            try:
                await client.connect()
                self._client = client
                self._backoff.reset()
                await client.until_lost()
            except ConnectionRefusedByPeerError:
                await sleep(self._backoff.next_s())
            finally:
                self._client = None
                await self._close_unused(client)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[SerialClient]:
        """Lend a connection for calls that must not wait."""
        client = self._client
        if client is None or not client.is_connected:
            client = SerialClient(self._target, self._bundle, STOP_TIMEOUT_S, STOP_KEEPALIVE)
        self._users[client] += 1
        try:
            yield client
        finally:
            self._users[client] -= 1
            if client is not self._client:
                await self._close_unused(client)

    async def _close_unused(self, client: SerialClient) -> None:
        if not self._users[client]:
            del self._users[client]
            await client.close()
