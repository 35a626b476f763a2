"""Joins the program's virtual port to the link: bytes both ways, settings, lines, flushes."""

from __future__ import annotations

import asyncio
import itertools

from usbshare.bridge.link import Link
from usbshare.bridge.messages import (
    Configure,
    DataEvent,
    Event,
    Flush,
    GapEvent,
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
from usbshare.bridge.report import Reporter, Status
from usbshare.bridge.upstream import Upstream
from usbshare.bridge.virtual_port import VirtualPort
from usbshare.common.line import LineSettings


class Relay:
    """Listens to both sides; everything runs on one event loop, nothing here waits."""

    def __init__(
        self, port: VirtualPort, upstream: Upstream, reporter: Reporter, *, observe: bool
    ) -> None:
        self.link: Link | None = None
        self.remote: RemotePort | None = None
        self.connected = asyncio.Event()
        self.port_is_ready = False
        self.reconnections = -1
        self._port = port
        self._upstream = upstream
        self._reporter = reporter
        self._observe = observe
        self._unread = bytearray()
        self._ids = itertools.count(1)
        self._chosen: LineSettings | None = None
        self._queue_commands = 0
        self._sent_bytes = 0
        self._received_bytes = 0
        self._received_offset = 0
        self._lost_bytes = 0
        self._told_room = -1

    def status(self, target: str, state: str) -> Status:
        """Return how things stand."""
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
            lost_bytes=self._lost_bytes,
        )

    # The program's side.

    def program_wrote(self, data: bytes) -> None:
        """Pass bytes on; while observing they are dropped and counted."""
        if self._observe:
            self._lose(len(data), "the port is only observed: the program's bytes are dropped")
            return
        self._sent_bytes += len(data)
        if self.link is not None and self.link.pass_through(data):
            return
        self._upstream.add_program(data)
        self._wake()
        self._limit_reading()

    def program_opened(self) -> None:
        """Tell of a program that came."""
        self._reporter.event("opened", f"a program opened {self._port.path}", path=self._port.path)

    def program_closed(self) -> None:
        """Tell of a program that left; what was meant for it is void."""
        self._unread.clear()
        self._tell_taken()
        if self.link is not None and not self.link.is_connected:
            self._lost_bytes += self._upstream.discard()
        self._reporter.event("closed", f"{self._port.path} was closed", path=self._port.path)

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

    def program_flushed(self, *, received: bool, written: bool) -> None:
        """Drop what the program does not want any more, here and at the far end."""
        if received:
            self._unread.clear()
            self._tell_taken()
        if written:
            self._upstream.discard()
        if not self._observe:
            self._upstream.add_urgent(Flush(next(self._ids), received, written))
            self._wake()

    def port_writable(self) -> None:
        """Give the program what it had no room for."""
        taken = self._port.write(bytes(self._unread))
        del self._unread[:taken]
        self._tell_taken()

    def port_lost(self, reason: str) -> None:
        """Tell that the virtual port is gone and end."""
        self._reporter.event("port_lost", f"{self._port.path} is gone: {reason}")
        if self.link is not None:
            self.link.close()

    # The link's side.

    def link_connected(self, opened: OpenedEvent) -> None:
        """Tell of the session; the program's settings are applied to the port again."""
        self.reconnections += 1
        self.remote = opened.port
        self._received_offset = opened.data_offset
        self._unread.clear()
        if self.port_is_ready:
            self._port.show_lines(opened.lines)
        if self._chosen is not None and self._chosen != opened.port.settings:
            self._upstream.add_first(Configure(next(self._ids), self._chosen))
            self._wake()
        self.connected.set()
        if self._upstream.voided_bytes:
            self._lose(self._upstream.voided_bytes, "what the program wrote before a stop is void")
        self._reporter.event(
            "connected",
            f"connected to port '{opened.port.id}' ({opened.port.description or 'no description'})",
            port=opened.port.id,
            session=opened.session_id,
        )

    def link_data(self, event: DataEvent) -> None:
        """Give bytes to the program; what it does not take waits, and is not acknowledged."""
        offset, data = event
        size = len(data)
        taken = size  # as if taken, while nobody can have the port open
        if self.port_is_ready:
            taken = 0 if self._unread else self._port.write(data)
        if taken < size:
            self._unread += data[taken:]
        self._received_bytes += size
        self._received_offset = offset = offset + size
        if self.link is not None:
            self.link.taken(offset - len(self._unread))

    def link_event(self, event: Event) -> None:
        """Take what the service tells; before the port is there nobody wants its news."""
        if not self.port_is_ready and not isinstance(event, PortEvent):
            return
        match event:
            case QueueEvent():
                self._queue_commands = event.commands
            case SettingsEvent():
                self._port.apply_settings(event.settings)
            case LinesEvent():
                self._port.show_lines(event.lines)
            case PortEvent():
                self._port_changed(event.port)
            case GapEvent():
                self._received_offset = event.next_offset
                self._tell_taken()
                self._lose(event.lost_bytes, "the program does not take what the device sends")
            case ResultEvent():
                self._reporter.event("refused", f"bytes were {event.outcome}: {event.message}")
            case OperationEvent() if event.outcome not in ("ok", "assumed success"):
                self._reporter.event("not_done", f"the port said {event.outcome}: {event.message}")

    def link_sent(self) -> None:
        """Read more of what the program writes."""
        self._limit_reading()

    def link_lost(self, reason: str) -> None:
        """Drop what cannot be continued, and say how much that is."""
        in_doubt = self._upstream.lose()
        self._lost_bytes += in_doubt
        note = f"; {in_doubt} bytes of the program did not reach the device" if in_doubt else ""
        self._reporter.event("lost", f"link lost: {reason}{note}", lost_bytes=in_doubt)
        self.link_sent()

    def link_waiting(self, wait_s: float, reason: str) -> None:
        """Tell of the next attempt."""
        text = f"connecting again in {wait_s:.1f} s ({reason})"
        self._reporter.event("waiting", text, wait_s=round(wait_s, 3), reason=reason)

    def _tell_taken(self) -> None:
        if self.link is not None:
            self.link.taken(self._received_offset - len(self._unread))

    def _port_changed(self, port: RemotePort) -> None:
        before = self.remote
        self.remote = port
        voided = self._upstream.port_changed(epoch=port.epoch, profile=port.profile)
        if voided:
            self._lose(voided, "what the program wrote before the stop or loss is void")
        if before is None or (before.state, before.latched) == (port.state, port.latched):
            return
        latch = ", latched by a stop" if port.latched else ""
        reason = f": {port.reason}" if port.reason else ""
        self._reporter.event(
            "port", f"port '{port.id}' is {port.state}{latch}{reason}", state=port.state
        )

    def _limit_reading(self) -> None:
        room = self._upstream.room
        if room != self._told_room and self.port_is_ready:
            self._told_room = room
            self._port.limit_reading(room)

    def _lose(self, size: int, why: str) -> None:
        if self._lost_bytes == 0:
            self._reporter.event("losing", why)
        self._lost_bytes += size

    def _wake(self) -> None:
        if self.link is not None:
            self.link.wake()
