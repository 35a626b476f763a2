"""A serial device on threads: Windows ports, com0com, and every URL that pyserial knows."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ParamSpec

import serial

from usbshare.base.errors import DeviceError, UsbshareError
from usbshare.base.threads import OwnThread, begin
from usbshare.line.device_work import outcome_of
from usbshare.line.modem_inputs import POLL_S, are_known, inputs_of
from usbshare.line.open_guard import NoGuard, OpenGuard
from usbshare.line.settings import (
    Completion,
    DeviceListener,
    FlowControl,
    LineSettings,
    ModemLines,
)
from usbshare.line.threaded.reader import SerialReader
from usbshare.line.threaded.serial_url import (
    cancel_blocking,
    close_port,
    configure_port,
    open_port,
    read_port_lines,
    set_port_break,
    set_port_lines,
    waiting_output,
)
from usbshare.line.threaded.writer import SerialWriter
from usbshare.line.usb.windows_ports import takes_at_own_rate

_log = logging.getLogger(__name__)

_DRAIN_POLL_S = 0.002
_JOIN_S = 2.0
_P = ParamSpec("_P")


class ThreadedDevice:
    """Device over `serial.serial_for_url`, or over a function that finds the URL at each `open`.

    One thread reads, one writes, one does what may block (settings, lines), in order, and one
    purges, since what a stop sends waits for that.
    `set_lines` and `set_break` are handed to that thread: they take effect soon after they return.
    """

    def __init__(
        self,
        url: str | Callable[[], str],
        settings: LineSettings,
        *,
        dtr: bool | None = None,
        rts: bool | None = None,
        guard: OpenGuard | None = None,
    ) -> None:
        self._guard = guard or NoGuard()
        self._locate = url if callable(url) else lambda: url
        self._url = url if isinstance(url, str) else ""
        self._settings = settings
        self._wanted_lines = (dtr, rts)
        self._open: _OpenPort | None = None
        self._lines = ModemLines()
        self._has_line_rate = True
        self._is_paused = False
        self._held = b""
        self._watches_lines, self._rests = True, False
        self._poll: asyncio.TimerHandle | None = None
        self._ending: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop
        self._listener: DeviceListener

    @property
    def settings(self) -> LineSettings:
        """The settings in force; of a network port without settings, those that were asked for."""
        return self._settings

    @property
    def holds_back(self) -> bool:
        """Whether a pause in reading makes the other side wait, instead of losing its bytes."""
        return "://" in self._url or self._settings.flow_control is not FlowControl.NONE

    @property
    def has_line_rate(self) -> bool:
        """Whether the baud rate bounds what leaves; False for CDC-ACM on Windows."""
        return self._has_line_rate

    @property
    def paces_itself(self) -> bool:
        """Return False: `write` takes whatever the driver has room for."""
        return False

    @property
    def low_latency(self) -> bool | None:
        """Return None: it is unknown whether the adapter hands bytes over at once."""
        return None

    async def open(self, listener: DeviceListener) -> None:
        """Open the port in a thread; raises DeviceError."""
        if self._open is not None or self._ending is not None:
            raise DeviceError(f"{self._url} is already open")
        self._loop, self._listener = asyncio.get_running_loop(), listener
        self._is_paused, self._held = False, b""
        control = OwnThread("usbshare-control")
        try:
            port = await self._open_in(control)
        except BaseException:
            control.close()
            raise
        self._start(port, control)

    def write(self, data: bytes) -> int:
        """Hand over what fits now, return how many bytes; if not all, `writable` follows later."""
        return self._require_open().writer.write(data)

    def unsent_bytes(self) -> int:
        """Bytes handed over that have not left, the driver's included where it can say."""
        return self._require_open().writer.unsent_bytes()

    def pause_reading(self) -> None:
        """Stop calling `data_received`; at most one chunk waits here, the rest in the system."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Call `data_received` again."""
        self._is_paused = False
        if self._open is not None and self._held:
            self._loop.call_soon(self._deliver_held)

    def discard_output(self) -> None:
        """Throw away what was handed over and has not left; what is written next goes out first."""
        opened = self._require_open()
        opened.writer.discard()
        self._submit(opened.purging, opened.writer.purge)

    def discard_input(self) -> Awaitable[None]:
        """Discard bytes that were received and not delivered, once the port has done so."""
        opened = self._require_open()
        opened.reader.discard()
        if self._held:
            self._held = b""
            opened.reader.taken()
        return self._submit(opened.purging, opened.reader.purge)

    async def configure(self, settings: LineSettings) -> LineSettings:
        """Change all settings in one step, return what took effect; raises InvalidArgumentError."""
        opened = self._require_open()
        try:
            await opened.control.run(configure_port, opened.port, self._settings, settings)
        except UsbshareError:
            raise
        except asyncio.CancelledError:
            if self._open is opened:
                raise
            raise DeviceError(f"{self._url} was closed") from None
        except Exception as error:  # even going back failed; see configure_port for the breadth
            self._lose(str(error))
            raise DeviceError(f"{self._url} failed: {error}") from error
        self._settings = settings
        return settings

    async def drain(self, timeout_s: float) -> Completion:
        """Wait until all that was handed over has left; ASSUMED_SUCCESS if that is not reported."""
        deadline = self._loop.time() + timeout_s
        while not self._has_left(self._require_open()):
            if self._loop.time() >= deadline:
                return Completion.TIMEOUT
            await asyncio.sleep(_DRAIN_POLL_S)
        in_driver = waiting_output(self._require_open().port)
        return Completion.ASSUMED_SUCCESS if in_driver is None else Completion.OK

    def lines(self) -> ModemLines:
        """Return the modem lines as last read, at most some 50 ms ago; None where unknown."""
        self._require_open()
        return self._lines

    def watch_lines(self, *, on: bool) -> None:
        """Poll the input lines to report changes (so at open), or rest."""
        self._watches_lines = on
        if on and self._rests:
            self._rests = False
            self._poll_lines()

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> Awaitable[None]:
        """Set output lines; None leaves one alone."""
        opened = self._require_open()
        return self._submit(opened.control, set_port_lines, self._url, opened.port, dtr, rts)

    def set_break(self, *, on: bool) -> Awaitable[None]:
        """Start or end a break condition."""
        opened = self._require_open()
        return self._submit(opened.control, set_port_break, self._url, opened.port, on)

    async def close(self) -> None:
        """Close the port and end its threads; bounded, but a hanging driver keeps a thread."""
        if self._open is not None:
            self._end(lost_because=None)
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def _open_in(self, control: OwnThread) -> serial.Serial:
        opening = control.submit(self._open_port)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unclaimed)
            raise

    def _open_port(self) -> serial.Serial:
        self._url = self._locate()
        dtr, rts = self._wanted_lines
        port = open_port(self._url, self._settings, dtr=dtr, rts=rts, guard=self._guard)
        self._lines = read_port_lines(self._url, port)
        self._has_line_rate = not takes_at_own_rate(self._url)
        return port

    def _start(self, port: serial.Serial, control: OwnThread) -> None:
        reader = SerialReader(port, self._deliver_soon, self._lose_soon)
        writer = SerialWriter(port, self._writable_soon, self._lose_soon)
        self._open = _OpenPort(port, control, OwnThread("usbshare-purging"), reader, writer)
        reader.start()
        writer.start()
        if are_known(self._lines):
            self._poll = self._loop.call_later(POLL_S, self._poll_lines)

    def _deliver_soon(self, generation: int, data: bytes) -> None:
        self._post(self._deliver, generation, data)

    def _deliver(self, generation: int, data: bytes) -> None:
        if self._open is None:
            return
        if self._is_paused and generation == self._open.reader.generation:
            self._held = data
            return
        self._open.reader.taken()
        if generation == self._open.reader.generation:
            self._listener.data_received(data)

    def _deliver_held(self) -> None:
        if self._open is None or self._is_paused or not self._held:
            return
        data, self._held = self._held, b""
        self._open.reader.taken()
        self._listener.data_received(data)

    def _writable_soon(self) -> None:
        self._post(self._writable)

    def _writable(self) -> None:
        if self._open is not None:
            self._listener.writable()

    def _has_left(self, opened: _OpenPort) -> bool:
        return opened.writer.is_empty() and not waiting_output(opened.port)

    def _poll_lines(self) -> None:
        opened = self._require_open()
        reading = opened.control.submit(read_port_lines, self._url, opened.port)
        reading.add_done_callback(self._lines_read)

    def _lines_read(self, reading: asyncio.Future[ModemLines]) -> None:
        if not reading.cancelled() and reading.exception() is None:
            self._show_lines(reading.result())

    def _show_lines(self, lines: ModemLines) -> None:
        if self._open is None:
            return
        self._rests = not self._watches_lines
        if self._watches_lines:
            self._poll = self._loop.call_later(POLL_S, self._poll_lines)
        before, self._lines = self._lines, lines
        if inputs_of(lines) != inputs_of(before):
            self._listener.lines_changed(lines)

    def _lose_soon(self, why: str) -> None:
        self._post(self._lose, why)

    def _lose(self, why: str) -> None:
        if self._open is not None:
            _log.info("device lost: %s: %s", self._url, why)
            self._end(lost_because=f"{self._url} is gone: {why}")

    def _end(self, *, lost_because: str | None) -> None:
        opened, self._open = self._require_open(), None
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        opened.control.close()
        opened.purging.close()
        self._ending = begin(opened.finish)
        self._ending.add_done_callback(lambda _: self._ended(lost_because))

    def _ended(self, lost_because: str | None) -> None:
        self._ending = None
        if lost_because is not None:
            self._listener.device_lost(lost_because)

    def _require_open(self) -> _OpenPort:
        if self._open is None:
            raise DeviceError(f"{self._url} is not open")
        return self._open

    def _submit(
        self, thread: OwnThread, call: Callable[_P, None], *args: _P.args, **kwargs: _P.kwargs
    ) -> asyncio.Future[None]:
        submitted = thread.submit(call, *args, **kwargs)
        submitted.add_done_callback(_log_failure)
        return outcome_of(submitted, self._url)

    def _post(self, callback: Callable[..., object], *args: object) -> None:
        # The loop may have ended without closing us.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *args)


@dataclass(frozen=True, slots=True)
class _OpenPort:
    port: serial.Serial
    control: OwnThread
    purging: OwnThread
    reader: SerialReader
    writer: SerialWriter

    def finish(self) -> None:
        """End the threads and close the port; blocks a few seconds, or as long as the driver."""
        self.reader.stop()
        self.writer.stop()
        cancel_blocking(self.port)
        ended = self.reader.join(_JOIN_S) and self.writer.join(_JOIN_S)
        close_port(self.port)
        if not ended and not (self.reader.join(_JOIN_S) and self.writer.join(_JOIN_S)):
            _log.warning("a thread is still waiting for the driver of %s", self.port.name)


def _close_unclaimed(opening: asyncio.Future[serial.Serial]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        begin(close_port, opening.result())


def _log_failure(done: asyncio.Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()):
        _log.warning("the port did not accept a change: %s", error)
