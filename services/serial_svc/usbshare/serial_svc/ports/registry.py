"""Every port of the host, by id: the configured ones, or what is plugged in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from usbshare.audit.recorder import Audit
from usbshare.base.errors import InvalidArgumentError, NotFoundError
from usbshare.base.file_watch import FileFollower, FileWatch
from usbshare.base.threads import in_thread
from usbshare.line.device_id_file import KnownDevices
from usbshare.line.device_ids import DeviceNames
from usbshare.line.usb.serial_devices import (
    SerialDeviceFound,
    folders_that_change,
    list_serial_devices,
    usb_name_of,
)
from usbshare.serial_svc.line.latch import Latch
from usbshare.serial_svc.line.port_config import PortConfig, QueueLimits, UsbIdentity
from usbshare.serial_svc.ports.audit import PortAudit
from usbshare.serial_svc.ports.changes import Change, PortNews
from usbshare.serial_svc.ports.device_guard import NOT_PLUGGED_IN, PortGuard
from usbshare.serial_svc.ports.ids import name_devices
from usbshare.serial_svc.ports.port import SerialPort
from usbshare.serial_svc.ports.quarantine import PortQuarantine
from usbshare.serial_svc.ports.sources import device_maker
from usbshare.serial_svc.sessions.port_description import PortDescription
from usbshare.serial_svc.stop.active_ports import ActivePorts

log = logging.getLogger(__name__)

SCAN_INTERVAL_S = 1.0
# Where a folder shows each device that appears or disappears.
QUIET_SCAN_INTERVAL_S = 5.0
DEMO_PORT = "demo"
DEMO_SOURCE = "sim://grbl"


class Registry:
    """The ports of this host. Ids never are device paths, which change on replug."""

    def __init__(
        self,
        clock: Callable[[], float],
        active: ActivePorts | None = None,
        quarantine: PortQuarantine | None = None,
        audit: Audit | None = None,
        known: KnownDevices | None = None,
        *,
        latch_of: Callable[[PortConfig], Latch] | None = None,
        audits_contents: bool = False,
    ) -> None:
        self._clock = clock
        self._active = active
        self._quarantine = quarantine
        self._audit = audit
        self._audits_contents = audits_contents
        self._files: FileFollower | None = None
        self._known = known or KnownDevices()
        self._names = DeviceNames(self._known)
        self._guards: dict[str, PortGuard] = {}
        self._ports: dict[str, SerialPort] = {}
        self._latch_of = latch_of or _remembered_latches()
        self._news = PortNews(
            lambda: {port_id: port.describe for port_id, port in self._ports.items()}
        )

    @property
    def ports(self) -> list[SerialPort]:
        """All ports, sorted by id."""
        return [self._ports[port_id] for port_id in sorted(self._ports)]

    def add(self, config: PortConfig) -> SerialPort:
        """Add a port; its device is opened at first use."""
        guard = self._guards[config.id] = PortGuard(config, self._known, self._quarantine)
        maker = device_maker(config, guard)
        audit = PortAudit(config.id, self._clock, self._audit, keeps_contents=self._audits_contents)
        latch = self._latch_of(config)  # that of the port which had this id before, if one had
        changed = partial(self._news.changed, config.id)
        port = SerialPort(
            config, maker, self._clock, changed, self._active, audit, latch, guard.expected
        )
        self._ports[config.id] = port
        changed()
        return port

    def get(self, port_id: str, known: Callable[[Iterable[str]], list[str]] = sorted) -> SerialPort:
        """Return a port; "" means the only `known` one. InvalidArgumentError, NotFoundError."""
        if port := self._ports.get(port_id):
            return port
        ids = known(self._ports)
        if not port_id and len(ids) == 1:
            return self._ports[ids[0]]
        names = ", ".join(ids) or "none"
        if not port_id and ids:
            raise InvalidArgumentError(
                f"the host has several ports; name one (port_id, --port): {names}"
            )
        what = f"no port {repr(port_id)[:66]} here" if port_id else "no port here"
        raise NotFoundError(f"{what}; available: {names}")

    def described(self) -> list[PortDescription]:
        """Return every port as it is now, sorted by id."""
        return self._news.described()

    def watch(
        self, is_shown: Callable[[str], bool] = lambda _: True
    ) -> AsyncIterator[tuple[Change, PortDescription]]:
        """Yield the ports there are of those shown, then every change, until cancelled."""
        return self._news.watch(is_shown)

    async def follow(self, offered: QueueLimits | None, watch: FileWatch) -> None:
        """Follow devices that appear and disappear, until cancelled; see `scan`."""
        folders = folders_that_change()
        sources = [port.config.source for port in self.ports]
        nodes = [Path(source) for source in sources if source.startswith("/")]
        quiet_s = QUIET_SCAN_INTERVAL_S if folders else SCAN_INTERVAL_S
        self._files = files = watch.follow((*folders, *nodes, *self._known.folders))
        wait_s = 0.0
        try:
            while True:
                # The system's data about a new device may appear a moment later.
                wait_s = SCAN_INTERVAL_S if await files.changed(wait_s) else quiet_s
                await self.scan(offered)
        finally:
            self._files = None
            watch.unfollow(files)

    def rules_changed(self) -> None:
        """Note that the allowed or visible ports may have changed; rescan at once."""
        self._news.rules_changed()
        if self._files is not None:
            self._files.wake()

    async def scan(self, offered: QueueLimits | None) -> None:
        """Notice which devices are there; with `offered` limits, offer every USB serial port."""
        self._known.look_for_forgotten()
        sources = {port.id: port.config.source for port in self.ports}
        seen = await in_thread(_look, sources, dict(self._guards), self._quarantine)
        for port in self.ports:
            if (why := seen.held_back.get(sources.get(port.id, ""))) is not None:
                await self._hold_back(port, why)
            elif (absent := seen.absent.get(port.id)) is not None:
                port.line.noticed(present=not absent, why_not=absent or NOT_PLUGGED_IN)
        if offered is not None:
            # All are named, so that a quarantine does not rename the others.
            named = await in_thread(name_devices, seen.plugged_in, self._names)
            allowed = {port_id: found for port_id, found in named if found in seen.allowed}
            await self._offer(allowed, offered)
        await self.stop_after_crash()

    async def _hold_back(self, port: SerialPort, why: str) -> None:
        if port.line.is_open:
            await port.withdraw(why)
        else:
            port.line.noticed(present=False, why_not=why)

    async def _offer(self, found: dict[str, SerialDeviceFound], limits: QueueLimits) -> None:
        for port_id in found.keys() - self._ports.keys():
            log.info("port '%s' plugged in: %s", port_id, found[port_id].path)
            self.add(_plugged_in(port_id, found[port_id], limits))
        for port in self.ports:
            gone = port.config.usb is not None and port.id not in found
            if gone and not len(port.roster) and not port.line.is_open:
                log.info("port '%s' unplugged", port.id)
                self._guards.pop(port.id, None)
                await self._ports.pop(port.id).close()
                self._news.changed(port.id)

    def add_demo(self, queue: QueueLimits) -> None:
        """Offer a simulated laser, for a host without any port."""
        self.add(PortConfig(DEMO_PORT, DEMO_SOURCE, "simulated GRBL laser", queue=queue))

    async def stop_after_crash(self) -> None:
        """Act on the machines that were running a job at the crash, before any client comes.

        One that was away then is acted on when it is back.
        """
        stops = (port.stops.crash_recovery.stop(self._guards[port.id].there) for port in self.ports)
        await asyncio.gather(*stops)

    async def close(self) -> None:
        """Close every port."""
        await asyncio.gather(*(port.close() for port in self._ports.values()))


def _remembered_latches() -> Callable[[PortConfig], Latch]:
    latches: dict[str, Latch] = {}
    return lambda config: latches.setdefault(config.id, Latch())


def _plugged_in(port_id: str, found: SerialDeviceFound, queue: QueueLimits) -> PortConfig:
    usb = UsbIdentity(
        found.vid,
        found.pid,
        found.serial_number or "",
        found.manufacturer or "",
        found.product or "",
    )
    source = usb_name_of(found.identity)
    return PortConfig(
        *(port_id, source, found.description or ""), queue=queue, usb=usb, device=found.identity
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look found.

    `absent` says by port id why there is nothing to open, empty where there is; `held_back` why
    sources may not be opened.
    """

    plugged_in: list[SerialDeviceFound]
    allowed: list[SerialDeviceFound]
    absent: dict[str, str]
    held_back: dict[str, str]


def _look(
    sources: dict[str, str], guards: dict[str, PortGuard], quarantine: PortQuarantine | None
) -> _Seen:
    """Look at what is plugged in, and at each source; blocks for some ms."""
    plugged_in = list_serial_devices()
    absent = {port_id: guards[port_id].why_absent(plugged_in) for port_id in sources}
    if quarantine is None:
        return _Seen(plugged_in, plugged_in, absent, {})
    allowed = quarantine.allowed(plugged_in)
    return _Seen(plugged_in, allowed, absent, quarantine.held_back(sources.values(), plugged_in))
