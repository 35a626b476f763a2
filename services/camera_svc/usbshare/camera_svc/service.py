"""The life of the service: open to viewers, serve until told to stop, end cleanly."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from usbshare.authorization.devices import Quarantine
from usbshare.authorization.rights import ResourceKind
from usbshare.base.loop import on_stop_signals, settle_garbage
from usbshare.base.thread_notes import Background
from usbshare.base.threads import in_thread
from usbshare.camera_svc.api import convert
from usbshare.camera_svc.api.metrics import CameraCollector
from usbshare.camera_svc.api.servicer import SERVICE_NAME, CameraServicer, add_to_server
from usbshare.camera_svc.capture.device_list import CameraFound
from usbshare.camera_svc.capture.local_camera import camera_lister
from usbshare.camera_svc.capture.quarantine import CameraQuarantine
from usbshare.camera_svc.capture.registry import Encoding, Registry
from usbshare.camera_svc.settings import Settings
from usbshare.client.announcing import announcing
from usbshare.hosts.instance import Endpoint, Kind
from usbshare.line.known_devices import KnownDevices, devices_folder
from usbshare.rpc.channel import VIDEO_KEEPALIVE
from usbshare.rpc.server import add_standard_services, bind, make_server
from usbshare.rpc.tls import server_credentials
from usbshare.service.guard import Guard, open_guard
from usbshare.service.life import (
    address_and_trust,
    load_in_time,
    own_site,
    run_until,
    stop_server,
)
from usbshare.service.metrics import serve_metrics
from usbshare.trust.site import Site

log = logging.getLogger(__name__)

CAMERA_PORT = 50052
METRICS_PORT = 9465

Look = Callable[[], tuple[CameraFound, ...]]


async def serve(settings: Settings, *, insecure: bool) -> None:
    """Serve until SIGINT or SIGTERM; raises ConfigError when it cannot start."""
    stopped = asyncio.Event()
    on_stop_signals(stopped.set)
    site = await _site(settings, insecure)
    async with open_guard(
        site, service="camera-svc", tls=settings.tls, audit=settings.audit
    ) as guard:
        await _serve(settings, guard, stopped)


async def _serve(settings: Settings, guard: Guard, stopped: asyncio.Event) -> None:
    background = Background("the state folder")
    known = KnownDevices(devices_folder("camera-svc", settings.camera.listen), background)
    await load_in_time(known.load, known.nobody_knows)
    try:
        await _serve_with(settings, guard, stopped, known)
    finally:
        await in_thread(background.close)


async def _serve_with(
    settings: Settings, guard: Guard, stopped: asyncio.Event, known: KnownDevices
) -> None:
    site = guard.site
    server = make_server(guard.interceptors, VIDEO_KEEPALIVE)
    credentials = server_credentials(site) if site else None
    port = bind(server, settings.camera.listen, credentials, CAMERA_PORT)
    encoding = make_encoding()
    quarantine = Quarantine(lambda: guard.rulebook.policy, guard.audit, "camera-svc", "camera")
    registry = Registry(encoding, CameraQuarantine(quarantine), known)
    look = camera_lister(known)
    guard.rulebook.subscribe(registry.rules_changed)
    guard.offers(ResourceKind.CAMERA, lambda: [camera.id for camera in registry.cameras])
    await _add_cameras(registry, settings, look)
    add_to_server(CameraServicer(registry, guard.gate, guard.audit), server)
    guard.add_services(server)
    health_servicer = await add_standard_services(server, [SERVICE_NAME])
    if settings.camera.metrics:
        collector = CameraCollector(lambda: registry.cameras)
        address, collectors = settings.camera.metrics, (collector, *guard.collectors())
        serve_metrics(address, "camera.metrics", METRICS_PORT, *collectors)
    await server.start()
    settle_garbage()
    _say_ready(settings, port, site, registry)
    try:
        with guard.against_floods(port):
            await run_until(
                stopped,
                **guard.background(),
                follow_devices=_follow(registry, settings, look),
                announce=_announce(settings, port, site),
            )
    finally:
        log.info("stopping: taking nothing new, ending streams")
        await stop_server(server, health_servicer, registry.close())
        await in_thread(encoding.executor.shutdown)


def make_encoding() -> Encoding:
    """Return threads for all cores but one, which is for everything that is not an encoder."""
    threads = max(1, (os.cpu_count() or 1) - 1)
    return Encoding(ThreadPoolExecutor(threads, "encode"), threads, convert.frame_bytes)


async def _site(settings: Settings, insecure: bool) -> Site | None:
    if insecure:
        log.warning("plaintext: anybody on this computer may watch the cameras (--insecure)")
        return None
    return await own_site(settings.tls.names, settings.tls.certificate_days)


async def _add_cameras(registry: Registry, settings: Settings, look: Look) -> None:
    for camera_id, table in settings.cameras.items():
        registry.add_configured(table.config(camera_id), table.wish())
    if settings.cameras:
        return
    registry.plugged_in(await in_thread(look))
    if not registry.cameras:
        registry.add_demo()
        log.info("no camera here: offering a simulated laser bed as camera 'demo'")


async def _follow(registry: Registry, settings: Settings, look: Look) -> None:
    """Notice cameras that come and go, for ever, where none is configured."""
    if settings.cameras:
        await asyncio.get_running_loop().create_future()
    else:
        await registry.follow(look)


async def _announce(settings: Settings, port: int, site: Site | None) -> None:
    """Tell this computer's discovery service that there are cameras, for ever."""
    endpoint = Endpoint(Kind.CAMERA, port)
    told = announcing(settings.discovery, site, settings.camera.listen, endpoint)
    if told is None:
        await asyncio.get_running_loop().create_future()
    else:
        await told.run()


def _say_ready(settings: Settings, port: int, site: Site | None, registry: Registry) -> None:
    where = address_and_trust(settings.camera.listen, port, site)
    names = ", ".join(each.id for each in registry.cameras)
    log.info("camera-svc ready at %s, cameras: %s", where, names)
