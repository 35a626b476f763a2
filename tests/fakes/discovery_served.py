"""A discovery service in the test's own process, that hears only what the test reports to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from fakes.gates import gate_of
from usbshare.discovery.v1.discovery_pb2_grpc import (
    DiscoveryServiceStub,
    add_DiscoveryServiceServicer_to_server,
)
from usbshare.discovery_svc.announcer import Announcer
from usbshare.discovery_svc.api.convert import InstanceWriter
from usbshare.discovery_svc.api.servicer import SERVICE_NAME, DiscoveryServicer
from usbshare.discovery_svc.registrations import Registrations
from usbshare.hosts.finder import Finder
from usbshare.hosts.instance import Endpoint, Instance, Kind, Observation, Source
from usbshare.hosts.settings import DiscoveryTable, HostTable
from usbshare.rpc.channel import Target, open_channel
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import ClientBundle, server_credentials
from usbshare.trust.site import Site

if TYPE_CHECKING:  # only the type stubs know it
    from usbshare.discovery.v1.discovery_pb2_grpc import DiscoveryServiceAsyncStub

QUIET = DiscoveryTable(mdns=False, beacon=False)


@dataclass
class Served:
    """A running service and a client of its site."""

    finder: Finder
    registrations: Registrations
    servicer: DiscoveryServicer
    site: Site
    target: Target
    channel: grpc.aio.Channel
    stub: DiscoveryServiceAsyncStub

    def observe(self, name: str, **fields: Any) -> None:
        """Let it hear of a host."""
        found: dict[str, Any] = {"endpoints": (Endpoint(Kind.SERIAL, 50051),), **fields}
        instance = Instance(name, (f"192.0.2.{sum(name.encode()) % 250}",), **found)
        self.finder.catalogue.observe(Observation(Source.MDNS, name, instance))

    def forget(self, name: str) -> None:
        """Let it hear of a host's end."""
        self.finder.catalogue.forget(Source.MDNS, name)

    @property
    def own(self) -> Instance:
        """What it announces of its own host."""
        found = self.finder.catalogue.entries()
        return next(each.instance for each in found if Source.LOCAL in each.sources)


@asynccontextmanager
async def serving(site: Site, port: int = 0, **hosts: HostTable) -> AsyncIterator[Served]:
    """Serve on loopback, with these hosts in the static list."""
    bundle = ClientBundle.load(site.client_bundle)
    async with Finder(QUIET, hosts, bundle, time.monotonic) as finder:
        own = Instance("own", (), (Endpoint(Kind.DISCOVERY, 1),), site=site.fingerprint)
        announcer = Announcer(own, ["127.0.0.1"], finder.catalogue)
        registrations = Registrations(time.monotonic, announcer.offered)
        writer = InstanceWriter(site.fingerprint, time.time() - time.monotonic())
        gate = gate_of(site, "discovery-svc")
        servicer = DiscoveryServicer(finder, registrations, writer, lambda: announcer.name, gate)
        server = make_server()
        add_DiscoveryServiceServicer_to_server(servicer, server)
        await add_standard_services(server, [SERVICE_NAME])
        bound = bind(server, f"127.0.0.1:{port}", server_credentials(site))
        target = Target("127.0.0.1", bound)
        await announcer.start()
        await server.start()
        telling = asyncio.create_task(announcer.run(None, None))
        channel = open_channel(target, bundle)
        stub = DiscoveryServiceStub(channel)
        yield Served(finder, registrations, servicer, site, target, channel, stub)
        await servicer.close()
        await channel.close()
        await server.stop(None)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
