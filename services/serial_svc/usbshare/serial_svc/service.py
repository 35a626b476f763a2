"""The life of the service: open to clients, serve until told to stop, end cleanly."""

from __future__ import annotations

import asyncio
import logging
import time

from usbshare.authorization.devices import Quarantine
from usbshare.authorization.rights import ResourceKind
from usbshare.base.addresses import split_host_port
from usbshare.base.loop import on_stop_signals, settle_garbage
from usbshare.base.paths import state_folder
from usbshare.base.thread_notes import Background
from usbshare.base.threads import in_thread
from usbshare.client.announcing import Announcing, announcing
from usbshare.hosts.instance import Endpoint, Kind
from usbshare.line.known_devices import KnownDevices, devices_folder
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import server_credentials
from usbshare.serial.v1.serial_pb2_grpc import add_SerialServiceServicer_to_server
from usbshare.serial_svc.api.metrics import PortCollector
from usbshare.serial_svc.api.servicer import SerialServicer
from usbshare.serial_svc.line.port_config import QueueLimits
from usbshare.serial_svc.ports.quarantine import PortQuarantine
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.settings import Settings
from usbshare.serial_svc.stop.active_ports import ActivePorts
from usbshare.serial_svc.stop.latch_file import Found, LatchNotes, read_notes
from usbshare.service.guard import Guard, open_guard
from usbshare.service.life import (
    READ_TIMEOUT_S,
    address_and_trust,
    aloud,
    load_in_time,
    own_site,
    run_until,
    stop_server,
)
from usbshare.service.metrics import serve_metrics
from usbshare.trust.site import Site

log = logging.getLogger(__name__)

SERVICE_NAME = "usbshare.serial.v1.SerialService"
METRICS_PORT = 9464


async def serve(settings: Settings, *, insecure: bool) -> None:
    """Serve until SIGINT or SIGTERM; raises ConfigError when it cannot start."""
    stopped = asyncio.Event()
    on_stop_signals(stopped.set)
    site = await _site(settings, insecure)
    async with open_guard(
        site, service="serial-svc", tls=settings.tls, audit=settings.audit
    ) as guard:
        await _serve(settings, guard, stopped)


async def _serve(settings: Settings, guard: Guard, stopped: asyncio.Event) -> None:
    background = Background("the state folder")
    try:
        await _serve_with(settings, guard, stopped, background)
    finally:
        await in_thread(background.close)


async def _serve_with(
    settings: Settings, guard: Guard, stopped: asyncio.Event, background: Background
) -> None:
    site, active = guard.site, _active_ports(settings, background)
    known = KnownDevices(devices_folder("serial-svc", settings.service.listen), background)
    async with aloud(f"the notes in {state_folder()}"):
        latches, _, _ = await asyncio.gather(  # the limits of all three are one
            _latches(settings, background),
            load_in_time(active.load, active.nobody_knows),
            load_in_time(known.load, known.nobody_knows),
        )
    registry = Registry(
        *(time.monotonic, active, _quarantine(guard), guard.audit, known),
        latch_of=latches.of,
        audits_contents=settings.audit.contents,
    )
    guard.rulebook.subscribe(registry.rules_changed)
    guard.offers(ResourceKind.PORT, lambda: [port.id for port in registry.ports])
    await _add_ports(registry, settings)
    await registry.stop_after_crash()
    server = make_server(guard.interceptors)
    add_SerialServiceServicer_to_server(SerialServicer(registry, guard.gate), server)
    guard.add_services(server)
    health_servicer = await add_standard_services(server, [SERVICE_NAME])
    credentials = server_credentials(site) if site else None
    port = bind(server, settings.service.listen, credentials)
    if settings.service.metrics:
        collector = PortCollector(lambda: registry.ports)
        address, collectors = settings.service.metrics, (collector, *guard.collectors())
        serve_metrics(address, "service.metrics", METRICS_PORT, *collectors)
    await server.start()
    settle_garbage()
    _say_ready(settings, port, site, registry)
    following = registry.follow(_offered(settings), guard.watch)
    try:
        with guard.against_floods(port):
            await run_until(
                stopped,
                **guard.background(),
                follow_devices=following,
                announce=tell_discovery(settings, port, site, registry),
            )
    finally:
        log.info("stopping: taking nothing new, ending sessions")
        await stop_server(server, health_servicer, registry.close())


async def tell_discovery(
    settings: Settings, port: int, site: Site | None, registry: Registry
) -> None:
    """Tell this computer's discovery service what there is, for ever."""
    endpoint = Endpoint(Kind.SERIAL, port)
    told = announcing(settings.discovery, site, settings.service.listen, endpoint)
    if told is None:
        await asyncio.get_running_loop().create_future()
    else:
        await asyncio.gather(told.run(), _tell_ports(told, registry))


async def _tell_ports(told: Announcing, registry: Registry) -> None:
    async for _ in registry.watch():
        told.has_ports([port.id for port in registry.ports])


def _quarantine(guard: Guard) -> PortQuarantine:
    rulebook, audit = guard.rulebook, guard.audit
    return PortQuarantine(Quarantine(lambda: rulebook.policy, audit, "serial-svc", "serial port"))


async def _latches(settings: Settings, background: Background) -> LatchNotes:
    """Return the latches that the service before left; all ports have one if nobody can tell."""
    folder = state_folder() / "serial-svc" / "latches"
    _, port = split_host_port(settings.service.listen, 0)
    try:
        found = await asyncio.wait_for(in_thread(read_notes, folder), READ_TIMEOUT_S)
    except TimeoutError:
        found = Found(trouble=f"{folder} does not answer within {READ_TIMEOUT_S:g} s")
    return LatchNotes(folder, str(port), found, background)


def _active_ports(settings: Settings, background: Background) -> ActivePorts:
    _, port = split_host_port(settings.service.listen, 0)
    return ActivePorts(state_folder() / "serial-svc" / f"active-{port}", background)


async def _site(settings: Settings, insecure: bool) -> Site | None:
    if insecure:
        log.warning("plaintext: anybody on this computer may use the ports (--insecure)")
        return None
    return await own_site(settings.tls.names, settings.tls.certificate_days)


async def _add_ports(registry: Registry, settings: Settings) -> None:
    for config in settings.port_configs():
        registry.add(config)
    await registry.scan(_offered(settings))
    if not registry.ports:
        registry.add_demo(settings.port_limits())
        log.info("no USB serial port here: offering a simulated laser as port 'demo'")


def _offered(settings: Settings) -> QueueLimits | None:
    """Return the limits for ports that nobody configured, None if only configured ones count."""
    return None if settings.ports else settings.port_limits()


def _say_ready(settings: Settings, port: int, site: Site | None, registry: Registry) -> None:
    where = address_and_trust(settings.service.listen, port, site)
    names = ", ".join(port.id for port in registry.ports)
    log.info("serial-svc ready at %s, ports: %s", where, names)
