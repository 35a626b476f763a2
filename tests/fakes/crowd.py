"""Many hosts at once, that come, change, leave and die: real announcements and real ports."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol

from usbshare.hosts.catalogue import Catalogue
from usbshare.hosts.counters import SourceCounters
from usbshare.hosts.instance import Endpoint, Instance, Kind
from usbshare.hosts.mdns.mdns import MdnsNode
from usbshare.hosts.settings import DiscoveryTable
from usbshare.hosts.sources.beacon import BeaconPublisher

ADDRESS = "127.0.0.1"


class _Voice(Protocol):
    async def start(self) -> None: ...

    async def tell(self, instance: Instance) -> None: ...

    async def leave(self) -> None: ...

    async def die(self) -> None: ...


class _Beacon:
    def __init__(self, settings: DiscoveryTable) -> None:
        self._publisher = BeaconPublisher(SourceCounters(time.monotonic), settings)

    async def start(self) -> None:
        await self._publisher.start()

    async def tell(self, instance: Instance) -> None:
        self._publisher.announce(instance)

    async def leave(self) -> None:
        await self._publisher.close()

    async def die(self) -> None:
        self._publisher._instance = None  # without a withdrawal
        await self._publisher.close()


class _Mdns:
    def __init__(self, settings: DiscoveryTable) -> None:
        counters = SourceCounters(time.monotonic)
        self._node = MdnsNode(Catalogue(time.monotonic), counters, settings)

    async def start(self) -> None:
        await self._node.start()

    async def tell(self, instance: Instance) -> None:
        await self._node.announce(instance)

    async def leave(self) -> None:
        await self._node.close()

    async def die(self) -> None:
        await self._node.close()  # zeroconf knows no other end


class Host:
    """One of them: something that listens, and an announcement of it."""

    def __init__(self, voice: _Voice) -> None:
        self.name = f"crowd-{uuid.uuid4().hex[:10]}"
        self.instance = Instance(self.name, (ADDRESS,), ())
        self._voice = voice
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen and announce."""
        self._server = await asyncio.start_server(_hang_up, ADDRESS, 0)
        port = self._server.sockets[0].getsockname()[1]
        endpoints = (Endpoint(Kind.SERIAL, port),)
        self.instance = replace(self.instance, endpoints=endpoints, port_ids=("laser",))
        await self._voice.start()
        await self._voice.tell(self.instance)

    async def change(self, number: int) -> None:
        """Have another port than before."""
        self.instance = replace(self.instance, port_ids=("laser", f"port-{number}"))
        await self._voice.tell(self.instance)

    async def leave(self) -> None:
        """Withdraw and disappear."""
        await self._voice.leave()
        await self._close()

    async def die(self) -> None:
        """Be gone."""
        await self._voice.die()
        await self._close()

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()


class Crowd:
    """The current hosts; `by_mdns` of them announce by mDNS, the others by beacon."""

    def __init__(self, settings: DiscoveryTable) -> None:
        self.hosts: list[Host] = []
        self.came = self.changed = self.left = self.died = 0
        self._settings = settings
        self._random = random.Random(4)

    @property
    def table(self) -> dict[str, tuple[int, tuple[str, ...]]]:
        """What a watcher should know: name to port and port ids."""
        return {
            each.name: (each.instance.endpoints[0].port, each.instance.port_ids)
            for each in self.hosts
        }

    async def grow(self, by_beacon: int, by_mdns: int) -> None:
        """Let more hosts come."""
        voices: list[_Voice] = [_Beacon(self._settings) for _ in range(by_beacon)]
        voices += [_Mdns(self._settings) for _ in range(by_mdns)]
        for voice in voices:
            await self._come(voice)

    async def churn(self) -> None:
        """Let one host change, one leave or die, and another come in its place."""
        number = self.came
        await self._random.choice(self.hosts).change(number)
        self.changed += 1
        gone = self.hosts.pop(self._random.randrange(len(self.hosts)))
        if number % 2:
            self.left += 1
            await gone.leave()
        else:
            self.died += 1
            await gone.die()
        is_mdns = isinstance(gone._voice, _Mdns)
        await self._come(_Mdns(self._settings) if is_mdns else _Beacon(self._settings))

    async def end(self) -> None:
        """Let all leave."""
        await asyncio.gather(*(each.leave() for each in self.hosts))

    async def _come(self, voice: _Voice) -> None:
        host = Host(voice)
        await host.start()
        self.hosts.append(host)
        self.came += 1


@asynccontextmanager
async def crowd(settings: DiscoveryTable) -> AsyncIterator[Crowd]:
    """Make a crowd, which leaves at the end."""
    made = Crowd(settings)
    try:
        yield made
    finally:
        await made.end()


async def _hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()
