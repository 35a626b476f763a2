"""Joins the program's virtual port to the link: bytes both ways, settings, lines, flushes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

from usbshare.bridge.buffered.buffering import Buffering
from usbshare.bridge.forwarding.relay_news import RelayNews
from usbshare.bridge.forwarding.report import Reporter
from usbshare.bridge.forwarding.urgent_line import UrgentLine
from usbshare.bridge.local_ports.virtual_port import VirtualPort
from usbshare.bridge.tables.status_line import Status
from usbshare.client.latency.fields import measured
from usbshare.client.serial import port_condition
from usbshare.client.serial.link import Link
from usbshare.client.serial.messages import (
    Configure,
    DataEvent,
    Event,
    Flush,
    GapEvent,
    HoldBreak,
    LinesEvent,
    OpenedEvent,
    OperationEvent,
    PortEvent,
    QueueEvent,
    RemotePort,
    ResultEvent,
    SetLines,
    SettingsEvent,
)
from usbshare.client.serial.realtime_lane import Overtaking
from usbshare.client.serial.resumption import Loss, Resumed
from usbshare.client.serial.upstream import Upstream
from usbshare.line.settings import LineCounts, LineEvents, LineSettings, ModemLines


class Relay:
    """Listens to both sides; everything runs on one event loop, nothing here waits."""

    def __init__(
        self,
        port: VirtualPort,
        upstream: Upstream,
        reporter: Reporter,
        *,
        observe: bool,
        buffering: Buffering | None = None,
    ) -> None:
        self.link: Link | None = None
        self.urgent_line: UrgentLine | None = None
        self.remote: RemotePort | None = None
        self.connected = asyncio.Event()
        self.port_is_ready = False
        self.reconnections = -1
        self._port = port
        self._upstream = upstream
        self._news = RelayNews(reporter)
        self._observe = observe
        self._buffering = buffering
        if buffering is not None:
            buffering.give_to(self.give)
        self._session_id = ""
        self._unread = bytearray()
        self._ids = itertools.count(1)
        self._chosen: LineSettings | None = None
        self._queue_commands = 0
        self._sent_bytes = 0
        self._received_bytes = 0
        self._received_offset = self._taken_offset = 0
        self._told_room = -1
        self._breaks: dict[int, Callable[[bool], None]] = {}
        self._break_is_on = False
        self._is_shut_out = False
        self._counts: LineCounts | None = None

    def status(self, target: str, state: str) -> Status:
        """Return the current state."""
        return Status(
            state=state,
            target=target,
            port=self.remote.id if self.remote else "",
            path=self._port.path,
            latency=self.link.latency.summary() if self.link else None,
            queue_commands=self._queue_commands,
            reconnections=max(0, self.reconnections),
            sent_bytes=self._sent_bytes,
            received_bytes=self._received_bytes,
            lost_bytes=self._news.lost_bytes + self._upstream.dropped_realtime_bytes,
            times=measured(self.link.times) if self.link else None,
            condition=port_condition.short(self.remote) if self.remote else "",
            **(port_condition.fields(self.remote) if self.remote else {}),
        )

    # The program's side.

    def program_wrote(self, data: bytes) -> None:
        """Pass bytes on; while observing they are dropped and counted."""
        if self._observe:
            self._news.lose(len(data), "the port is only observed: dropping the program's bytes")
            return
        self._sent_bytes += len(data)
        if self.link is not None and self.link.pass_through(data):
            return
        self._upstream.add_program(data)
        self._wake()
        self._send_stuck_stops()
        self._limit_reading()

    def program_opened(self) -> None:
        """Report a program that came."""
        self._upstream.program_came()
        self._news.opened(self._port.path)

    def program_closed(self) -> None:
        """Report a program that left; what was meant for it is void."""
        if self._break_is_on:
            self.program_set_break(on=False, answered=lambda _: None)
        self._unread.clear()
        self._tell_taken()
        if self._buffering is not None:
            self._buffering.program_left()
        if self.link is not None and not self.link.keeps_program:
            self._news.count_lost(self._upstream.discard())
        self._news.closed(self._port.path)

    def program_configured(self, settings: LineSettings) -> None:
        """Pass settings on, after the bytes that the program wrote before them."""
        self._chosen = settings
        if not self._observe:
            self._upstream.add_ordered(Configure(next(self._ids), settings))
            self._wake()

    def program_set_lines(self, *, dtr: bool | None, rts: bool | None) -> None:
        """Pass output lines on at once."""
        if not self._observe:
            self._upstream.add_urgent(SetLines(next(self._ids), dtr, rts))
            self._wake()

    def program_set_break(self, *, on: bool, answered: Callable[[bool], None]) -> None:
        """Pass a break on, after the bytes that the program wrote before it."""
        if self._observe:
            answered(False)
            return
        hold = HoldBreak(next(self._ids), on)
        self._breaks[hold.id], self._break_is_on = answered, on
        self._upstream.add_ordered(hold)
        self._wake()

    def program_flushed(self, *, received: bool, written: bool) -> None:
        """Drop what the program does not want any more, here and at the far end."""
        if received:
            self._unread.clear()
            self._tell_taken()
        if written:
            self._upstream.void()
        if not self._observe:
            self._upstream.add_urgent(Flush(next(self._ids), received, written))
            self._wake()

    def port_writable(self) -> None:
        """Give the program what it had no room for."""
        taken = self._port.write(bytes(self._unread))
        del self._unread[:taken]
        self._tell_taken()

    def port_renamed(self, said: str) -> None:
        """Report what happened to the virtual port's name."""
        self._news.renamed(self._port.path, said)

    def port_lost(self, reason: str) -> None:
        """Report that the virtual port is gone and end."""
        self._news.port_lost(self._port.path, reason)
        if self.link is not None:
            self.link.close()

    # The link's side.

    def link_connected(self, opened: OpenedEvent, loss: Loss | None = None) -> None:
        """Report a new session and of what the one before cost; settings are applied again."""
        self.reconnections += 1
        before, self.remote = self.remote, opened.port
        if self._buffering is not None:
            self._buffering.port_is(opened.port)
        self._session_id = opened.session_id
        unread = len(self._unread)
        self._received_offset = self._taken_offset = opened.data_offset
        self._unread.clear()
        self._counts = None  # a device that was opened anew counts from 0
        if self.port_is_ready:
            self._show_lines(opened.lines)
        if self._chosen is not None and self._chosen != opened.port.settings:
            self._upstream.add_first(Configure(next(self._ids), self._chosen))
            self._wake()
        self.connected.set()
        self._tell_voided()
        self._news.connected(opened)
        self._news.stop_bytes(before, opened.port)
        if loss is not None:
            self._tell_loss(loss, unread)
        is_hung_up = loss is not None and loss.program_bytes > 0
        if before is not None and before.epoch != opened.port.epoch and not is_hung_up:
            self._hang_up(port_condition.why_fenced(opened.port))
        self._tell_condition(before, opened.port)

    def link_resumed(self, opened: OpenedEvent, resumed: Resumed) -> None:
        """Report that the session continues; the program lost nothing unless a stop came."""
        self.reconnections += 1
        if self.port_is_ready:
            self._show_lines(opened.lines)
        self._tell_voided()
        self._news.resumed(opened, resumed, self._upstream.waiting_bytes)
        was_held = self.remote is not None and self.remote.hold == opened.port.hold
        self._port_changed(opened.port)
        if opened.port.hold is not None and was_held:  # again: the person must know it now
            self._tell_condition(None, opened.port)

    def link_data(self, event: DataEvent) -> None:
        """Give bytes to the program; what it does not take waits, and is not acknowledged."""
        offset, data, _ = event
        size = len(data)
        taken = size  # as if taken, while no program can have the port open
        if self.port_is_ready:
            taken = 0 if self._unread else self._port.write(data)
        if taken < size:
            self._unread += data[taken:]
        self._received_bytes += size
        self._received_offset = offset + size
        self._tell_taken()

    def give(self, answer: bytes) -> None:
        """Give the program an answer that is not the device's own."""
        taken = 0 if self._unread else self._port.write(answer)
        self._unread += answer[taken:]

    def link_event(self, event: Event) -> None:
        """Handle an event of the service; ignored until the virtual port exists."""
        if isinstance(event, OperationEvent) and event.id in self._breaks:
            self._breaks.pop(event.id)(event.outcome == "ok")
        if not self.port_is_ready and not isinstance(event, PortEvent):
            return
        match event:
            case ResultEvent() if self._buffering is not None:
                self._buffering.upstream.result(event)
                self._news.line_done(event)
                self._wake()
                self._limit_reading()
            case QueueEvent():
                self._queue_commands = event.commands
            case SettingsEvent():
                self._port.apply_settings(event.settings)
            case LinesEvent():
                self._show_lines(event.lines)
            case PortEvent():
                self._port_changed(event.port)
            case GapEvent():
                self._received_offset = event.next_offset
                self._tell_taken()
                self._news.lose(event.lost_bytes, "the program does not read what the device sends")
                self._port.show_events(LineEvents(overrun=True))
            case _:
                self._news.event(event)

    def link_sent(self) -> None:
        """Read more of what the program writes."""
        self._limit_reading()

    def _refuse_breaks(self) -> None:
        """Report breaks whose outcome is unknown to programs as not done."""
        breaks, self._breaks = self._breaks, {}
        for answered in breaks.values():
            answered(False)

    def link_lost(self, reason: str, window_s: float = 0.0, *, is_refused: bool = False) -> None:
        """Report that the link is down; what the program writes waits for it."""
        self._refuse_breaks()
        if is_refused:
            self._is_shut_out = True
            self._news.shut_out(reason)
            return
        self._news.link_lost(reason, window_s)
        if self.urgent_line is not None:  # whether its connection is alive is unknown
            self.urgent_line.move()
        self._send_stuck_stops()

    def link_abandoned(self, loss: Loss) -> None:
        """Report what the end of a lost session cost."""
        self._tell_loss(loss)
        self.link_sent()

    def link_waiting(self, wait_s: float, reason: str) -> None:
        """Report the next attempt."""
        self._news.waiting(wait_s, reason)

    def _tell_loss(self, loss: Loss, unread_bytes: int = 0) -> None:
        """Report what a session's end cost; a program must not continue after a gap."""
        missed = None if loss.device_bytes is None else loss.device_bytes + unread_bytes
        self._news.count_lost(loss.program_bytes + (missed or 0))
        if missed == 0 and (self._observe or (self._is_shut_out and not loss.program_bytes)):
            return
        self._news.not_resumed(loss, missed)
        if loss.program_bytes:
            self._hang_up(f"{loss.program_bytes} bytes of the program are lost or in doubt")

    def _tell_voided(self) -> None:
        if self._upstream.voided_bytes:
            self._news.lose(
                self._upstream.voided_bytes, "what the program wrote before a stop is discarded"
            )

    def _tell_taken(self) -> None:
        # Answers of our own are among what is unread: what was taken never falls.
        taken = self._received_offset - len(self._unread)
        self._taken_offset = max(self._taken_offset, taken)
        if self.link is not None:
            self.link.taken(self._taken_offset)

    def _send_stuck_stops(self) -> None:
        """Send stops on their own connection where the session's has not taken them at once."""
        line = self.urgent_line
        if line is None or self.remote is None or self.link is None:
            return
        if self.link.is_connected and not line.is_ready:
            return
        if (stuck := self._upstream.take_emergency()) is not None:
            sending = line.send(stuck, self.remote.id, self._session_id)
            sending.add_done_callback(lambda done: self._stops_sent(stuck, done))

    def _stops_sent(self, stops: Overtaking, done: asyncio.Future[bool]) -> None:
        """Go on with what the program wrote after them; not after a reset that never came."""
        is_delivered = not done.cancelled() and done.result()
        if stops.resets and not is_delivered:
            self._hang_up("its reset could not be delivered")
        self._upstream.emergency_done(stops.last_number if is_delivered else 0)
        self._wake()

    def _hang_up(self, why: str) -> None:
        """Take the port away from its program, which must not carry on; an observer's stays."""
        if self._observe or not self.port_is_ready:
            return
        self._unread.clear()
        self._tell_taken()
        voided = self._upstream.void()
        if voided:
            self._news.lose(
                voided, "what the program wrote before its port was hung up is discarded"
            )
        self._port.hang_up()
        self._limit_reading()
        self._news.hung_up(self._port.path, why)

    def _port_changed(self, port: RemotePort) -> None:
        before = self.remote
        self.remote = port
        if self._buffering is not None:
            self._buffering.port_is(port)
        voided = self._upstream.port_changed(epoch=port.epoch, profile=port.profile)
        if voided:
            self._news.lose(voided, "what the program wrote before the stop or loss is discarded")
        has_hung_up = port_condition.is_lost_job(port) and self._upstream.untold_loss and not voided
        if before is not None and before.epoch != port.epoch and not has_hung_up:
            self._hang_up(port_condition.why_fenced(port))
        self._news.stop_bytes(before, port)
        self._tell_condition(before, port)
        self._news.port_changed(before, port)

    def _tell_condition(self, before: RemotePort | None, port: RemotePort) -> None:
        """Report what is held or latched; of a latch the service need not be told what was lost."""
        if port.latched:
            self._upstream.loss_is_known()
        self._news.condition(before, port)

    def _show_lines(self, lines: ModemLines) -> None:
        """Show the lines, and what has befallen the line since they were last shown."""
        before, self._counts = self._counts, lines.counts
        self._port.show_lines(lines)
        if before is not None and lines.counts is not None:
            events = lines.counts.since(before)
            if events.is_any:
                self._port.show_events(events)

    def _limit_reading(self) -> None:
        room = self._upstream.room
        if room != self._told_room and self.port_is_ready:
            self._told_room = room
            self._port.limit_reading(room)

    def _wake(self) -> None:
        if self.link is not None:
            self.link.wake()
