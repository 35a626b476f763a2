"""A path to the machine for stops only: a separate connection, opened in advance and watched."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from usbshare.base.backoff import Backoff
from usbshare.base.errors import ConnectionRefusedByPeerError, UsbshareError
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.forwarding.report import Reporter
from usbshare.bridge.stop.delivery import Delivery
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.realtime_lane import Overtaking

log = logging.getLogger(__name__)

DELIVERY_S = 2.0
GIVE_UP_S = 30.0
PATIENCE_S = 0.5


class Dials(Protocol):
    """What connects, and knows every connection that works."""

    @property
    def living(self) -> list[SerialClient]:
        """The connections that work, the newest first."""
        ...

    async def connect(self) -> SerialClient:
        """Return a client that is connected; ConnectionRefusedByPeerError if one attempt fails."""
        ...

    def hurry(self) -> None:
        """Wake those who wait in `news`."""

    async def news(self, wait_s: float) -> None:
        """Return when a connection has been made, at `hurry`, or after that time."""


class UrgentLine:
    """Delivers the stops that a session's stream cannot take at once; used from one event loop.

    A stop that is not answered goes out on other connections too. `round_trip_s` tells how long
    an answer usually takes.
    """

    def __init__(
        self,
        dialer: Dials,
        reporter: Reporter,
        round_trip_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._dialer = dialer
        self._reporter = reporter
        self._round_trip_s = round_trip_s
        self._backoff = Backoff(random.random)
        self._is_reported_lost = False
        self._client: SerialClient | None = None
        self._anew = asyncio.Event()
        self._sending: set[asyncio.Task[bool]] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._lent: list[tuple[SerialClient, asyncio.Event]] = []
        self._keeping: asyncio.Task[None]

    def start(self) -> None:
        """Connect, and stay connected."""
        self._keeping = asyncio.create_task(self._keep(), name="urgent line")

    @property
    def is_ready(self) -> bool:
        """Whether its connection works, as far as is known."""
        return self._client is not None and not self._anew.is_set() and self._client.is_connected

    @property
    def client(self) -> SerialClient | None:
        """Its connection, None while it has none that works, as far as is known."""
        return self._client if self.is_ready else None

    @contextmanager
    def lent(self) -> Iterator[SerialClient | None]:
        """Lend its connection, None while it has none that works; it is not closed meanwhile."""
        if (client := self.client) is None:
            yield None
            return
        loan = client, asyncio.Event()
        self._lent.append(loan)
        try:
            yield client
        finally:
            self._lent.remove(loan)
            loan[1].set()

    def move(self) -> None:
        """Reconnect: the service has moved, or whether the connection is alive is unknown.

        What is being sent goes on where it began, and out on the new connection too.
        """
        self._anew.set()
        self._dialer.hurry()

    def send(self, stops: Overtaking, port_id: str, session_id: str) -> asyncio.Task[bool]:
        """Send real-time bytes; return whether the driver has them.

        A stop that is not delivered within 2 s is told, and tried for 30 s; what stands before it
        goes along once, while it is connected.
        """
        sending = asyncio.create_task(
            self._deliver(stops, port_id, session_id), name="urgent bytes"
        )
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)
        return sending

    async def close(self) -> None:
        """Finish what is being sent, within 2 s, then disconnect."""
        if self._sending:
            await asyncio.wait(self._sending, timeout=DELIVERY_S)
        tasks = (*self._sending, *self._leaving, self._keeping)
        await cancel_all(*tasks)
        if self._client is not None:
            await self._client.close()

    async def _keep(self) -> None:
        """Keep one connection; the next is made before the one before it is left."""
        while True:
            client = await self._connected()
            before, self._client = self._client, client
            self._anew.clear()
            self._tell_ready()
            if before is not None:
                self._leave(before)
            await _first(client.until_lost(), self._anew.wait())

    async def _connected(self) -> SerialClient:
        while True:
            try:
                client = await self._dialer.connect()
            except ConnectionRefusedByPeerError as error:
                log.debug("no connection for stops: %s", error)
                if not self.is_ready:
                    self._tell_lost()
                await self._dialer.news(self._backoff.next_s())
            else:
                self._backoff.reset()
                return client

    def _leave(self, client: SerialClient) -> None:
        """Close a connection, after what is being sent, which it may deliver within 2 s.

        Whoever has it uses it to the end.
        """
        returned = [returned for lent, returned in self._lent if lent is client]

        async def leave(sending: set[asyncio.Task[bool]]) -> None:
            try:
                if sending:
                    await asyncio.wait(sending, timeout=DELIVERY_S)
                for each in returned:
                    await each.wait()
            finally:  # also where the line is closed before that
                await client.close()

        leaving = asyncio.create_task(leave(set(self._sending)), name="urgent line leaves")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _deliver(self, stops: Overtaking, port_id: str, session_id: str) -> bool:
        data, started = stops.data, time.monotonic()
        told = asyncio.get_running_loop().call_later(DELIVERY_S, self._tell_unconfirmed)
        delivery = Delivery(self._dialer, port_id, session_id)
        try:
            async with asyncio.timeout(GIVE_UP_S):
                await self._send_all(delivery, stops)
        except (UsbshareError, TimeoutError) as error:
            self._tell_undelivered(data, str(error) or delivery.trouble)
            return False
        except asyncio.CancelledError:
            self._tell_undelivered(data, "the bridge ended")
            raise
        finally:
            told.cancel()
        log.info("sent %r to port '%s' on the urgent line", data, port_id)
        took_s = time.monotonic() - started
        if took_s > DELIVERY_S:
            text = f"the stop was delivered after {took_s:.1f} s"
            self._reporter.event("stop_delivered", text, took_s=round(took_s, 3))
        return True

    async def _send_all(self, delivery: Delivery, what: Overtaking) -> None:
        """Send it, or else at least its stops; the service carries out no number twice."""
        patience_s = PATIENCE_S + 2 * self._round_trip_s()
        if what.first != what.stops and await self._goes_at_once(delivery, what, patience_s):
            return
        if not what.stops:
            raise ConnectionRefusedByPeerError("there is no connection for stops")
        for message in what.stops:
            await delivery.insist(message, lambda: self._client, patience_s)

    async def _goes_at_once(self, delivery: Delivery, what: Overtaking, patience_s: float) -> bool:
        """Send what must not come late, if that can be."""
        client = self._client
        if client is None or not client.is_connected:
            return False
        try:
            async with asyncio.timeout(patience_s):
                for message in what.first:
                    await delivery.once(client, message)
        except (UsbshareError, TimeoutError):  # also where what stands before a stop is refused
            return False
        return True

    def _tell_unconfirmed(self) -> None:
        self._reporter.event(
            "stop_unconfirmed",
            "the stop is not confirmed: use the machine's own emergency stop; "
            "it is still being tried",
        )

    def _tell_undelivered(self, data: bytes, reason: str) -> None:
        log.error("%r could not be delivered: %s", data, reason)
        self._reporter.event(
            "stop_undelivered",
            "the stop could not be delivered: use the machine's own emergency stop",
            reason=reason,
        )

    def _tell_lost(self) -> None:
        if not self._is_reported_lost:
            self._is_reported_lost = True
            self._reporter.event(
                "urgent_line_lost",
                "the connection for stops is lost: until it is back, "
                "use the machine's own emergency stop",
            )

    def _tell_ready(self) -> None:
        if self._is_reported_lost:
            self._is_reported_lost = False
            self._reporter.event("urgent_line_ready", "the connection for stops is back")


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    """Return when one of them is over."""
    tasks = [asyncio.create_task(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_all(*tasks)
