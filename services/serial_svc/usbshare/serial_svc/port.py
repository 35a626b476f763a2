"""The owner of one serial device: kept open across clients, written to by one writer only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from usbshare.common.errors import (
    DeviceError,
    DrainingError,
    InvalidArgumentError,
)
from usbshare.common.line import Device, LineSettings, ModemLines
from usbshare.common.profiles import RAW, Priority, Profile
from usbshare.serial_svc.attendance import Attendance
from usbshare.serial_svc.description import PortDescription, describe
from usbshare.serial_svc.device_keeper import DeviceKeeper
from usbshare.serial_svc.events import (
    CommandOutcome,
    LinesChanged,
    Opened,
    PortChanged,
    QueueState,
    SettingsChanged,
)
from usbshare.serial_svc.hold_back import HoldBack
from usbshare.serial_svc.intake import Intake
from usbshare.serial_svc.pacer import Pacer
from usbshare.serial_svc.port_config import PortConfig
from usbshare.serial_svc.scheduler import Band, Queued, Scheduler, band_of
from usbshare.serial_svc.session import Client, Mode, Session
from usbshare.serial_svc.signal import Signal
from usbshare.serial_svc.stats import PortCounters
from usbshare.serial_svc.stop_path import StopPath
from usbshare.serial_svc.writer import PortWriter

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 2.0
QUIET_DEPTH = 5


class SerialPort:
    """A port: a device that comes and goes, a queue, one control session, observers."""

    def __init__(
        self,
        config: PortConfig,
        make_device: Callable[[LineSettings], Device],
        clock: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        self.config = config
        self.epoch = 1
        self.latched = False
        self.profile = config.profile or RAW
        self.settings = config.settings
        self.counters = PortCounters()
        self.progress = Signal()
        limits = config.queue
        self.scheduler = Scheduler(
            max_commands=limits.max_commands,
            max_bytes=limits.max_bytes,
            promote_after_s=limits.promote_after_s,
        )
        self._clock = clock
        self._on_change = on_change
        self._pacer = Pacer(config.settings.bytes_per_s)
        self._writer = PortWriter(self.scheduler, self._pacer, self.counters, clock, self)
        self._keeper = DeviceKeeper(config.id, make_device, self)
        self.stop_path = StopPath(self, clock)
        self._attendance = Attendance(config.id)
        self._intake = Intake(self._attendance, self.counters, clock, self._recognised)
        if config.profile is None:
            self._intake.recognise()
        self._band = Band.NORMAL
        self._closing = False
        self.hold_back = HoldBack()

    # What others may know.

    @property
    def id(self) -> str:
        """The port's id."""
        return self.config.id

    @property
    def is_open(self) -> bool:
        """Tell whether there is a device to write to."""
        return self._keeper.device is not None

    @property
    def reason(self) -> str:
        """Why there is no device."""
        return self._keeper.reason

    @property
    def read_offset(self) -> int:
        """Bytes received from the device so far."""
        return self._intake.offset

    @property
    def session_count(self) -> int:
        """Sessions of both kinds."""
        return len(self._attendance)

    @property
    def observers(self) -> int:
        """Sessions that observe."""
        return self._attendance.observers

    @property
    def device(self) -> Device:
        """The open device; raises DeviceError while there is none."""
        if self._keeper.device is None:
            raise DeviceError(f"port '{self.id}' has no device: {self.reason}")
        return self._keeper.device

    def describe(self) -> PortDescription:
        """Return the port as it is now."""
        return describe(self, self._keeper.state, self._attendance.holder)

    def queue_state(self) -> QueueState:
        """Return how full the queue is now."""
        depth = self.scheduler.commands
        age_s = self.scheduler.oldest_age_s(self._clock())
        return QueueState(depth, self.scheduler.waiting_bytes, band_of(depth), age_s)

    # Sessions.

    async def open_session(self, client: Client) -> Session:
        """Open a session, and the device if this is the first use of it.

        Raises PortHeldError naming the holder, DeviceError when the device cannot be opened.
        """
        if self._closing:
            raise DrainingError(f"port '{self.id}' is closing; the service is stopping")
        session = Session(client, self, self._clock)
        if client.mode is Mode.CONTROL:
            self._attendance.take_control(session)
            self.scheduler.add_source(session, client.ordering)
        try:
            await self.ensure_open()
            lines = self.device.lines()
            session.send(Opened(client.session_id, self.describe(), self._intake.offset, lines))
            self._attendance.add(session)
        except BaseException:
            self._release(session)
            raise
        self._changed()
        log.info("session %s opened by %s", client.session_id, session.holder)
        return session

    def session_ended(self, session: Session) -> None:
        """Forget a session; what it queued is dropped. Called by the session itself."""
        if not self._attendance.remove(session):
            return
        dropped = self.scheduler.waiting_of(session)[0]
        self._release(session)
        log.info("session %s ended, %d commands dropped", session.client.session_id, dropped)
        self._changed()

    def _release(self, session: Session) -> None:
        if self._attendance.give_up_control(session):
            self.hold_back.release()
            self.scheduler.remove_source(session)
            self.write_progressed()

    # Writing.

    def write_through(self, data: bytes, epoch: int) -> int:
        """Write a program's bytes past the empty queue; returns how many the device took.

        0 where they must be queued, taken apart or refused instead.
        """
        if self.latched or epoch < self.epoch or self.profile.has_realtime(data):
            return 0
        return self._writer.write_through(data)

    def submit(self, command: Queued) -> None:
        """Queue a command of the control session."""
        if command.priority is None:
            command.priority = self.profile.classify(command.data)
        self.scheduler.add(command)
        if not self.is_open:  # the device failed at that very write
            self._drop_queue(CommandOutcome.FAILED, self.reason)
            return
        depth = self.scheduler.commands
        self.counters.max_queue_commands = max(self.counters.max_queue_commands, depth)
        self._writer.pump()
        self._tell_band()

    def write_realtime(self, data: bytes) -> None:
        """Write real-time bytes: urgent ones now, status polls when no command waits."""
        if not self.profile.is_realtime(data):
            raise InvalidArgumentError(
                f"{data!r} has bytes that are no real-time bytes of profile '{self.profile.name}'"
            )
        polite = bytes(b for b in data if self.profile.realtime[b] is Priority.LOW)
        urgent = bytes(b for b in data if self.profile.realtime[b] is not Priority.LOW)
        if self.profile.reset is not None and self.profile.reset in urgent:
            for session in self._attendance:
                session.void_queue()
            self._writer.discard()
        if urgent:
            self.write_urgent(urgent)
        if polite:
            self._writer.polite(polite)

    def discard_output(self) -> None:
        """Throw away what the driver still holds."""
        self._writer.discard()
        self._writer.pump()

    async def until_sent(self, session: Session) -> None:
        """Wait until what the session queued has left the host, by line time at least."""
        while self.scheduler.waiting_of(session) != (0, 0):
            await self.progress.wait()
        remaining_s = self._pacer.clear_at - self._clock()
        if remaining_s > 0:
            await asyncio.sleep(remaining_s)

    async def configure(self, settings: LineSettings) -> LineSettings:
        """Change the line's settings in one step; returns what took effect, tells all sessions."""
        # Begun it is finished whoever leaves, so that the port knows what the line is at.
        return await asyncio.shield(self._keeper.run(self._configure(settings), "configure"))

    async def _configure(self, settings: LineSettings) -> LineSettings:
        before = self.settings
        self.settings = await self.device.configure(settings)
        self._writer.rate_changed(self.settings.bytes_per_s)
        if self.settings != before:
            self._line_changed()
            self._attendance.tell(SettingsChanged(self.settings))
            self._changed(tell=False)
        return self.settings

    # Stopping; see stop_path.

    @property
    def line_is_unfinished(self) -> bool:
        """Tell whether the last byte written left a line open."""
        return self._writer.line_is_open

    def write_urgent(self, data: bytes) -> None:
        """Write bytes ahead of everything; raises DeviceError naming the port and the reason."""
        try:
            self._writer.urgent(data)
        except DeviceError as error:
            raise DeviceError(f"port '{self.id}': {error}") from error

    @property
    def urgent_waits(self) -> bool:
        """Tell whether the device has not taken all urgent bytes."""
        return self._writer.urgent_waits

    def discard_driver_output(self) -> None:
        """Throw away what the driver still holds, and write nothing in its place."""
        self._writer.discard()

    def fence(self) -> int:
        """End the epoch and latch: what was sent in it is dropped. Returns how many commands."""
        self.epoch += 1
        self.latched = True
        fenced = self._drop_queue(CommandOutcome.FENCED, "a stop ended its epoch")
        return fenced + sum(session.fence() for session in self._attendance)

    def stopped(self) -> None:
        """Count a stop and tell everybody."""
        self.counters.stops += 1
        self._changed()

    def unlatch(self) -> bool:
        """Take program bytes again; False if the port was not latched."""
        was_latched, self.latched = self.latched, False
        if was_latched:
            self._changed()
        return was_latched

    def _drop_queue(self, outcome: CommandOutcome, why: str) -> int:
        dropped = self.scheduler.drop()
        self.counters.failed_commands += len(dropped)
        for command in dropped:
            if isinstance(command.source, Session):
                command.source.finish(command, outcome, self._clock(), why)
        self.write_progressed()
        return len(dropped)

    # The device.

    async def ensure_open(self) -> None:
        """Open the device unless it is open; raises DeviceError naming the port and the reason."""
        await self._keeper.ensure_open()

    def noticed(self, *, present: bool) -> None:
        """Note whether there is a device to open."""
        if self._keeper.noticed(present=present):
            self._changed()

    async def close(self) -> None:
        """Stop taking sessions, end those there are, close the device."""
        self._closing = True
        await asyncio.gather(*(s.close(CLOSE_TIMEOUT_S) for s in self._attendance))
        self._writer.detach()
        await self._keeper.close()

    def command_written(self, command: Queued, now: float) -> None:
        """Report a command that went out whole."""
        if isinstance(command.source, Session):
            command.source.written(command, now)

    def write_progressed(self) -> None:
        """Let those go on who wait for room or credit."""
        self.progress.fire()
        if self._attendance.control is not None:
            self._attendance.control.progressed()
        self._tell_band()

    def write_failed(self, reason: str) -> None:
        """Give up a device that refuses a write."""
        self.device_lost(reason)

    # What the device tells.

    def data_received(self, data: bytes) -> None:
        """Pass bytes from the device to every session."""
        self._intake.receive(data)
        control = self._attendance.control
        if control is not None and control.outbox.is_full:
            self.hold_back.hold(self.device)

    def writable(self) -> None:
        """Go on writing."""
        self._writer.writable()

    def lines_changed(self, lines: ModemLines) -> None:
        """Tell every session of the modem lines."""
        self._attendance.tell(LinesChanged(lines))

    def device_opened(self, device: Device) -> None:
        """Write to the device from now on."""
        self.settings = device.settings
        self._line_changed()
        self._writer.attach(device)
        log.info("port '%s' opened: %s", self.id, self.config.source)
        self._changed()

    def device_failed(self) -> None:
        """Tell that the device cannot be opened."""
        self._changed()

    def device_lost(self, reason: str) -> None:
        """Tell every session that the device is gone; what was queued has failed."""
        if not self._keeper.lost(reason):
            return
        self.hold_back.forget()
        self.counters.device_errors += 1
        self.epoch += 1
        log.warning("port '%s' lost its device: %s", self.id, reason)
        if self.config.profile is None:
            self.profile = RAW
            self._intake.recognise()
        self._writer.detach()
        self._drop_queue(CommandOutcome.FAILED, reason)
        self._changed()

    def _recognised(self, profile: Profile) -> None:
        if profile is not self.profile:
            self.profile = profile
            log.info("port '%s' speaks %s", self.id, profile.name)
            self._changed()

    # Telling.

    def _line_changed(self) -> None:
        for session in self._attendance:
            session.line_changed()

    def _tell_band(self) -> None:
        depth = self.scheduler.commands
        if depth <= QUIET_DEPTH and self._band is Band.NORMAL:
            return
        band = band_of(depth)
        if band is not self._band:
            self._band = band
            self._attendance.tell(self.queue_state())

    def _changed(self, *, tell: bool = True) -> None:
        if tell:
            self._attendance.tell(PortChanged(self.describe()))
        self._on_change()
