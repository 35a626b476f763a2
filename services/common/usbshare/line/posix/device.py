"""A serial device on Linux and macOS: bytes on the event loop, what may block in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import struct
import termios
from collections.abc import Awaitable, Callable
from typing import NoReturn

from usbshare.base.errors import DeviceError
from usbshare.base.threads import begin
from usbshare.base.timers import call_after
from usbshare.line.device_work import outcome_of
from usbshare.line.open_guard import NoGuard, OpenGuard
from usbshare.line.posix.control import PosixControl
from usbshare.line.posix.open_port import OpenLine, close_line, open_line
from usbshare.line.posix.tty_control import system_tty
from usbshare.line.read_pace import ReadPace
from usbshare.line.settings import (
    Completion,
    DeviceListener,
    FlowControl,
    LineSettings,
    ModemLines,
)
from usbshare.line.unsent import Unsent

_log = logging.getLogger(__name__)

_READ_BYTES = 4096
_DRAIN_POLL_S = 0.002
_CLOSED = -1


class PosixDevice:
    """Device over a POSIX path, or over a function that finds the path at each `open` in a thread.

    `dtr` and `rts` are set at open, None leaves them as the system has them. A hang-up while
    reading is paused is noticed at the next write or when reading resumes.
    """

    def __init__(
        self,
        path: str | Callable[[], str],
        settings: LineSettings,
        *,
        dtr: bool | None = None,
        rts: bool | None = None,
        guard: OpenGuard | None = None,
    ) -> None:
        self._guard = guard or NoGuard()
        self._locate = path if callable(path) else lambda: path
        self._settings = settings
        self._wanted_lines = (dtr, rts)
        self._tty = system_tty()
        self._control: PosixControl | None = None
        self._closing: asyncio.Future[None] | None = None
        self._descriptor = _CLOSED
        self._path = path if isinstance(path, str) else ""
        self._is_pty = False
        self._has_line_rate = True
        self._unsent = Unsent()
        self._low_latency: bool | None = None
        self._wants_to_read = self._is_reading = self._is_resting = False
        self._pace = ReadPace()
        self._changes = 0
        self._must_discard_input = False
        self._loop: asyncio.AbstractEventLoop
        self._listener: DeviceListener

    @property
    def settings(self) -> LineSettings:
        """The settings in force."""
        return self._settings

    @property
    def holds_back(self) -> bool:
        """Whether a pause in reading makes the other side wait, instead of losing its bytes."""
        return self._is_pty or self._settings.flow_control is not FlowControl.NONE

    @property
    def has_line_rate(self) -> bool:
        """Whether the baud rate bounds what leaves; False for CDC-ACM on Linux."""
        return self._has_line_rate

    @property
    def paces_itself(self) -> bool:
        """Return False: `write` takes whatever the driver has room for."""
        return False

    @property
    def low_latency(self) -> bool | None:
        """Whether the adapter hands bytes over at once; None if unknown."""
        return self._low_latency

    async def open(self, listener: DeviceListener) -> None:
        """Open the line in a thread, since drivers may take their time; raises DeviceError."""
        if self._descriptor != _CLOSED:
            raise DeviceError(f"{self._path} is already open")
        self._loop, self._listener = asyncio.get_running_loop(), listener
        line = await self._open_in_thread()
        self._control = PosixControl(line, self._tty, self._lines_changed, self._failed)
        self._descriptor, self._path = line.tty.descriptor, line.path
        self._settings, self._is_pty = line.settings, line.is_pty
        self._has_line_rate, self._unsent = line.has_line_rate, Unsent()
        self._low_latency = line.low_latency
        self._changes, self._must_discard_input = 0, False
        self.resume_reading()
        self._control.start()

    def write(self, data: bytes) -> int:
        """Hand over what fits now, return how many bytes; if not all, `writable` follows later."""
        if self._descriptor == _CLOSED:
            self._require_open()
        if self._changes:  # the kernel would hold the loop until the settings have changed
            return 0
        try:
            taken = os.write(self._descriptor, data)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            self._fail(error)
        if not self._is_pty:  # nothing of what it was given is ever unsent
            self._unsent.wrote(taken)
        if taken < len(data):
            self._loop.add_writer(self._descriptor, self._on_writable)
        return taken

    def unsent_bytes(self) -> int:
        """Bytes handed over that have not left, as far as the driver is right; 0 on a pty."""
        if self._is_pty and self._descriptor != _CLOSED:
            return 0
        self._require_open()
        try:
            answer = fcntl.ioctl(self._descriptor, termios.TIOCOUTQ, bytes(4))
        except OSError as error:
            self._fail(error)
        return self._unsent.believed(struct.unpack("i", answer)[0])

    def pause_reading(self) -> None:
        """Stop calling `data_received`; the driver's buffer fills, then its flow control acts."""
        self._wants_to_read = False
        self._read_if_wanted()

    def resume_reading(self) -> None:
        """Call `data_received` again."""
        self._wants_to_read = True
        self._read_if_wanted()

    def discard_output(self) -> None:
        """Discard bytes that were handed over and have not left."""
        self._flush(termios.TCOFLUSH)

    def discard_input(self) -> None:
        """Discard bytes that were received and not delivered."""
        self._require_open()
        self._must_discard_input = self._changes > 0  # the kernel would hold the loop until then
        if not self._must_discard_input:
            self._flush(termios.TCIFLUSH)

    async def configure(self, settings: LineSettings) -> LineSettings:
        """Change all settings in one step, return what took effect; raises InvalidArgumentError.

        Meanwhile nothing is read, and `write` takes nothing: the kernel lets neither pass.
        """
        control = self._require_open()
        self._changes += 1
        self._read_if_wanted()
        change = control.configure(settings)
        change.add_done_callback(lambda _: self._change_ended(control))
        try:
            self._settings = await asyncio.shield(change)
        except OSError as error:
            self._require_open()
            self._fail(error)
        except asyncio.CancelledError:
            if self._control is control or not change.cancelled():
                raise
            raise DeviceError(f"{self._path} was closed") from None
        return self._settings

    async def drain(self, timeout_s: float) -> Completion:
        """Wait until the driver says that all has left; ASSUMED_SUCCESS on a pty."""
        self._require_open()
        if self._is_pty:
            return Completion.ASSUMED_SUCCESS
        deadline = self._loop.time() + timeout_s
        while self.unsent_bytes():
            if self._loop.time() >= deadline:
                return Completion.TIMEOUT
            await asyncio.sleep(_DRAIN_POLL_S)
        return Completion.OK

    def lines(self) -> ModemLines:
        """Return the modem lines as last read, at most some 50 ms ago; None where unknown."""
        return self._require_open().lines

    def watch_lines(self, *, on: bool) -> None:
        """Poll the input lines to report changes (so at open), or rest."""
        if self._control is not None:
            self._control.watch(on=on)

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> Awaitable[None]:
        """Set output lines, both in one step; None leaves one alone."""
        return self._begun(self._require_open().set_lines(dtr, rts))

    def set_break(self, *, on: bool) -> Awaitable[None]:
        """Start or end a break condition; a pty has none."""
        return self._begun(self._require_open().set_break(on=on))

    async def close(self) -> None:
        """Close the line; DTR and RTS stay as they are (no HUPCL). A stuck driver takes 30 s."""
        self._release()
        if self._closing is not None:
            await asyncio.shield(self._closing)

    async def _open_in_thread(self) -> OpenLine:
        opening = begin(self._open_line)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unclaimed)
            raise

    def _open_line(self) -> OpenLine:
        dtr, rts = self._wanted_lines
        return open_line(
            *(self._locate(), self._settings, self._tty), dtr=dtr, rts=rts, guard=self._guard
        )

    def _on_readable(self) -> None:
        try:
            data = os.read(self._descriptor, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error.strerror)
            return
        if data:
            self._listener.data_received(data)
            if rest_s := self._pace.rest_s(data, self._loop.time()):
                self._rest(rest_s)
        else:
            self._lose("it hung up")

    def _rest(self, rest_s: float) -> None:
        self._is_resting = True
        self._read_if_wanted()
        call_after(rest_s, self._rested)

    def _rested(self) -> None:
        self._is_resting = False
        self._read_if_wanted()

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._descriptor)
        self._listener.writable()

    def _read_if_wanted(self) -> None:
        may_read = not self._changes and not self._is_resting and self._descriptor != _CLOSED
        wanted = self._wants_to_read and may_read
        if wanted and not self._is_reading:
            self._loop.add_reader(self._descriptor, self._on_readable)
        elif self._is_reading and not wanted:
            self._loop.remove_reader(self._descriptor)
        self._is_reading = wanted

    def _change_ended(self, control: PosixControl) -> None:
        if self._control is not control:
            return
        self._changes -= 1
        if self._changes:
            return
        if self._must_discard_input:
            with contextlib.suppress(DeviceError):  # reported to the listener
                self.discard_input()
        self._read_if_wanted()
        self._listener.writable()

    def _begun(self, work: asyncio.Future[None]) -> asyncio.Future[None]:
        """Watch work that its caller need not await; a device that fails at it is lost."""
        control = self._control

        def ended(work: asyncio.Future[None]) -> None:
            error = None if work.cancelled() else work.exception()
            if isinstance(error, OSError) and self._control is control:
                self._lose(error.strerror)

        work.add_done_callback(ended)
        return outcome_of(work, self._path)

    def _lines_changed(self, lines: ModemLines) -> None:
        self._listener.lines_changed(lines)

    def _failed(self, error: OSError) -> None:
        self._lose(error.strerror)

    def _flush(self, queue: int) -> None:
        self._require_open()
        try:
            termios.tcflush(self._descriptor, queue)
        except termios.error as error:
            self._fail(OSError(*error.args))

    def _require_open(self) -> PosixControl:
        if self._control is None:
            raise DeviceError(f"{self._path} is not open")
        return self._control

    def _fail(self, error: OSError) -> NoReturn:
        """Close, raise to the caller, and notify the listener afterwards."""
        self._release()
        reason = self._reason(error.strerror)
        self._loop.call_soon(self._listener.device_lost, reason)
        raise DeviceError(reason) from error

    def _lose(self, why: str | None) -> None:
        self._release()
        self._listener.device_lost(self._reason(why))

    def _reason(self, why: str | None) -> str:
        _log.info("device lost: %s: %s", self._path, why)
        return f"{self._path} is gone: {why}"

    def _release(self) -> None:
        """Have the line closed; the descriptor is its control thread's from now on."""
        control, self._control = self._control, None
        if control is None:
            return
        self.pause_reading()
        self._loop.remove_writer(self._descriptor)
        self._descriptor = _CLOSED
        self._closing = control.close()


def _close_unclaimed(opening: asyncio.Future[OpenLine]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        line = opening.result()
        begin(close_line, line.tty.descriptor, is_pty=line.is_pty)
