"""One serial port: its line, its stops and its sessions, wired together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from usbshare.base.errors import DrainingError
from usbshare.line.physical_device import PhysicalDevice
from usbshare.line.settings import Device, LineSettings, ModemLines
from usbshare.serial_svc.line.latch import Latch
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.line.port_config import ExpectedDevice, PortConfig
from usbshare.serial_svc.line.scheduler import CommandOutcome, Queued
from usbshare.serial_svc.ports.audit import PortAudit
from usbshare.serial_svc.ports.description import describe
from usbshare.serial_svc.ports.machine_watch import MachineWatch
from usbshare.serial_svc.sessions.admission import Admission
from usbshare.serial_svc.sessions.client import Client, Resumption
from usbshare.serial_svc.sessions.events import (
    LinesChanged,
    PortChanged,
    QueueState,
    SettingsChanged,
)
from usbshare.serial_svc.sessions.line_delivery import LineDelivery
from usbshare.serial_svc.sessions.observer_turns import ObserverTurns
from usbshare.serial_svc.sessions.port_description import PortDescription
from usbshare.serial_svc.sessions.queue_state import QueueNews
from usbshare.serial_svc.sessions.roster import SessionRoster
from usbshare.serial_svc.sessions.session import Session
from usbshare.serial_svc.stop.active_ports import ActivePorts
from usbshare.serial_svc.stop.stops import Stops

CLOSE_TIMEOUT_S = 2.0


class SerialPort:
    """A port: a line, its stops, one session in control, observers.

    Events of the line are passed on here, in the order that matters: stops before sessions.
    """

    def __init__(
        self,
        config: PortConfig,
        make_device: Callable[[LineSettings], Device],
        clock: Callable[[], float],
        on_change: Callable[[], None],
        active_ports: ActivePorts | None = None,
        audit: PortAudit | None = None,
        latch: Latch | None = None,
        expected_device: ExpectedDevice | None = None,
    ) -> None:
        self.id = config.id
        self.config = config
        self.audit = audit or PortAudit(config.id, clock)
        self.roster = SessionRoster(config.id)
        self.observer_turns = ObserverTurns()
        self.line = Line(config, make_device, clock, self, latch, expected_device)
        self.stops = Stops(self.line, self.roster, self.audit, active_ports, clock)
        tail = self.observer_turns.tail
        self._admission = Admission(
            self.line, self.stops, self.roster, tail, self.audit, self.describe, clock
        )
        self._queue_news = QueueNews(self.line.scheduler, clock, self.roster.tell, self._lines)
        self.machine = MachineWatch(self.line, self.stops, self.roster, self.queue_state, clock)
        self._clock = clock
        self._on_change = on_change
        self._is_closing = False

    def describe(self) -> PortDescription:
        """Return the port as it is now."""
        return describe(self.line, self.stops, self.roster)

    def queue_state(self) -> QueueState:
        """Return how full the queue is now."""
        return self._queue_news.state()

    async def open_session(self, client: Client, resumption: Resumption | None = None) -> Session:
        """Open a session, and the device if this is the first use of it, or take up a lost one.

        Raises PortHeldError naming the holder, DeviceError when the device cannot be opened.
        """
        if self._is_closing:
            raise DrainingError(f"port '{self.id}' is closing; the service is stopping")
        return await self._admission.open(client, resumption)

    async def withdraw(self, why: str) -> None:
        """Close an open port's device; a running job is stopped first, as after a lost link."""
        await self.stops.let_go(why)
        self.line.device_lost(why)

    async def close(self) -> None:
        """Refuse new sessions, end the existing ones, close the device."""
        self._is_closing = True
        await self.stops.close()
        await asyncio.gather(*(session.close(CLOSE_TIMEOUT_S) for session in self.roster))
        await self.line.close(CLOSE_TIMEOUT_S)

    # Events of the line.

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the session in control, and to observers in turn."""
        now, turns = self._clock(), self.observer_turns
        outbox = self.roster.control_outbox
        if outbox is not None:
            outbox.put_data(turns.tail.end_offset, data, now)
        elif (lines := self._lines()) is not None:  # the session is being opened
            lines.heard(data, now)
        turns.put_data(data)
        self.stops.machine.heard(data, now)
        outbox = self.roster.control_outbox
        if outbox is not None and outbox.is_full:
            self.line.hold_back.hold(self.line.device)

    def wrote(self, data: bytes, now: float) -> None:
        """Follow what is written to the machine."""
        self.stops.machine.activity.wrote(data, now)

    def command_done(self, command: Queued, outcome: CommandOutcome, now: float, why: str) -> None:
        """Report the outcome of a command to the session that sent it."""
        if isinstance(command.source, Session):
            command.source.finish(command, outcome, now, why)

    def queued(self) -> None:
        """Report a queue that fills."""
        self._queue_news.changed()

    def progressed(self) -> None:
        """Give credit to the session in control, if it is due."""
        if self.roster.control is not None:
            self.roster.control.progressed()
        self._queue_news.changed()

    def lines_changed(self, lines: ModemLines) -> None:
        """Report the modem lines to every session."""
        self.roster.tell(LinesChanged(lines))

    def settings_changed(self) -> None:
        """Report the settings in force to every session."""
        self.roster.line_changed()
        self.roster.tell(SettingsChanged(self.line.settings))
        self._on_change()

    def device_opened(self, device: PhysicalDevice | None) -> None:
        """Act on what the machine was doing, before anyone writes to it."""
        self.roster.line_changed()
        self.audit.device_opened(self.config.source)
        self.stops.device_opened(device)
        if (lines := self._lines()) is not None:
            lines.device_opened()

    def device_lost(self, reason: str) -> None:
        """End the epoch."""
        self.stops.device_lost(reason)
        if (lines := self._lines()) is not None:
            lines.device_lost(reason)
        self.audit.device_lost(reason)

    def _lines(self) -> LineDelivery | None:
        control = self.roster.control
        return None if control is None else control.lines

    def changed(self) -> None:
        """Report the port's current state to every session and watcher."""
        if self.line.is_open:
            self.line.device.watch_lines(on=len(self.roster) > 0)
        self.roster.tell(PortChanged(self.describe()))
        self._on_change()
