"""Asks one host what its machines are doing: once, or again and again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace

from usbshare.base.backoff import Backoff
from usbshare.base.errors import UsbshareError
from usbshare.base.watched_task import cancel_all
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.latency import Latency
from usbshare.client.serial.machine import MachineStatus
from usbshare.client.serial.messages import RemotePort
from usbshare.client.silence import Silence
from usbshare.client.status.host_jobs import HostJobs, troubles_of, with_jobs
from usbshare.client.status.records import HostStatus, PortStatus
from usbshare.rpc.channel import Target
from usbshare.rpc.tls import ClientBundle

ROUND_TRIPS = 5
MOST_AT_ONCE = 16
ANSWER_S = 5.0
# How long the first view waits for what machines report.
FIRST_S = 1.0
# After a port's machine could not be watched: an older service cannot tell.
AGAIN_S = 10.0


async def look_once(
    name: str,
    target: Target,
    bundle: ClientBundle | None,
    timeout_s: float,
    job_port: int | None = None,
) -> HostStatus:
    """Return what a host's machines are doing; why it does not answer is its `failure`."""
    client, jobs = SerialClient(target, bundle), HostJobs(target, bundle, job_port)
    try:
        async with asyncio.timeout(timeout_s):
            status, found = await asyncio.gather(_looked(name, client, timeout_s), jobs.look())
            ports = tuple(with_jobs(each, found) for each in status.ports)
            return replace(status, ports=ports, job_troubles=troubles_of(found))
    except TimeoutError:
        failure = f"{name} did not answer within {timeout_s:g} s"
    except UsbshareError as error:
        failure = str(error)
    finally:
        await client.close()
        await jobs.close()
    return HostStatus(name, str(target), failure=failure)


async def _looked(name: str, client: SerialClient, timeout_s: float) -> HostStatus:
    places, machines = asyncio.Semaphore(MOST_AT_ONCE), dict[str, MachineStatus | None]()

    async def look_at(port: RemotePort) -> None:
        async with places:
            machines[port.id] = await _first_of(client, port)

    await asyncio.gather(*map(look_at, await client.list_ports(timeout_s)))  # connects
    latency, ports = Latency(), list[RemotePort]()
    for _ in range(ROUND_TRIPS):
        ports = await _timed(client, latency)
    found = (PortStatus(port, machines.get(port.id)) for port in ports)
    return HostStatus(name, str(client.target), tuple(found), latency.summary())


async def _timed(client: SerialClient, latency: Latency) -> list[RemotePort]:
    start = time.monotonic()
    ports = await client.list_ports(ANSWER_S)
    latency.add(time.monotonic() - start)
    return ports


async def _first_of(client: SerialClient, port: RemotePort) -> MachineStatus | None:
    if port.state != "open":
        return None
    try:
        async with aclosing(client.watch_machine(port.id, 1.0)) as watched:
            return await anext(watched, None)
    except UsbshareError:  # an older service, or a port that has just gone
        return None


class HostWatch:
    """Follows one host; `status` is as it answered last, and says so while it is silent.

    `on_change` is called at each answer, and when it falls silent.
    """

    def __init__(
        self,
        name: str,
        client: SerialClient,
        jobs: HostJobs,
        interval_s: float,
        on_change: Callable[[], None],
    ) -> None:
        self.status: HostStatus | None = None
        self._name = name
        self._client = client
        self._jobs = jobs
        self._interval_s = interval_s
        self._on_change = on_change
        self._latency = Latency()
        self._silence = Silence()
        self._is_connected = False
        self._has_news = asyncio.Event()
        self._machines: dict[str, MachineStatus] = {}
        self._followed: dict[str, asyncio.Task[None]] = {}
        self._not_before: dict[str, float] = {}

    async def run(self) -> None:
        """Ask again and again, until cancelled; closes the client."""
        backoff = Backoff(random.random)
        try:
            while True:
                wait_s = self._interval_s
                try:
                    self.status = await self._silence.told(self._look(), self._is_silent)
                    backoff.reset()
                except UsbshareError as error:
                    self._is_connected = False
                    self.status = self._failed(str(error))
                    wait_s = max(wait_s, backoff.next_s())
                self._on_change()
                await asyncio.sleep(wait_s)
        finally:
            await self._leave(list(self._followed))
            await self._client.close()
            await self._jobs.close()

    def _is_silent(self) -> None:
        if self.status is None:
            self.status = self._failed("no answer yet")
        elif not self.status.failure:
            self.status = replace(self.status, silent_since=self._silence.since)
        self._on_change()

    def _failed(self, why: str) -> HostStatus:
        target, since = str(self._client.target), self._silence.since
        return HostStatus(self._name, target, failure=why, silent_since=since)

    async def _look(self) -> HostStatus:
        if not self._is_connected:
            await self._follow(_open_ones(await self._client.list_ports()))
            await self._until_all_reported()
            self._is_connected = True
        ports = await _timed(self._client, self._latency)
        self._silence.heard()
        await self._follow(_open_ones(ports))
        jobs = await self._jobs.look()
        shown = (with_jobs(PortStatus(port, self._machines.get(port.id)), jobs) for port in ports)
        target = str(self._client.target)
        latency, troubles = self._latency.summary(), troubles_of(jobs)
        return HostStatus(self._name, target, tuple(shown), latency, job_troubles=troubles)

    async def _follow(self, wanted: set[str]) -> None:
        ended = [port_id for port_id, task in self._followed.items() if task.done()]
        await self._leave([*ended, *(self._followed.keys() - wanted - set(ended))])
        now = time.monotonic()
        for port_id in wanted - self._followed.keys():
            if now >= self._not_before.get(port_id, now):
                self._not_before[port_id] = now + AGAIN_S
                task = asyncio.create_task(self._machine(port_id), name=f"watch {port_id}")
                self._followed[port_id] = task

    async def _until_all_reported(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_S):
                while len(self._machines) < len(self._followed):
                    self._has_news.clear()
                    await self._has_news.wait()

    async def _leave(self, port_ids: list[str]) -> None:
        await cancel_all(*(self._followed.pop(port_id) for port_id in port_ids))
        for port_id in port_ids:
            self._machines.pop(port_id, None)

    async def _machine(self, port_id: str) -> None:
        try:
            async with aclosing(self._client.watch_machine(port_id, self._interval_s)) as watched:
                async for status in watched:
                    self._machines[port_id] = status
                    self._silence.heard()
                    self._has_news.set()
        except UsbshareError:  # the next look says why, if it is more than this port
            return


def _open_ones(ports: list[RemotePort]) -> set[str]:
    return {port.id for port in ports if port.state == "open"}
