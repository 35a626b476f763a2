"""The owner of one serial device: kept open across clients, written to by one writer only."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from usbshare.base.errors import DeviceError, DrainingError
from usbshare.line.profiles import Profile
from usbshare.line.settings import Device, LineSettings, ModemLines
from usbshare.serial_svc.line.counters import PortCounters
from usbshare.serial_svc.line.firmware import Firmware
from usbshare.serial_svc.line.hold_back import HoldBack
from usbshare.serial_svc.line.intake import Intake
from usbshare.serial_svc.line.keeper import DeviceKeeper
from usbshare.serial_svc.line.latch import Latch
from usbshare.serial_svc.line.pacer import Pacer
from usbshare.serial_svc.line.port_config import ExpectedDevice, PortConfig
from usbshare.serial_svc.line.scheduler import Queued, Scheduler
from usbshare.serial_svc.line.signal import Signal
from usbshare.serial_svc.line.writer import PortWriter
from usbshare.serial_svc.ports.audit import PortAudit
from usbshare.serial_svc.ports.description import describe
from usbshare.serial_svc.sessions.admission import Admission
from usbshare.serial_svc.sessions.client import Client, Resumption
from usbshare.serial_svc.sessions.events import (
    CommandOutcome,
    LinesChanged,
    PortChanged,
    QueueState,
    SettingsChanged,
)
from usbshare.serial_svc.sessions.link_watch import LinkWatch
from usbshare.serial_svc.sessions.observer_turns import ObserverTurns
from usbshare.serial_svc.sessions.port_description import PortDescription
from usbshare.serial_svc.sessions.queue_state import QueueNews
from usbshare.serial_svc.sessions.roster import SessionRoster
from usbshare.serial_svc.sessions.session import Session
from usbshare.serial_svc.stop.active_ports import ActivePorts
from usbshare.serial_svc.stop.activity import Activity
from usbshare.serial_svc.stop.crash_recovery import CrashRecovery
from usbshare.serial_svc.stop.realtime import Realtime
from usbshare.serial_svc.stop.stop_path import StopPath

log = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 2.0


class SerialPort:
    """A port: a device that comes and goes, a queue, one control session, observers."""

    def __init__(
        self,
        config: PortConfig,
        make_device: Callable[[LineSettings], Device],
        clock: Callable[[], float],
        on_change: Callable[[], None],
        active_ports: ActivePorts | None = None,
        audit: PortAudit | None = None,
        latch: Latch | None = None,
    ) -> None:
        self.config = config
        self.audit = audit or PortAudit(config.id, clock)
        self.latch = latch or Latch()
        self.firmware = Firmware(config.id, config.profile, self.changed)
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
        self.crash_recovery = CrashRecovery(self, active_ports, clock)
        self.pacer = Pacer(config.settings.bytes_per_s)
        self.watch = LinkWatch(self, clock)
        works, reported = self.watch.machine_works, self.watch.machine_reported
        self.activity = Activity(works, reported, lambda: self.profile)
        wrote, stalled_s = self.activity.wrote, config.write_timeout_s
        self._writer = PortWriter(
            self.scheduler, self.pacer, self.counters, clock, self, wrote, stalled_s
        )
        self._keeper = DeviceKeeper(config.id, make_device, self)
        self._realtime = Realtime(self, self._writer)
        self.stop_path = StopPath(self, clock)
        self.roster = SessionRoster(config.id)
        self._admission = Admission(self, self.roster, clock)
        self._queue_news = QueueNews(self.scheduler, clock, self.roster.tell)
        self.observer_turns = ObserverTurns()
        self._intake = Intake(self.roster, self.observer_turns, self.counters, clock)
        self.is_closing = False
        self.expected_device: ExpectedDevice = lambda: config.device
        self.hold_back = HoldBack()

    # What others may know.

    @property
    def id(self) -> str:
        """The port's id."""
        return self.config.id

    @property
    def profile(self) -> Profile:
        """What speaks behind the port, as far as it is known."""
        return self.firmware.profile

    @property
    def epoch(self) -> int:
        """The fencing number in force."""
        return self.latch.epoch

    @property
    def latched(self) -> bool:
        """Whether an emergency stop has latched the port; `latch` has by whom and when."""
        return self.latch.record is not None

    @property
    def is_open(self) -> bool:
        """Return whether there is a device to write to."""
        return self._keeper.device is not None

    @property
    def reason(self) -> str:
        """Why there is no device."""
        return self._keeper.reason

    @property
    def read_offset(self) -> int:
        """Bytes received from the device so far."""
        return self.observer_turns.tail.end_offset

    @property
    def device(self) -> Device:
        """The open device; raises DeviceError while there is none."""
        if self._keeper.device is None:
            raise DeviceError(f"port '{self.id}' has no device: {self.reason}")
        return self._keeper.device

    def describe(self) -> PortDescription:
        """Return the port as it is now."""
        return describe(self, self._keeper.state)

    def queue_state(self) -> QueueState:
        """Return how full the queue is now."""
        return self._queue_news.state()

    # Sessions.

    async def open_session(self, client: Client, resumption: Resumption | None = None) -> Session:
        """Open a session, and the device if this is the first use of it, or take up a lost one.

        Raises PortHeldError naming the holder, DeviceError when the device cannot be opened.
        """
        if self.is_closing:
            raise DrainingError(f"port '{self.id}' is closing; the service is stopping")
        return await self._admission.open(client, resumption)

    def session_failed(self, session: Session, why: str) -> None:
        """Note that a session's client broke the rules."""
        if session is self.roster.control:
            self.watch.lose(why)

    def stream_lost(self, session: Session) -> None:
        """Note that a session has no stream any more: in control it may come back."""
        if session is not self.roster.control:
            session.end("the stream ended")
        elif self.config.resume_window_s == 0:
            self.watch.lose("the stream ended")

    def session_ended(self, session: Session, *, said_goodbye: bool) -> None:
        """Forget a session; what it queued is dropped. Called by the session itself."""
        if not self.roster.remove(session):
            return
        dropped = self.scheduler.waiting_of(session)[0]
        self.watch.ends(session, said_goodbye=said_goodbye)
        self.release_control(session)
        log.info("session %s ended, %d commands dropped", session.client.session_id, dropped)
        self.audit.closed(session.client, dropped)
        self._admission.tell_of(session)

    def release_control(self, session: Session) -> None:
        """Let go of a session that may be in control, with what it queued."""
        if self.roster.give_up_control(session):
            self.hold_back.release()
            self.scheduler.remove_source(session)
            self.write_progressed()

    # Writing.

    def write_through(self, data: bytes, epoch: int) -> int:
        """Write a program's bytes past the empty queue; returns how many the device took.

        0 where they must be queued, taken apart or refused instead.
        """
        if self.watch.refuses or epoch != self.latch.epoch or self.profile.has_realtime(data):
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
        self._queue_news.changed()

    def write_realtime(
        self, data: bytes, session: Session | None = None, who: str = "", epoch: int = 0
    ) -> None:
        """Write real-time bytes; a reset voids what that session queued, nobody's the epoch."""
        self._realtime.write(data, [session] if session is not None else self.roster, who)
        if not self.profile.resets(data):
            return
        if session is None:
            self.end_epoch()  # what any program was doing cannot be gone on with
            self.changed()
        else:
            self.watch.lost_job.was_reset(epoch)

    def discard_output(self) -> None:
        """Throw away what the driver still holds of the program; stops that wait stay."""
        self._writer.discard_program()
        self._writer.pump()

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
            self.roster.tell(SettingsChanged(self.settings))
            self.changed(tell=False)
        return self.settings

    @property
    def held(self) -> bool:
        """Whether what a lost session queued waits for a person."""
        return self.watch.needs_person

    def pump(self) -> None:
        """Write what may be written now."""
        self._writer.pump()

    # Stopping; see stop_path.

    @property
    def line_is_unfinished(self) -> bool:
        """Return whether the last byte written left a line open."""
        return self._writer.line_is_open

    def write_urgent(self, data: bytes) -> None:
        """Write bytes ahead of everything; raises DeviceError naming the port and the reason."""
        self._realtime.urgent(data)

    def run(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run something on the port, whoever waits for it."""
        return self._keeper.run(work, name)

    @property
    def urgent_waits(self) -> bool:
        """Return whether the device has not taken all urgent bytes."""
        return self._writer.urgent_waits

    def discard_driver_output(self) -> None:
        """Throw away what the driver still holds, and write nothing in its place."""
        self._writer.discard()

    def end_epoch(self) -> int:
        """Void what was sent so far, wherever it is. Returns how many commands were here."""
        self.latch.advance()
        return self.fence()

    def fence(self) -> int:
        """Drop what was sent in an epoch that has ended. Returns how many commands were here."""
        fenced = self._drop_queue(CommandOutcome.FENCED, "a stop ended its epoch")
        return fenced + sum(session.fence() for session in self.roster)

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

    def noticed(self, *, present: bool, why_not: str = "not plugged in") -> None:
        """Note whether there is a device to open."""
        if self._keeper.noticed(present=present, why_not=why_not):
            self.changed()

    async def close(self) -> None:
        """Stop taking sessions, end those there are, close the device."""
        self.is_closing = True
        acting = self.watch.act("the service is stopping", is_at_work=self.watch.is_at_work)
        if acting is not None:
            await acting
        await asyncio.gather(*(s.close(CLOSE_TIMEOUT_S) for s in self.roster))
        await self._keeper.finish_running(CLOSE_TIMEOUT_S)
        self._writer.detach()
        await self._keeper.close()

    def command_written(self, command: Queued, now: float) -> None:
        """Report a command that went out whole."""
        if isinstance(command.source, Session):
            command.source.written(command, now)

    def write_progressed(self) -> None:
        """Let those go on who wait for room or credit."""
        self.progress.fire()
        if self.roster.control is not None:
            self.roster.control.progressed()
        self._queue_news.changed()

    # What the device tells.

    def data_received(self, data: bytes) -> None:
        """Pass bytes from the device to every session."""
        self.firmware.heard(data)
        self._intake.receive(data)
        self.activity.heard(data, self._clock(), nothing_waits=not self.scheduler.commands)
        if (outbox := self.roster.control_outbox) is not None and outbox.is_full:
            self.hold_back.hold(self.device)

    def writable(self) -> None:
        """Go on writing."""
        self._writer.writable()

    def lines_changed(self, lines: ModemLines) -> None:
        """Tell every session of the modem lines."""
        self.roster.tell(LinesChanged(lines))

    def device_opened(self, device: Device) -> None:
        """Write to the device from now on."""
        self.settings = device.settings
        found = self.expected_device()
        self.latch.device_opened(found)
        self._writer.attach(device)
        self._line_changed()
        log.info("port '%s' opened: %s", self.id, self.config.source)
        self.audit.device_opened(self.config.source)
        self.watch.device_opened()
        self.crash_recovery.device_opened(found)
        self.changed()

    def device_failed(self) -> None:
        """Tell that the device cannot be opened."""
        self.changed()

    def device_lost(self, reason: str) -> None:
        """Tell every session that the device is gone; what was queued has failed."""
        if not self._keeper.lost(reason):
            return
        self.hold_back.forget()
        self.counters.device_errors += 1
        if not self.watch.device_lost(reason):  # else the latch has begun an epoch
            self.latch.advance()
        log.warning("port '%s' lost its device: %s", self.id, reason)
        self.audit.device_lost(reason)
        self.firmware.forget()
        self._writer.detach()
        self._drop_queue(CommandOutcome.FAILED, reason)
        self.changed()

    # Telling.

    def _line_changed(self) -> None:
        for session in self.roster:
            session.line_changed()

    def changed(self, *, tell: bool = True) -> None:
        """Keep the latch, and tell all sessions the port's state."""
        self.latch.keep()
        if self._keeper.device is not None:
            self._keeper.device.watch_lines(on=len(self.roster) > 0)
        if tell:
            self.roster.tell(PortChanged(self.describe()))
        self._on_change()
