"""What camera-svc brings to the harness: its cameras and their servicer."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial

from usbshare.authorization.devices import Quarantine
from usbshare.authorization.rights import ResourceKind
from usbshare.base.threads import in_thread
from usbshare.camera_svc.api import convert
from usbshare.camera_svc.api.metrics import CameraCollector
from usbshare.camera_svc.api.servicer import SERVICE_NAME, CameraServicer, add_to_server
from usbshare.camera_svc.capture.device_list import CameraFound
from usbshare.camera_svc.capture.local_camera import camera_lister
from usbshare.camera_svc.capture.quarantine import CameraQuarantine
from usbshare.camera_svc.capture.registry import Encoding, Registry
from usbshare.camera_svc.settings import PROGRAM, Settings
from usbshare.hosts.instance import Kind
from usbshare.line.device_id_file import KnownDevices, devices_folder
from usbshare.rpc.channel import VIDEO_KEEPALIVE
from usbshare.service import harness
from usbshare.service.guard import Guard
from usbshare.service.harness import Host, Parts

log = logging.getLogger(__name__)

Look = Callable[[], tuple[CameraFound, ...]]


async def serve(settings: Settings, insecure: bool) -> None:
    """Serve until SIGINT or SIGTERM; raises ConfigError when it cannot start."""
    parts = partial(_parts, settings)
    await harness.serve(PROGRAM, settings, parts, insecure=insecure, keepalive=VIDEO_KEEPALIVE)


@asynccontextmanager
async def _parts(settings: Settings, host: Host) -> AsyncIterator[Parts]:
    guard, encoding = host.guard, make_encoding()
    async with harness.state_folder_thread() as background:
        known = KnownDevices(devices_folder(PROGRAM.name, settings.camera.listen), background)
        await harness.load_in_time(known.load, known.nobody_knows)
        host.bind()
        registry, look = _registry(guard, encoding, known), camera_lister(known)
        await _add_cameras(registry, settings, look)
        servicer = CameraServicer(registry, guard.gate, guard.audit)
        parts = Parts(
            service_name=SERVICE_NAME,
            add_to_server=partial(add_to_server, servicer),
            described=lambda: f"cameras: {', '.join(each.id for each in registry.cameras)}",
            collectors=[CameraCollector(lambda: registry.cameras)],
            tasks=lambda: {
                "follow_devices": _follow(registry, settings, look),
                "announce": harness.announce(host.announcing(settings.discovery, Kind.CAMERA)),
            },
            close=registry.close,
        )
        try:
            yield parts
        finally:
            await in_thread(encoding.executor.shutdown)


def make_encoding() -> Encoding:
    """Return threads for all cores but one, which is for everything that is not an encoder."""
    threads = max(1, (os.cpu_count() or 1) - 1)
    return Encoding(ThreadPoolExecutor(threads, "encode"), threads, convert.frame_bytes)


def _registry(guard: Guard, encoding: Encoding, known: KnownDevices) -> Registry:
    rulebook = guard.rulebook
    quarantine = Quarantine(lambda: rulebook.policy, guard.audit, PROGRAM.name, "camera")
    registry = Registry(encoding, CameraQuarantine(quarantine), known)
    rulebook.subscribe(registry.rules_changed)
    guard.offers(ResourceKind.CAMERA, lambda: [camera.id for camera in registry.cameras])
    return registry


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
    """Notice cameras that come and go, until cancelled, where none is configured."""
    if settings.cameras:
        await harness.never()
    else:
        await registry.follow(look)
