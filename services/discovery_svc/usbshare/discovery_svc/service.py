"""The life of the service: announce this host, find the others, until told to stop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TypeVar

import grpc
from grpc_health.v1.health import aio as health

from usbshare.authorization.gate import DISCOVERY
from usbshare.base.addresses import split_host_port
from usbshare.base.errors import ConfigError
from usbshare.base.loop import on_stop_signals, settle_garbage
from usbshare.base.version import usbshare_version
from usbshare.discovery.v1.discovery_pb2_grpc import add_DiscoveryServiceServicer_to_server
from usbshare.discovery_svc.announcer import Announcer, own_host_name
from usbshare.discovery_svc.api.convert import InstanceWriter
from usbshare.discovery_svc.api.metrics import SourceCollector
from usbshare.discovery_svc.api.servicer import DiscoveryServicer
from usbshare.discovery_svc.registrations import Registrations
from usbshare.discovery_svc.settings import Settings
from usbshare.discovery_svc.site_news import follow_site
from usbshare.hosts.finder import Finder
from usbshare.hosts.instance import Endpoint, Instance, Kind, Source
from usbshare.hosts.reachability import is_reachable
from usbshare.hosts.settings import DISCOVERY_PORT
from usbshare.hosts.sources.beacon import BeaconPublisher
from usbshare.rpc.channel import QUIET_KEEPALIVE
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import ClientBundle, server_credentials
from usbshare.service.guard import Guard, open_guard
from usbshare.service.life import address_and_trust, own_site, run_until, stop_server
from usbshare.service.metrics import serve_metrics
from usbshare.trust.site import Site

log = logging.getLogger(__name__)

SERVICE_NAME = "usbshare.discovery.v1.DiscoveryService"
METRICS_PORT = 9466
SCRAPE_TIMEOUT_S = 5.0

T = TypeVar("T")


async def serve(settings: Settings, *, insecure: bool) -> None:
    """Serve until SIGINT or SIGTERM; raises ConfigError when it cannot start."""
    stopped = asyncio.Event()
    on_stop_signals(stopped.set)
    site = await _site(settings, insecure)
    async with open_guard(site, service=DISCOVERY, tls=settings.tls, audit=settings.audit) as guard:
        await _serve(settings, guard, stopped)


async def _serve(settings: Settings, guard: Guard, stopped: asyncio.Event) -> None:
    site = guard.site
    server = make_server(guard.interceptors, QUIET_KEEPALIVE)
    credentials = server_credentials(site) if site else None
    port = bind(server, settings.discovery.listen, credentials, DISCOVERY_PORT)
    finder = Finder(settings.discovery, settings.hosts, _bundle(site), time.monotonic)
    finder.add_counters(Source.LOCAL)
    announcer = _announcer(settings, port, site, finder)
    writer = InstanceWriter(site.fingerprint if site else "", time.time() - time.monotonic())
    servicer = _servicer(guard, finder, announcer, writer)
    add_DiscoveryServiceServicer_to_server(servicer, server)
    guard.add_services(server)
    health_servicer = await add_standard_services(server, [SERVICE_NAME])
    if settings.discovery.metrics:
        collector = SourceCollector(_on_loop(finder.stats), _on_loop(finder.active_instances))
        address, collectors = settings.discovery.metrics, (collector, *guard.collectors())
        serve_metrics(address, "discovery.metrics", METRICS_PORT, *collectors)
    await server.start()
    async with AsyncExitStack() as exits:
        exits.push_async_callback(_stop_server, server, health_servicer, servicer)
        await exits.enter_async_context(finder)
        finder.start_liveness()
        await announcer.start()
        settle_garbage()
        where = address_and_trust(settings.discovery.listen, port, site)
        log.info("discovery-svc ready at %s, name %r", where, announcer.name)
        announcing = announcer.run(finder.mdns, _publisher(settings, finder))
        exits.enter_context(guard.against_floods(port))
        await run_until(
            stopped,
            **guard.background(),
            announce=announcing,
            find=finder.run(),
            follow_site=_follow_site(site, finder, announcer, writer),
        )


async def _site(settings: Settings, insecure: bool) -> Site | None:
    if insecure:
        log.warning("plaintext: anybody on this computer may announce services (--insecure)")
        return None
    return await own_site(settings.tls.names, settings.tls.certificate_days)


def _bundle(site: Site | None) -> ClientBundle | None:
    """Return what own hosts are asked for their health with."""
    if site is None:
        return None
    try:
        return ClientBundle.load(site.host_bundle)
    except ConfigError as error:
        log.warning("hosts of this site are only knocked at, not asked for their health: %s", error)
        return None


def _announcer(settings: Settings, port: int, site: Site | None, finder: Finder) -> Announcer:
    table = settings.discovery
    host, _ = split_host_port(table.listen, DISCOVERY_PORT)
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
        await asyncio.get_running_loop().create_future()
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


async def _stop_server(
    server: grpc.aio.Server, health_servicer: health.HealthServicer, servicer: DiscoveryServicer
) -> None:
    await stop_server(server, health_servicer, servicer.close())


def _on_loop(function: Callable[[], T]) -> Callable[[], T]:
    """Return what calls a function on the running loop and is itself called in other threads."""
    loop = asyncio.get_running_loop()

    async def call() -> T:
        return function()

    return lambda: asyncio.run_coroutine_threadsafe(call(), loop).result(SCRAPE_TIMEOUT_S)
