"""What serial-svc brings to the harness: its ports and their servicer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from usbshare.authorization.devices import Quarantine
from usbshare.authorization.rights import ResourceKind
from usbshare.base.addresses import split_host_port
from usbshare.base.background_writer import Background
from usbshare.base.lateness import Lateness
from usbshare.base.paths import state_folder
from usbshare.base.threads import in_thread
from usbshare.client.announcement import Announcing
from usbshare.hosts.instance import Kind
from usbshare.line.device_id_file import KnownDevices, devices_folder
from usbshare.serial.v1.serial_pb2_grpc import add_SerialServiceServicer_to_server
from usbshare.serial_svc.api.metrics import PortCollector
from usbshare.serial_svc.api.servicer import SERVICE_NAME, SerialServicer
from usbshare.serial_svc.line.port_config import QueueLimits
from usbshare.serial_svc.ports.quarantine import PortQuarantine
from usbshare.serial_svc.ports.registry import Registry
from usbshare.serial_svc.settings import PROGRAM, Settings
from usbshare.serial_svc.stop.active_ports import ActivePorts
from usbshare.serial_svc.stop.latch_file import Found, LatchNotes, read_notes
from usbshare.service import harness
from usbshare.service.guard import Guard
from usbshare.service.harness import READ_TIMEOUT_S, Host, Parts

log = logging.getLogger(__name__)


async def serve(settings: Settings, insecure: bool) -> None:
    """Serve until SIGINT or SIGTERM; raises ConfigError when it cannot start."""
    await harness.serve(PROGRAM, settings, partial(_parts, settings), insecure=insecure)


@asynccontextmanager
async def _parts(settings: Settings, host: Host) -> AsyncIterator[Parts]:
    guard = host.guard
    async with harness.state_folder_thread() as background:
        registry = await _registry(settings, guard, background)
        await _add_ports(registry, settings)
        await registry.stop_after_crash()
        guard.invites(host.bind, settings.discovery.chosen_interfaces)
        lateness = Lateness()
        servicer = SerialServicer(registry, guard.gate, lateness)
        yield Parts(
            service_name=SERVICE_NAME,
            add_to_server=partial(add_SerialServiceServicer_to_server, servicer),
            described=lambda: f"ports: {', '.join(port.id for port in registry.ports)}",
            collectors=[PortCollector(lambda: registry.ports, lateness)],
            tasks=lambda: {
                "lateness": lateness.run(),
                "follow_devices": registry.follow(_offered(settings), guard.watch),
                "announce": announce_ports(
                    host.announcing(settings.discovery, Kind.SERIAL), registry
                ),
            },
            close=registry.close,
        )


async def _registry(settings: Settings, guard: Guard, background: Background) -> Registry:
    active = _active_ports(settings, background)
    known = KnownDevices(devices_folder(PROGRAM.name, settings.service.listen), background)
    async with harness.aloud(f"the notes in {state_folder()}"):
        latches, _, _ = await asyncio.gather(  # the limits of all three are one
            _latches(settings, background),
            harness.load_in_time(active.load, active.nobody_knows),
            harness.load_in_time(known.load, known.nobody_knows),
        )
    registry = Registry(
        *(time.monotonic, active, _quarantine(guard), guard.audit, known),
        latch_of=latches.of,
        audits_contents=settings.audit.contents,
    )
    guard.rulebook.subscribe(registry.rules_changed)
    guard.offers(ResourceKind.PORT, lambda: [port.id for port in registry.ports])
    return registry


async def announce_ports(told: Announcing | None, registry: Registry) -> None:
    """Announce the ports to this computer's discovery service, until cancelled."""
    if told is None:
        await harness.never()
    else:
        await asyncio.gather(told.run(), _tell_ports(told, registry))


async def _tell_ports(told: Announcing, registry: Registry) -> None:
    async for _ in registry.watch():
        told.has_ports([port.id for port in registry.ports])


def _quarantine(guard: Guard) -> PortQuarantine:
    rulebook, audit = guard.rulebook, guard.audit
    return PortQuarantine(Quarantine(lambda: rulebook.policy, audit, PROGRAM.name, "serial port"))


async def _latches(settings: Settings, background: Background) -> LatchNotes:
    """Return the latches that the previous service left; all ports have one if that is unknown."""
    folder = state_folder() / PROGRAM.name / "latches"
    _, port = split_host_port(settings.service.listen, 0)
    try:
        found = await asyncio.wait_for(in_thread(read_notes, folder), READ_TIMEOUT_S)
    except TimeoutError:
        found = Found(trouble=f"{folder} does not answer within {READ_TIMEOUT_S:g} s")
    return LatchNotes(folder, str(port), found, background)


def _active_ports(settings: Settings, background: Background) -> ActivePorts:
    _, port = split_host_port(settings.service.listen, 0)
    return ActivePorts(state_folder() / PROGRAM.name / f"active-{port}", background)


async def _add_ports(registry: Registry, settings: Settings) -> None:
    for config in settings.port_configs():
        registry.add(config)
    await registry.scan(_offered(settings))
    if not registry.ports:
        registry.add_demo(settings.port_limits())
        log.info("no USB serial port here: offering a simulated laser as port 'demo'")


def _offered(settings: Settings) -> QueueLimits | None:
    """Return the limits for ports that are not configured, None if only configured ones count."""
    return None if settings.ports else settings.port_limits()
