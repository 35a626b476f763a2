"""A serial device on Linux and macOS: its descriptor on the event loop, no thread, no queue."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import struct
import termios
from collections.abc import Callable
from typing import NoReturn

from usbshare.common.errors import DeviceError, NotSupportedError
from usbshare.common.line import (
    Completion,
    DeviceListener,
    FlowControl,
    LineSettings,
    ModemLines,
)
from usbshare.common.modem_inputs import POLL_S, are_known, inputs_of
from usbshare.common.posix_modem import WITHOUT_LINES, read_modem_lines, set_modem_lines
from usbshare.common.posix_open import OpenLine, open_line
from usbshare.common.tty_control import Tty, TtyControl, system_tty
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
    ) -> None:
        self._locate = path if callable(path) else lambda: path
        self._settings = settings
        self._wanted_lines = (dtr, rts)
        self._control = system_tty()
        self._descriptor = _CLOSED
        self._path = path if isinstance(path, str) else ""
        self._is_pty = False
        self._has_line_rate = True
        self._unsent = Unsent()
        self._low_latency: bool | None = None
        self._is_reading = False
        self._lines = ModemLines()
        self._poll: asyncio.TimerHandle | None = None
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
    def low_latency(self) -> bool | None:
        """Whether the adapter hands bytes over at once; None where nobody can tell."""
        return self._low_latency

    async def open(self, listener: DeviceListener) -> None:
        """Open the line in a thread, since drivers may take their time; raises DeviceError."""
        if self._descriptor != _CLOSED:
            raise DeviceError(f"{self._path} is open already")
        self._loop, self._listener = asyncio.get_running_loop(), listener
        line = await self._open_in_thread()
        self._descriptor, self._path = line.tty.descriptor, line.path
        self._settings, self._is_pty = line.settings, line.is_pty
        self._has_line_rate, self._unsent = line.has_line_rate, Unsent()
        self._low_latency = line.low_latency
        self.resume_reading()
        self._start_polling()

    def write(self, data: bytes) -> int:
        """Hand over as many bytes as fit now and return how many; less calls `writable` later."""
        if self._descriptor == _CLOSED:
            self._require_open()
        try:
            taken = os.write(self._descriptor, data)
        except BlockingIOError:
            taken = 0
        except OSError as error:
            self._fail(error)
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
        if self._is_reading:
            self._loop.remove_reader(self._descriptor)
        self._is_reading = False

    def resume_reading(self) -> None:
        """Call `data_received` again."""
        if self._descriptor != _CLOSED and not self._is_reading:
            self._loop.add_reader(self._descriptor, self._on_readable)
            self._is_reading = True

    def discard_output(self) -> None:
        """Throw away what was handed over and has not left."""
        self._flush(termios.TCOFLUSH)

    def discard_input(self) -> None:
        """Throw away what was received and not delivered."""
        self._flush(termios.TCIFLUSH)

    async def configure(self, settings: LineSettings) -> LineSettings:
        """Change all settings in one step, return what took effect; raises InvalidArgumentError."""
        self._require_open()
        # USB adapters take milliseconds; a duplicate stays valid if we are closed meanwhile.
        duplicate = os.dup(self._descriptor)
        try:
            self._settings = await asyncio.to_thread(_configure, duplicate, self._control, settings)
        except OSError as error:
            self._require_open()
            self._fail(error)
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
        """Read the modem lines; all None where the device has none."""
        self._require_open()
        try:
            return read_modem_lines(self._descriptor)
        except OSError as error:
            self._fail(error)

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Set output lines, both in one step; None leaves one alone."""
        self._require_open()
        try:
            set_modem_lines(self._descriptor, dtr=dtr, rts=rts)
        except OSError as error:
            self._fail(error)

    def set_break(self, *, on: bool) -> None:
        """Start or end a break condition; a pty takes it and does nothing."""
        self._require_open()
        request = self._control.start_break if on else self._control.end_break
        try:
            fcntl.ioctl(self._descriptor, request)
        except OSError as error:
            if error.errno not in WITHOUT_LINES:
                self._fail(error)
            raise NotSupportedError(f"{self._path} has no break") from error

    async def close(self) -> None:
        """Close the line; DTR and RTS stay as they are (no HUPCL)."""
        if self._descriptor != _CLOSED:
            # The kernel waits up to 30 s at close for what an XOFFed device has not taken.
            await asyncio.shield(asyncio.to_thread(os.close, self._release()))

    async def _open_in_thread(self) -> OpenLine:
        opening = self._loop.run_in_executor(None, self._open_line)
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_unclaimed)
            raise

    def _open_line(self) -> OpenLine:
        dtr, rts = self._wanted_lines
        return open_line(self._locate(), self._settings, self._control, dtr=dtr, rts=rts)

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
        else:
            self._lose("it hung up")

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._descriptor)
        self._listener.writable()

    def _start_polling(self) -> None:
        self._lines = self.lines()
        if are_known(self._lines):
            self._poll = self._loop.call_later(POLL_S, self._poll_lines)

    def _poll_lines(self) -> None:
        try:
            lines = read_modem_lines(self._descriptor)
        except OSError as error:
            self._lose(error.strerror)
            return
        self._poll = self._loop.call_later(POLL_S, self._poll_lines)
        before, self._lines = self._lines, lines
        if inputs_of(lines) != inputs_of(before):
            self._listener.lines_changed(lines)

    def _flush(self, queue: int) -> None:
        self._require_open()
        try:
            termios.tcflush(self._descriptor, queue)
        except termios.error as error:
            self._fail(OSError(*error.args))

    def _require_open(self) -> None:
        if self._descriptor == _CLOSED:
            raise DeviceError(f"{self._path} is not open")

    def _fail(self, error: OSError) -> NoReturn:
        """Close now, raise to the caller, and tell the listener afterwards."""
        os.close(self._release())
        reason = self._reason(error.strerror)
        self._loop.call_soon(self._listener.device_lost, reason)
        raise DeviceError(reason) from error

    def _lose(self, why: str | None) -> None:
        os.close(self._release())
        self._listener.device_lost(self._reason(why))

    def _reason(self, why: str | None) -> str:
        _log.info("device lost: %s: %s", self._path, why)
        return f"{self._path} is gone: {why}"

    def _release(self) -> int:
        """Stop watching the descriptor and give it up to whoever closes it."""
        self.pause_reading()
        self._loop.remove_writer(self._descriptor)
        if self._poll is not None:
            self._poll.cancel()
            self._poll = None
        descriptor, self._descriptor = self._descriptor, _CLOSED
        return descriptor


def _configure(descriptor: int, control: TtyControl, settings: LineSettings) -> LineSettings:
    try:
        return Tty(descriptor, control).configure(settings)
    finally:
        os.close(descriptor)


def _close_unclaimed(opening: asyncio.Future[OpenLine]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result().tty.descriptor)
