"""The owner of one serial device: kept open across clients, written to by one writer only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Protocol

from usbshare.base.errors import DeviceError
from usbshare.base.time_stats import TimeStats, TimeSummary
from usbshare.line.physical_device import PhysicalDevice
from usbshare.line.profiles import Priority, Profile
from usbshare.line.settings import Device, LineSettings, ModemLines
from usbshare.serial_svc.line.answer_times import AnswerTimes
from usbshare.serial_svc.line.counters import PortCounters
from usbshare.serial_svc.line.firmware import Firmware
from usbshare.serial_svc.line.hold_back import HoldBack
from usbshare.serial_svc.line.keeper import DeviceKeeper
from usbshare.serial_svc.line.latch import Latch
from usbshare.serial_svc.line.pacer import Pacer
from usbshare.serial_svc.line.port_config import ExpectedDevice, PortConfig
from usbshare.serial_svc.line.scheduler import CommandOutcome, Queued, Scheduler
from usbshare.serial_svc.line.signal import Signal
from usbshare.serial_svc.line.writer import PortWriter

log = logging.getLogger(__name__)


class LineListener(Protocol):
    """Receives the events of a line."""

    def data_received(self, data: bytes) -> None:
        """Take bytes from the device."""

    def wrote(self, data: bytes, now: float) -> None:
        """Note program bytes that the device has taken."""

    def command_done(self, command: Queued, outcome: CommandOutcome, now: float, why: str) -> None:
        """Note the outcome of a queued command."""

    def queued(self) -> None:
        """Note that a command had to wait."""

    def progressed(self) -> None:
        """Note that there may be more room in the queue."""

    def lines_changed(self, lines: ModemLines) -> None:
        """Note other modem lines."""

    def settings_changed(self) -> None:
        """Note other settings of an open device."""

    def device_opened(self, device: PhysicalDevice | None) -> None:
        """Note that there is a device, and which one if that is known."""

    def device_lost(self, reason: str) -> None:
        """Act on the loss of the device; the epoch must end."""

    def changed(self) -> None:
        """Note that the line looks different from outside."""


class Line:
    """A device that comes and goes: its writer and queue, its epoch and latch, its counters."""

    def __init__(
        self,
        config: PortConfig,
        make_device: Callable[[LineSettings], Device],
        clock: Callable[[], float],
        listener: LineListener,
        latch: Latch | None = None,
        expected_device: ExpectedDevice | None = None,
    ) -> None:
        self.config = config
        self.id = config.id
        self.settings = config.settings
        self.latch = latch or Latch()
        self.firmware = Firmware(config.id, config.profile, self.changed)
        self.counters = PortCounters()
        self.answers = AnswerTimes(self.counters.answer_time)
        self.progress = Signal()
        limits = config.queue
        self.scheduler = Scheduler(
            max_commands=limits.max_commands,
            max_bytes=limits.max_bytes,
            promote_after_s=limits.promote_after_s,
        )
        self.pacer = Pacer(config.settings.bytes_per_s)
        self.hold_back = HoldBack()
        self.expected_device: ExpectedDevice = expected_device or (lambda: config.device)
        self._clock = clock
        self._listener = listener
        queue, counters, stalled_s = self.scheduler, self.counters, config.write_timeout_s
        self.writer = PortWriter(
            *(self.id, queue, self.pacer, counters, clock, self, listener.wrote, stalled_s),
            on_urgent=self.answers.wrote,
        )
        self.keeper = DeviceKeeper(config.id, make_device, self)

    @property
    def profile(self) -> Profile:
        """The firmware's profile, as far as it is known."""
        return self.firmware.profile

    @property
    def is_open(self) -> bool:
        """Whether there is a device to write to."""
        return self.keeper.device is not None

    @property
    def device(self) -> Device:
        """The open device; raises DeviceError while there is none."""
        if self.keeper.device is None:
            raise DeviceError(f"port '{self.id}' has no device: {self.keeper.reason}")
        return self.keeper.device

    @property
    def read_offset(self) -> int:
        """Bytes received from the device so far."""
        return self.counters.read_bytes

    def summary(self, stats: TimeStats) -> TimeSummary:
        """Return times of this line as they are now."""
        return stats.summary(self._clock())

    def changed(self) -> None:
        """Save the latch, and report the current state of the line."""
        self.latch.keep()
        self._listener.changed()

    # Writing.

    def submit(
        self,
        source: object,
        command_id: int,
        priority: Priority | None,
        data: bytes,
        written_bytes: int = 0,
    ) -> None:
        """Queue a command, `written_bytes` of which are out; None: the profile classifies it."""
        now = self._clock()
        if priority is None:
            priority = self.profile.classify(data)
        started_at = now if written_bytes else None
        self.scheduler.add(
            Queued(source, command_id, priority, data, now, written_bytes, started_at)
        )
        if not self.is_open:  # the device failed at that very write
            self.drop(CommandOutcome.FAILED, self.keeper.reason)
            return
        self.counters.queued(self.scheduler.commands)
        self.writer.pump()
        self._listener.queued()

    def drop(self, outcome: CommandOutcome, why: str) -> int:
        """Empty the queue; returns how many commands were in it."""
        dropped = self.scheduler.drop()
        self.counters.failed(len(dropped))
        for command in dropped:
            self._listener.command_done(command, outcome, self._clock(), why)
        self.write_progressed()
        return len(dropped)

    async def configure(self, settings: LineSettings) -> LineSettings:
        """Change the line's settings in one step; return what took effect, and report it."""
        # Once begun it is finished even if the caller leaves, so that `settings` stays correct.
        return await asyncio.shield(self.keeper.run(self._configure(settings), "configure"))

    async def _configure(self, settings: LineSettings) -> LineSettings:
        before = self.settings
        self.settings = await self.device.configure(settings)
        self.writer.rate_changed(self.settings.bytes_per_s)
        if self.settings != before:
            self.latch.keep()
            self._listener.settings_changed()
        return self.settings

    # The device.

    async def ensure_open(self) -> None:
        """Open the device unless it is open; raises DeviceError naming the port and the reason."""
        await self.keeper.ensure_open()

    def noticed(self, *, present: bool, why_not: str = "not plugged in") -> None:
        """Note whether there is a device to open."""
        if self.keeper.noticed(present=present, why_not=why_not):
            self.changed()

    async def close(self, timeout_s: float) -> None:
        """Close the device, once what was begun on it has ended or the time is over."""
        await self.keeper.finish_running(timeout_s)
        self.writer.detach()
        await self.keeper.close()

    # Events of the writer and the device.

    def command_written(self, command: Queued, now: float) -> None:
        """Report a command that went out whole."""
        self._listener.command_done(command, CommandOutcome.WRITTEN, now, "")

    def write_progressed(self) -> None:
        """Wake those who wait for room or credit."""
        self.progress.fire()
        self._listener.progressed()

    def data_received(self, data: bytes) -> None:
        """Count bytes from the device, and pass them on."""
        self.counters.read(len(data))
        self.firmware.heard(data)
        self._listener.data_received(data)

    def writable(self) -> None:
        """Go on writing."""
        self.writer.writable()

    def lines_changed(self, lines: ModemLines) -> None:
        """Report the modem lines."""
        self._listener.lines_changed(lines)

    def device_opened(self, device: Device) -> None:
        """Write to the device from now on."""
        self.settings = device.settings
        found = self.expected_device()
        self.latch.device_opened(found)
        self.writer.attach(device)
        log.info("port '%s' opened: %s", self.id, self.config.source)
        self._listener.device_opened(found)
        self.changed()

    def device_failed(self) -> None:
        """Report that the device cannot be opened."""
        self.changed()

    def device_lost(self, reason: str) -> None:
        """Report that the device is gone; what was queued has failed."""
        if not self.keeper.lost(reason):
            return
        self.hold_back.forget()
        self.counters.device_lost()
        self._listener.device_lost(reason)
        log.warning("port '%s' lost its device: %s", self.id, reason)
        self.firmware.forget()
        self.answers.forget()
        self.writer.detach()
        self.drop(CommandOutcome.FAILED, reason)
        self.changed()
