"""Asks one host where the time of its machines' round trips goes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace

from usbshare.base.backoff import Backoff
from usbshare.base.errors import UsbshareError
from usbshare.base.time_stats import TimeStats
from usbshare.client.latency.budget import budget
from usbshare.client.latency.records import HostLatency
from usbshare.client.serial.client import SerialClient
from usbshare.client.silence import Silence

FIRST_ROUND_TRIPS = 20
LATER_ROUND_TRIPS = 3
ANSWER_S = 5.0


class LatencyWatch:
    """Follows one host; the client is its own to close.

    Where nobody has control of a machine, the network is measured from this computer, by calls that
    do nothing.
    """

    def __init__(
        self, name: str, client: SerialClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._name = name
        self._client = client
        self._clock = clock
        self._network = TimeStats()
        self._silence = Silence(clock)

    async def look(self) -> HostLatency:
        """Return the host's machines as they are now; raises UsbshareError."""
        ports = await self._client.list_ports(ANSWER_S)
        self._silence.heard()
        if ports:
            await self._measure(ports[0].id)
        host = await self._client.times(ANSWER_S)
        network = self._network.summary(self._clock()) if self._network.count else None
        by_id = {each.port_id: each for each in host.ports}
        found = tuple(budget(port, by_id.get(port.id), host, network) for port in ports)
        return HostLatency(self._name, str(self._client.target), found)

    async def run(self, interval_s: float, show: Callable[[HostLatency], None]) -> None:
        """Look again and again until cancelled; closes the client.

        While the host is silent, what it answered last is shown as that.
        """
        backoff, found = Backoff(random.random), self._failed("no answer yet")

        def is_silent() -> None:
            show(replace(found, silent_since=self._silence.since))

        try:
            while True:
                wait_s = interval_s
                try:
                    found = await self._silence.told(self.look(), is_silent)
                    backoff.reset()
                except UsbshareError as error:
                    found = self._failed(str(error))
                    wait_s = max(wait_s, backoff.next_s())
                show(found)
                await asyncio.sleep(wait_s)
        finally:
            await self._client.close()

    def _failed(self, why: str) -> HostLatency:
        target, since = str(self._client.target), self._silence.since
        return HostLatency(self._name, target, failure=why, silent_since=since)

    async def _measure(self, port_id: str) -> None:
        for _ in range(LATER_ROUND_TRIPS if self._network.count else FIRST_ROUND_TRIPS):
            network_s = await self._client.network_time_s(port_id, ANSWER_S)
            if network_s is None:  # an older service does not say how long it took
                return
            self._silence.heard()
            self._network.add(network_s, self._clock())


async def look_once(name: str, client: SerialClient, timeout_s: float) -> HostLatency:
    """Return a host's machines; why it does not answer is its `failure`. Closes the client."""
    try:
        async with asyncio.timeout(timeout_s):
            return await LatencyWatch(name, client).look()
    except TimeoutError:
        failure = f"{name} did not answer within {timeout_s:g} s"
    except UsbshareError as error:
        failure = str(error)
    finally:
        await client.close()
    return HostLatency(name, str(client.target), failure=failure)
