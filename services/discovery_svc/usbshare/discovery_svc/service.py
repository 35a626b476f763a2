"""What discovery-svc brings to the harness: what it finds, what it announces, their servicer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVar

from usbshare.base.addresses import split_host_port
from usbshare.base.errors import ConfigError
from usbshare.base.version import usbshare_version
from usbshare.discovery.v1.discovery_pb2_grpc import add_DiscoveryServiceServicer_to_server
from usbshare.discovery_svc.announcer import Announcer, own_host_name
from usbshare.discovery_svc.api.convert import InstanceWriter
from usbshare.discovery_svc.api.metrics import SourceCollector
from usbshare.discovery_svc.api.servicer import SERVICE_NAME, DiscoveryServicer
from usbshare.discovery_svc.registrations import Registrations
from usbshare.discovery_svc.settings import PROGRAM, Settings
from usbshare.discovery_svc.site_watch import follow_site
from usbshare.hosts.finder import Finder
from usbshare.hosts.instance import Endpoint, Instance, Kind, Source
from usbshare.hosts.reachability import is_reachable
from usbshare.hosts.sources.beacon import BeaconPublisher
from usbshare.rpc.channel import QUIET_KEEPALIVE
from usbshare.rpc.tls import ClientBundle
from usbshare.service import harness
from usbshare.service.guard import Guard
from usbshare.service.harness import Host, Parts
from usbshare.trust.site import Site

log = logging.getLogger(__name__)

SCRAPE_TIMEOUT_S = 5.0

T = TypeVar("T")


async def serve(settings: Settings, insecure: bool) -> None:
    """Serve until SIGINT or SIGTERM; raises ConfigError when it cannot start."""
    parts = partial(_parts, settings)
    await harness.serve(PROGRAM, settings, parts, insecure=insecure, keepalive=QUIET_KEEPALIVE)


@asynccontextmanager
async def _parts(settings: Settings, host: Host) -> AsyncIterator[Parts]:
    site, port = host.site, host.bind()
    finder = Finder(settings.discovery, settings.hosts, _bundle(site), time.monotonic)
    finder.add_counters(Source.LOCAL)
    announcer = _announcer(settings, port, site, finder)
    writer = InstanceWriter(site.fingerprint if site else "", time.time() - time.monotonic())
    servicer = _servicer(host.guard, finder, announcer, writer)
    yield Parts(
        service_name=SERVICE_NAME,
        add_to_server=partial(add_DiscoveryServiceServicer_to_server, servicer),
        described=lambda: f"name {announcer.name!r}",
        collectors=[SourceCollector(_on_loop(finder.stats), _on_loop(finder.active_instances))],
        opened=_finding(finder, announcer),
        tasks=lambda: {
            "announce": announcer.run(finder.mdns, _publisher(settings, finder)),
            "find": finder.run(),
            "follow_site": _follow_site(site, finder, announcer, writer),
        },
        close=servicer.close,
    )


@asynccontextmanager
async def _finding(finder: Finder, announcer: Announcer) -> AsyncIterator[None]:
    async with finder:
        finder.start_liveness()
        await announcer.start()
        yield


def _bundle(site: Site | None) -> ClientBundle | None:
    """Return what own hosts are asked for their health with."""
    if site is None:
        return None
    try:
        return ClientBundle.load(site.host_bundle)
    except ConfigError as error:
        log.warning(
            "checking hosts of this site only by connecting, without asking for their health: %s",
            error,
        )
        return None


def _announcer(settings: Settings, port: int, site: Site | None, finder: Finder) -> Announcer:
    table = settings.discovery
    host, _ = split_host_port(table.listen, PROGRAM.port)
    is_open = is_reachable(host, table.chosen_interfaces)
    instance = Instance(
        name=table.friendly_name,
        addresses=(),
        endpoints=(Endpoint(Kind.DISCOVERY, port),) if is_open else (),
        host=own_host_name(),
        tls=site is not None,
        site=site.fingerprint if site else "",
        version=usbshare_version(),
    )
    return Announcer(instance, table.chosen_interfaces, finder.catalogue)


async def _follow_site(
    site: Site | None, finder: Finder, announcer: Announcer, writer: InstanceWriter
) -> None:
    """Go on with the site's certificates of the moment."""
    if site is None:
        await harness.never()
        return

    def told(fingerprint: str) -> None:
        writer.own_site = fingerprint
        announcer.is_of_site(fingerprint)

    await follow_site(site, told, finder.liveness.use)


def _servicer(
    guard: Guard, finder: Finder, announcer: Announcer, writer: InstanceWriter
) -> DiscoveryServicer:
    registrations = Registrations(time.monotonic, announcer.offered)
    return DiscoveryServicer(
        finder, registrations, writer, lambda: announcer.name, guard.gate, guard.audit
    )


def _publisher(settings: Settings, finder: Finder) -> BeaconPublisher | None:
    counters = finder.counters.get(Source.BEACON)
    return None if counters is None else BeaconPublisher(counters, settings.discovery)


def _on_loop(function: Callable[[], T]) -> Callable[[], T]:
    """Return what calls a function on the running loop and is itself called in other threads."""
    loop = asyncio.get_running_loop()

    async def call() -> T:
        return function()

    return lambda: asyncio.run_coroutine_threadsafe(call(), loop).result(SCRAPE_TIMEOUT_S)
