"""One session with a remote port, served by a separate thread and event loop."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

from usbshare.base.backoff import Backoff
from usbshare.base.daemon_executor import DaemonExecutor
from usbshare.base.errors import (
    DeviceError,
    NotSupportedError,
    PermissionDeniedError,
    UsbshareError,
)
from usbshare.base.watched_task import run_until
from usbshare.bridge.forwarding import bundle_file
from usbshare.bridge.forwarding.virtual_com_port import client_name
from usbshare.bridge.pyserial.address import PortAddress
from usbshare.bridge.pyserial.exchange import TELL_BYTES, Exchange, LineLostError, after
from usbshare.bridge.pyserial.write_buffer import ToldUpstream, WrittenRuns
from usbshare.client.connection_limiter import Turns
from usbshare.client.serial import port_condition
from usbshare.client.serial.client import SerialClient
from usbshare.client.serial.dialer import Dialer
from usbshare.client.serial.link import GOODBYE_TIMEOUT_S, Link
from usbshare.client.serial.link_state import LinkLostError, SessionChoice
from usbshare.client.serial.messages import (
    Configure,
    DataEvent,
    Event,
    Flush,
    GapEvent,
    HoldBreak,
    LinesEvent,
    Message,
    OpenedEvent,
    OperationEvent,
    PortEvent,
    RemotePort,
    ResultEvent,
    SetLines,
)
from usbshare.client.serial.resumption import Loss, Resumed
from usbshare.line.settings import LineSettings, ModemLines

log = logging.getLogger(__name__)

OPEN_TIMEOUT_S = 30.0
OPERATION_TIMEOUT_S = 10.0
CLOSED = "the port was closed"
_GONE = ("absent", "failed")


class RemoteLine:
    """A serial line far away; each method may be called from any thread but its own.

    A session that is lost stays lost, and so does one with control whose epoch has ended: every
    later call raises LineLostError. Methods without another word raise that, DeviceError or
    NotSupportedError.
    """

    def __init__(self, address: PortAddress) -> None:
        self._address = address
        self._exchange = Exchange()
        self._upstream = ToldUpstream(self._show_upstream)
        self._written = WrittenRuns(self._post_in_run, self._add_run)
        self._link = Link(
            Dialer(lambda attempt_s: _connect(address, attempt_s), Turns(), time.monotonic),
            SessionChoice(address.port_id, address.observe, client_name(_program()), resumes=False),
            self._upstream,
            self,
            Backoff(random.random),
            time.monotonic,
        )
        self._settings = LineSettings()
        self._epoch = 0
        self._ids = itertools.count(1)
        self._emptying: set[int] = set()
        self._is_closing = False
        self._abandoned = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(DaemonExecutor())
        self._thread = threading.Thread(target=self._serve, name=str(address), daemon=True)

    # The program's side.

    def open(self) -> None:
        """Begin the session, once; raises why it cannot."""
        self._thread.start()
        try:
            self._settings = self._exchange.wait_opened(OPEN_TIMEOUT_S).port.settings
        except BaseException:
            self._abandon()
            raise

    def close(self) -> None:
        """End the session after what was written, or after 5 s; no thread is left. Idempotent."""
        if threading.current_thread() is self._thread:  # garbage was collected there
            self._say_goodbye()
            return
        if not self._exchange.is_lost:
            self._post_quietly(self._say_goodbye)
            self._thread.join(GOODBYE_TIMEOUT_S + 1.0)
        self._abandon()

    def read(self, size: int, timeout_s: float | None, gap_s: float | None) -> bytes:
        """Return bytes as pyserial's `read` does; LineLostError once none are left to come."""
        deadline, gap_s = after(timeout_s), gap_s or inf
        # In pieces: the service sends no more until it learns what was taken.
        piece = self._read_piece(size, deadline, gap_s, inf)
        data = bytearray(piece)
        with suppress(LineLostError):  # the next call raises it
            while len(piece) == TELL_BYTES and len(data) < size:
                gap_end = time.monotonic() + gap_s
                piece = self._read_piece(size - len(data), deadline, gap_s, gap_end)
                data += piece
        return bytes(data)

    def cancel_read(self) -> None:
        """End a read that waits in another thread."""
        self._exchange.cancel_read()

    def waiting_bytes(self) -> int:
        """Return how many bytes can be read at once."""
        return self._exchange.waiting_bytes()

    def write(self, data: bytes, timeout_s: float | None) -> int:
        """Hand bytes over as room comes and return how many; fewer only at the timeout.

        Real-time bytes alone need no room: they overtake. LineRefusedError tells, at the next
        write, that earlier bytes did not reach the device.
        """
        self._require_control()
        deadline = after(timeout_s)
        if self._exchange.is_realtime(data):
            self._post(self._add_program, data)
            return len(data)
        written = 0
        while written < len(data):
            size = self._exchange.reserve(len(data) - written, deadline)
            if size == 0:
                break
            self._written.add(data[written : written + size])
            written += size
        return written

    def unsent_bytes(self) -> int:
        """Return how many bytes were written and are not at the device's driver."""
        return self._exchange.unsent_bytes()

    def drain(self) -> None:
        """Wait until the far driver has all bytes; raises as `write` does."""
        self._exchange.wait_sent()

    def configure(self, settings: LineSettings) -> None:
        """Change settings after the bytes before; an observer changes nothing."""
        if self._address.observe or settings == self._settings:
            return
        self._ask(self._upstream.add_ordered, Configure(next(self._ids), settings))
        self._settings = settings

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Set output lines now; an observer sets nothing."""
        if not self._address.observe:
            self._ask(self._upstream.add_urgent, SetLines(next(self._ids), dtr, rts))

    def set_break(self, *, on: bool) -> None:
        """Start or end a break after the bytes before; PermissionDeniedError for an observer."""
        self._require_control()
        self._ask(self._upstream.add_ordered, HoldBreak(next(self._ids), on))

    def discard_input(self) -> None:
        """Drop what the device sent so far, here and at the far end."""
        if self._address.observe:
            self._post(self._link.taken, self._exchange.discard_received())
            return
        flush = Flush(next(self._ids), received=True, written=False)
        self._emptying.add(flush.id)
        self._ask(self._upstream.add_urgent, flush)

    def discard_output(self) -> None:
        """Drop what was written and has not left, here and at the far end."""
        if not self._address.observe:
            flush = Flush(next(self._ids), received=False, written=True)
            self._ask(self._discard_and_add, flush)

    def modem_lines(self) -> ModemLines:
        """Return the modem lines as last reported."""
        return self._exchange.modem_lines()

    # The link's side: on the loop.

    def link_connected(self, opened: OpenedEvent, loss: Loss | None) -> None:
        """Let `open` return."""
        self._epoch = opened.port.epoch
        self._show_upstream()
        self._exchange.opened(opened)

    def link_data(self, event: DataEvent) -> None:
        """Take bytes from the device."""
        self._exchange.deliver(event)
        if self._is_closing:
            self._discard_received()

    def link_event(self, event: Event) -> None:
        """Handle an event of the service."""
        match event:
            case GapEvent():
                log.warning("%s: %d bytes lost: not read in time", self._address, event.lost_bytes)
                self._exchange.skip_to(event.next_offset)
            case LinesEvent():
                self._exchange.show_lines(event.lines)
            case OperationEvent():
                self._operated(event)
            case PortEvent():
                self._port_changed(event.port)
            case ResultEvent() if event.outcome != "flushed":
                self._exchange.refuse(f"bytes were {event.outcome}: {event.message}")

    def link_sent(self) -> None:
        """Show the new room."""
        self._show_upstream()

    def link_resumed(self, opened: OpenedEvent, resumed: Resumed) -> None:
        """Do nothing: no session is resumed."""

    def link_lost(self, reason: str, window_s: float, *, is_refused: bool) -> None:
        """End: a program must not go on in the middle of another session."""
        how = "was ended by the host" if is_refused else "is lost"
        self._lose(f"the link to {self._address.target} {how}: {reason}")

    def link_abandoned(self, loss: Loss) -> None:
        """Do nothing: `link_lost` has reported it."""

    def link_waiting(self, wait_s: float, reason: str) -> None:
        """Do nothing: there is no next attempt."""

    def _operated(self, event: OperationEvent) -> None:
        if event.id in self._emptying:
            self._emptying.discard(event.id)
            self._discard_received()
        self._exchange.answered(event)

    def _port_changed(self, port: RemotePort) -> None:
        self._upstream.port_changed(epoch=port.epoch, profile=port.profile)
        self._exchange.show_port(port)
        self._show_upstream()
        if port.state in _GONE:
            why = f": {port.reason}" if port.reason else ""
            self._lose(f"port '{port.id}' is {port.state}{why}")
        elif port.epoch != self._epoch and not self._address.observe:
            self._lose(f"port '{port.id}' was hung up: {port_condition.why_fenced(port)}")

    def _add_run(self, data: bytes) -> None:
        self._exchange.added(len(data))
        self._add_program(data)

    def _add_program(self, data: bytes) -> None:
        self._upstream.add_program(data)
        self._show_upstream()
        self._link.wake()

    def _discard_and_add(self, flush: Message) -> None:
        self._upstream.discard()
        self._show_upstream()
        self._upstream.add_urgent(flush)

    def _discard_received(self) -> None:
        self._link.taken(self._exchange.discard_received())

    def _show_upstream(self) -> None:
        pending = self._upstream.waiting_bytes + self._upstream.unconsumed_bytes
        self._exchange.show_upstream(self._upstream.room, pending)

    def _lose(self, why: str) -> None:
        self._exchange.lose(why)
        self._link.close()

    def _say_goodbye(self) -> None:
        # What is no longer read must not delay closing the session.
        self._is_closing = True
        self._discard_received()
        self._exchange.lose(CLOSED)
        self._link.close()

    # The thread.

    def _serve(self) -> None:
        why = CLOSED
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._main())
        except (UsbshareError, LinkLostError) as error:
            why = str(error)
        except Exception as error:
            log.exception("%s failed", self._address)
            why = f"an internal error of usbshare: {error!r}"
        finally:
            self._exchange.lose(why)

    async def _main(self) -> None:
        self._loop.set_exception_handler(_hear)
        await run_until(self._abandoned, link=self._link.run())

    # Helpers of the program's side.

    def _ask(
        self, add: Callable[[Any], None], message: Configure | SetLines | HoldBreak | Flush
    ) -> None:
        self._exchange.expect(message.id)
        self._post(add, message)
        self._post(self._link.wake)
        answer = self._exchange.wait_answer(message.id, OPERATION_TIMEOUT_S)
        if answer is None:
            raise DeviceError(f"{self._address} did not answer within {OPERATION_TIMEOUT_S:g} s")
        if answer.outcome == "not supported":
            raise NotSupportedError(f"not supported by {self._address}: {answer.message}")
        if answer.outcome not in ("ok", "assumed success"):
            raise DeviceError(f"{self._address} said {answer.outcome}: {answer.message}")

    def _read_piece(self, most: int, deadline: float, gap_s: float, gap_end: float) -> bytes:
        piece = self._exchange.read(min(most, TELL_BYTES), deadline, gap_s, gap_end)
        if (offset := self._exchange.taken_news()) is not None:
            self._post_quietly(self._link.taken, offset)
        return piece

    def _require_control(self) -> None:
        if self._address.observe:
            raise PermissionDeniedError(f"{self._address} is only observed: leave out observe=1")

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        self._written.end_run()
        self._post_in_run(callback, *arguments)

    def _post_in_run(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError as error:  # the loop is closed
            raise LineLostError(CLOSED) from error

    def _post_quietly(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._post(callback, *arguments)
        except LineLostError:
            return

    def _abandon(self) -> None:
        self._post_quietly(self._abandoned.set)
        self._thread.join()


def _hear(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # gRPC has one queue for all loops of a process: one that comes too late for a byte, or has
    # news for another port's loop, which is closed, complains aloud. Nothing is lost by it.
    if "PollerCompletionQueue._handle_events" in context["message"]:
        log.debug("gRPC: %r", context.get("exception"))
    else:
        loop.default_exception_handler(context)


def _connect(address: PortAddress, attempt_s: float) -> SerialClient:
    """Connect with what the bundle's file holds now: a bridge may have renewed it."""
    bundle = address.bundle
    return SerialClient(address.target, bundle and bundle_file.newest(bundle), attempt_s)


def _program() -> str:
    return Path(sys.argv[0]).name or "pyserial"
