"""What may block on an open serial line, in a separate thread: settings, modem lines, the end.

On a USB adapter these are control transfers, for which a sick one makes the kernel wait 5 s each
(USB_CTRL_GET_TIMEOUT; ftdi_sio, cp210x and cdc_acm ask the device for them).
"""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Callable

from usbshare.base.errors import DeviceError, NotSupportedError
from usbshare.base.threads import OwnThread
from usbshare.line.modem_inputs import POLL_S, are_known, inputs_of
from usbshare.line.posix.modem import (
    WITHOUT_LINES,
    is_gone,
    read_modem_lines,
    set_modem_lines,
)
from usbshare.line.posix.open_port import OpenLine, close_line
from usbshare.line.posix.tty_control import Tty, TtyControl
from usbshare.line.settings import LineSettings, ModemLines


class PosixControl:
    """Controls one open line; used from its event loop. What is asked for is done in order.

    `on_lines` and `on_error` are called on the loop; the latter when the device itself fails.
    """

    def __init__(
        self,
        line: OpenLine,
        control: TtyControl,
        on_lines: Callable[[ModemLines], None],
        on_error: Callable[[OSError], None],
    ) -> None:
        self.descriptor = line.tty.descriptor
        self.lines = line.lines
        self._line = line
        self._control = control
        self._on_lines = on_lines
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._thread = OwnThread(f"usbshare control of {line.path}", self._look, POLL_S)
        self._is_told = self._is_closed = False
        self._watches = True

    def start(self) -> None:
        """Watch the modem lines, where there are any."""
        if are_known(self.lines):
            self._thread.start()

    def watch(self, *, on: bool) -> None:
        """Go on watching the modem lines, with a look at once, or rest."""
        if on != self._watches:
            self._watches = on
            self._thread.idle_every(POLL_S if on else None)

    def configure(self, settings: LineSettings) -> asyncio.Future[LineSettings]:
        """Change all settings in one step; the result is what took effect."""
        return self._thread.submit(Tty(self.descriptor, self._control).configure, settings)

    def set_lines(self, dtr: bool | None, rts: bool | None) -> asyncio.Future[None]:
        """Set output lines, both in one step; raises NotSupportedError where there are none."""
        if self.lines == ModemLines():
            raise NotSupportedError("the device has no DTR and RTS lines")
        return self._thread.submit(self._set_lines, dtr, rts)

    def set_break(self, *, on: bool) -> asyncio.Future[None]:
        """Start or end a break condition; raises NotSupportedError on a pty, which ignores it."""
        if self._line.is_pty:
            raise NotSupportedError(f"{self._line.path} is a pty, which does not carry a break")
        return self._thread.submit(self._set_break, on)

    def close(self) -> asyncio.Future[None]:
        """Close the line after what has begun; the descriptor is not to be used any more."""
        self._is_closed = True
        return self._thread.finish(lambda: close_line(self.descriptor, is_pty=self._line.is_pty))

    # In the thread.

    def _set_lines(self, dtr: bool | None, rts: bool | None) -> None:
        try:
            set_modem_lines(self.descriptor, dtr=dtr, rts=rts)
        except OSError as error:
            raise self._refusal("DTR and RTS", error) from error
        self._look()

    def _set_break(self, on: bool) -> None:
        request = self._control.start_break if on else self._control.end_break
        try:
            fcntl.ioctl(self.descriptor, request)
        except OSError as error:
            raise self._refusal("a break", error) from error

    def _refusal(self, what: str, error: OSError) -> Exception:
        """Return what an error means: only one of a line that is gone is the line's end.

        A USB device may refuse any of these requests (cdc-acm.c passes EPIPE on for a break that
        it stalls; usb_translate_errors makes EIO of most), and its bytes go on.
        """
        if is_gone(self.descriptor, error):
            return error
        if error.errno in WITHOUT_LINES:
            return NotSupportedError(f"{self._line.path} does not support {what}")
        why = error.strerror or error
        return DeviceError(f"{self._line.path} did not accept {what}: {why}")

    def _look(self) -> None:
        if self._is_told:
            return
        try:
            self._read()
        except OSError as error:
            if is_gone(self.descriptor, error):
                self._is_told = True
                self._post(self._on_error, error)

    def _read(self) -> None:
        before, self.lines = self.lines, read_modem_lines(self.descriptor)
        if inputs_of(self.lines) != inputs_of(before):
            self._post(self._on_lines, self.lines)

    def _post(self, tell: Callable[..., None], news: object) -> None:
        def told() -> None:
            if not self._is_closed:
                tell(news)

        self._loop.call_soon_threadsafe(told)
