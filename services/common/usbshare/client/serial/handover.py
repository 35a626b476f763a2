"""A session's way from one connection to another, while its program writes and its machine works.

The service takes a session over from a stream that is still open, so it is never lost. Before that
the old stream falls quiet: the answer to its last heartbeat says that the service has everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.heartbeats import Heartbeats
from usbshare.client.serial.messages import Heartbeat, Message

QUIET_S = 1.75  # less than the silence after which the service takes the link for lost


class Handover:
    """What a link does when it is asked to move.

    `is_quiet` while nothing must be sent, `has_left` while what the old stream brings comes again.
    """

    def __init__(self, beats: Heartbeats) -> None:
        self.is_quiet = self.has_left = False
        self._beats = beats
        self._wanted = asyncio.Event()
        self._last: Heartbeat | None = None
        self._asked: tuple[SerialClient, asyncio.Future[SerialClient | None]] | None = None

    async def ask(self, client: SerialClient) -> bool:
        """Have the session go over there and close what it left; False if it stays."""
        if self._asked is not None:
            return False
        result = asyncio.get_running_loop().create_future()
        self._asked = (client, result)
        self._wanted.set()
        try:
            left = await result
        finally:
            self._asked = None
        if left is not None:
            await left.close()
        return left is not None

    @property
    def client(self) -> SerialClient:
        """Where to go; only after `until_quiet`."""
        if self._asked is None:
            raise asyncio.CancelledError  # it is no longer wanted
        return self._asked[0]

    async def until_quiet(self, send: Callable[[Heartbeat], None]) -> None:
        """Wait for a wish, let nothing be sent any more, and until the service has what was."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._last = last = self._beats.next()
            send(last)
            try:
                async with asyncio.timeout(QUIET_S):
                    await self._beats.until_answered(last.id)
            except TimeoutError:
                self.give_up()
                send(self._beats.next())  # which lets what waited go on
            else:
                return

    def sending(self, message: Message) -> None:
        """Note what is sent; after the last heartbeat nothing is."""
        if message is self._last:
            self.is_quiet = True

    def leaves(self) -> None:
        """Note that the session goes over now; what the old stream still brings comes first."""
        self.has_left = True

    def left_for(self, old: SerialClient) -> SerialClient:
        """Note that the session has arrived; returns its connection; `old` is closed."""
        client = self.client
        if self._asked is not None and not self._asked[1].done():
            self._asked[1].set_result(old)
        return client

    def arrived(self) -> None:
        """Let everything be sent again."""
        self.is_quiet = self.has_left = False
        self._last = None

    def give_up(self) -> None:
        """Stay, and report that to the caller that asked."""
        self.arrived()
        self._wanted.clear()
        if self._asked is not None and not self._asked[1].done():
            self._asked[1].set_result(None)
