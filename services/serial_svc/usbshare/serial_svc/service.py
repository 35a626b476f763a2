"""The life of the service: open to clients, serve until told to stop, end cleanly."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import grpc
from grpc_health.v1.health import aio as health

from usbshare.common.addresses import join_host_port, split_host_port
from usbshare.common.host_names import host_names
from usbshare.common.loop import on_stop_signals, settle_garbage
from usbshare.common.paths import config_folder, state_folder
from usbshare.common.server import add_standard_services, bind, make_server
from usbshare.common.site import Site, ensure_site
from usbshare.common.tls import server_credentials
from usbshare.serial.v1.serial_pb2_grpc import add_SerialServiceServicer_to_server
from usbshare.serial_svc.active_ports import ActivePorts
from usbshare.serial_svc.metrics import serve_metrics
from usbshare.serial_svc.port_config import QueueLimits
from usbshare.serial_svc.registry import Registry
from usbshare.serial_svc.servicer import SerialServicer
from usbshare.serial_svc.settings import Settings

log = logging.getLogger(__name__)

SERVICE_NAME = "usbshare.serial.v1.SerialService"
GRACE_S = 3.0


async def serve(settings: Settings, *, insecure: bool) -> None:
    """Serve until SIGINT or SIGTERM; raises ConfigError when it cannot start."""
    stopped = asyncio.Event()
    on_stop_signals(stopped.set)
    site = await asyncio.to_thread(_site, settings, insecure)
    registry = Registry(time.monotonic, _active_ports(settings))
    await _add_ports(registry, settings)
    await registry.stop_left_over()
    server = make_server()
    add_SerialServiceServicer_to_server(SerialServicer(registry), server)
    health_servicer = await add_standard_services(server, [SERVICE_NAME])
    credentials = server_credentials(site) if site else None
    port = bind(server, settings.service.listen, credentials)
    if settings.service.metrics:
        serve_metrics(settings.service.metrics, lambda: registry.ports)
    await server.start()
    settle_garbage()
    _say_ready(settings, port, site, registry)
    try:
        await _until(stopped, registry, settings)
    finally:
        await _end(server, health_servicer, registry)


def _active_ports(settings: Settings) -> ActivePorts:
    _, port = split_host_port(settings.service.listen, 0)
    return ActivePorts(state_folder() / "serial-svc" / f"active-{port}")


def _site(settings: Settings, insecure: bool) -> Site | None:
    if insecure:
        log.warning("plaintext: anybody on this computer may use the ports (--insecure)")
        return None
    site = ensure_site(config_folder(), host_names(settings.tls.names))
    if site.is_new:
        log.info("made site %s; for another PC copy %s", site.id, site.client_bundle)
    return site


async def _add_ports(registry: Registry, settings: Settings) -> None:
    for config in settings.port_configs():
        registry.add(config)
    await registry.scan(_offered(settings))
    if not registry.ports:
        registry.add_demo(settings.queue.limits())
        log.info("no USB serial port here: offering a simulated laser as port 'demo'")


def _offered(settings: Settings) -> QueueLimits | None:
    """Return the limits for ports that nobody configured, None if only configured ones count."""
    return None if settings.ports else settings.queue.limits()


def _say_ready(settings: Settings, port: int, site: Site | None, registry: Registry) -> None:
    host, _ = split_host_port(settings.service.listen, 0)
    trust = f"mTLS, site {site.id}" if site else "plaintext"
    names = ", ".join(port.id for port in registry.ports)
    log.info("serial-svc ready at %s (%s), ports: %s", join_host_port(host, port), trust, names)


async def _until(stopped: asyncio.Event, registry: Registry, settings: Settings) -> None:
    """Return when a signal comes; a background task that dies takes the service down."""
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(stopped.wait(), name="until stopped")]
    tasks.append(asyncio.create_task(registry.follow(_offered(settings)), name="follow devices"))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()


async def _end(
    server: grpc.aio.Server, health_servicer: health.HealthServicer, registry: Registry
) -> None:
    log.info("stopping: taking nothing new, ending sessions")
    await health_servicer.enter_graceful_shutdown()
    await registry.close()
    await server.stop(GRACE_S)
    log.info("stopped")
