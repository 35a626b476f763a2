"""Every port of the host, by id: the configured ones, or what is plugged in."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable
from enum import Enum

from usbshare.common.device_source import SerialDeviceFound, list_serial_devices
from usbshare.common.errors import InvalidArgumentError, NotFoundError
from usbshare.serial_svc.active_ports import ActivePorts
from usbshare.serial_svc.description import PortDescription, UsbIdentity
from usbshare.serial_svc.port import SerialPort
from usbshare.serial_svc.port_config import PortConfig, QueueLimits
from usbshare.serial_svc.signal import Signal
from usbshare.serial_svc.sources import device_maker, is_present

log = logging.getLogger(__name__)

SCAN_INTERVAL_S = 1.0
DEMO_PORT = "demo"
DEMO_SOURCE = "sim://grbl"


class Change(Enum):
    """What happened to a port of a watched set."""

    EXISTING = "existing"
    ADDED = "added"
    UPDATED = "updated"
    REMOVED = "removed"


class Registry:
    """The ports of this host. Ids never are device paths, which change on replug."""

    def __init__(self, clock: Callable[[], float], active: ActivePorts | None = None) -> None:
        self._clock = clock
        self._active = active
        self._ports: dict[str, SerialPort] = {}
        self._changed = Signal()

    @property
    def ports(self) -> list[SerialPort]:
        """All ports, sorted by id."""
        return [self._ports[port_id] for port_id in sorted(self._ports)]

    def add(self, config: PortConfig) -> SerialPort:
        """Add a port; its device is opened at first use."""
        port = SerialPort(
            config, device_maker(config), self._clock, self._changed.fire, self._active
        )
        self._ports[config.id] = port
        self._changed.fire()
        return port

    def get(self, port_id: str) -> SerialPort:
        """Return a port; an empty id means the only one there is."""
        names = ", ".join(sorted(self._ports)) or "none"
        if not port_id and len(self._ports) == 1:
            return next(iter(self._ports.values()))
        if not port_id:
            raise InvalidArgumentError(
                f"the host has several ports; name one (port_id, --port): {names}"
            )
        if port_id not in self._ports:
            raise NotFoundError(f"no port {repr(port_id)[:66]} here; there are: {names}")
        return self._ports[port_id]

    async def watch(self) -> AsyncIterator[tuple[Change, PortDescription]]:
        """Yield the ports there are, then every change, until cancelled."""
        known: dict[str, PortDescription] = {}
        change = Change.EXISTING
        while True:
            now = {port.id: port.describe() for port in self.ports}
            for port_id in known.keys() - now.keys():
                yield Change.REMOVED, known[port_id]
            for port_id, description in now.items():
                if known.get(port_id) != description:
                    yield (change if port_id not in known else Change.UPDATED), description
            known, change = now, Change.ADDED
            if known == {port.id: port.describe() for port in self.ports}:
                await self._changed.wait()

    async def follow(self, offered: QueueLimits | None) -> None:
        """Notice devices that come and go, for ever; see `scan`."""
        while True:
            await asyncio.sleep(SCAN_INTERVAL_S)
            await self.scan(offered)

    async def scan(self, offered: QueueLimits | None) -> None:
        """Notice which devices are there; with `offered` limits, offer every USB serial port."""
        sources = [port.config.source for port in self.ports]
        plugged_in, present = await asyncio.to_thread(_look, sources)
        for port in self.ports:
            if port.config.source in present:
                port.noticed(present=present[port.config.source])
        if offered is not None:
            await self._offer(dict(name_devices(plugged_in)), offered)

    async def _offer(self, found: dict[str, SerialDeviceFound], limits: QueueLimits) -> None:
        for port_id in found.keys() - self._ports.keys():
            log.info("port '%s' plugged in: %s", port_id, found[port_id].path)
            self.add(_plugged_in(port_id, found[port_id], limits))
        for port in self.ports:
            gone = port.config.usb is not None and port.id not in found
            if gone and not len(port.attendance) and not port.is_open:
                log.info("port '%s' unplugged", port.id)
                await self._ports.pop(port.id).close()
                self._changed.fire()

    def add_demo(self, queue: QueueLimits) -> None:
        """Offer a simulated laser, for a host without any port."""
        self.add(PortConfig(DEMO_PORT, DEMO_SOURCE, "simulated GRBL laser", queue=queue))

    async def stop_left_over(self) -> None:
        """Act on the machines that were at work when the service died, before anybody comes."""
        await asyncio.gather(*(port.left_over.stop() for port in self._ports.values()))

    async def close(self) -> None:
        """Close every port."""
        await asyncio.gather(*(port.close() for port in self._ports.values()))


def name_devices(
    devices: Iterable[SerialDeviceFound],
) -> list[tuple[str, SerialDeviceFound]]:
    """Give each device an id made of its USB identity; equal ones are numbered."""
    named: dict[str, SerialDeviceFound] = {}
    for device in sorted(devices, key=lambda device: device.path):
        identity = f"{device.vid:04x}-{device.pid:04x}-{device.serial_number or ''}".rstrip("-")
        base = re.sub(r"[^a-z0-9.-]+", "-", identity.lower()).strip("-")[:56]
        copies = (f"{base}-{number}" for number in range(2, 1000))
        port_id = base if base not in named else next(c for c in copies if c not in named)
        named[port_id] = device
    return list(named.items())


def _plugged_in(port_id: str, found: SerialDeviceFound, queue: QueueLimits) -> PortConfig:
    usb = UsbIdentity(
        found.vid,
        found.pid,
        found.serial_number or "",
        found.manufacturer or "",
        found.product or "",
    )
    source = found.by_id_path or found.path
    return PortConfig(port_id, source, found.description or "", queue=queue, usb=usb)


def _look(sources: list[str]) -> tuple[list[SerialDeviceFound], dict[str, bool]]:
    """Return what is plugged in, and of each source whether it is there; blocks for some ms."""
    plugged_in = list_serial_devices()
    return plugged_in, {source: is_present(source, plugged_in) for source in sources}
