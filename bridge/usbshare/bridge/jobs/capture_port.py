"""Captures what a program writes to a virtual port, until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from usbshare.analysis.capture import Capture, Ending
from usbshare.base.errors import DeviceError, UsbshareError
from usbshare.base.event_loop import on_stop_signals
from usbshare.base.waits import set_within
from usbshare.bridge.local_ports.virtual_port import VirtualPort
from usbshare.line.settings import LineSettings

# How long a program that said M2 may take to read its last answers, if it does not close the port.
LINGER_S = 5.0
# A controller's boot loader takes longer; a program that throws away what came when it opened the
# port has done so by then.
BOOT_S = 0.3
_READ_BYTES = 4096


async def capture_from(port: VirtualPort, capture: Capture, ready: Callable[[str], None]) -> Ending:
    """Offer a port until a program has sent a job; `ready` is told where it is.

    It ends with M2 or M30, when the program closes the port after it has sent something, or at
    SIGINT or SIGTERM. Raises ConfigError where the port cannot be made, UsbshareError.
    """
    listener = _Listener(port, capture)
    on_stop_signals(listener.interrupt)
    try:
        await port.start(listener, LineSettings())
        ready(port.path)
        return await listener.ended()
    finally:
        await port.close()


class _Listener:
    """Passes bytes to the capture and its answers back."""

    def __init__(self, port: VirtualPort, capture: Capture) -> None:
        self._port = port
        self._capture = capture
        self._unsent = bytearray()
        self._banner = b""
        self._booting: asyncio.TimerHandle | None = None
        self._has_written = False
        self._is_over = asyncio.Event()
        self._has_left = asyncio.Event()
        self._is_open = False
        self._was_interrupted = False
        self._failure: UsbshareError | None = None

    async def ended(self) -> Ending:
        """Wait for the end and return what it was."""
        await self._is_over.wait()
        if self._failure is not None:
            raise self._failure
        if self._was_interrupted:
            return Ending.INTERRUPTED
        if not self._capture.has_ended:
            return Ending.CLOSED
        # A program may keep the port open; what it was to read it has read.
        await set_within(self._has_left, LINGER_S)
        return Ending.PROGRAM_END

    def interrupt(self) -> None:
        """End now: a person wants it."""
        self._was_interrupted = not self._capture.has_ended
        self._is_over.set()
        self._has_left.set()

    def program_wrote(self, data: bytes) -> None:
        """Answer as the controller would."""
        if not self._is_open:  # its bytes may be seen before the program itself is
            self.program_opened()
        self._has_written = True
        self._boot()
        try:
            self._unsent += self._capture.feed(data)
        except UsbshareError as error:
            self._fail(error)
            return
        self._send()
        if self._capture.has_ended:
            self._is_over.set()

    def program_opened(self) -> None:
        """Say soon what a controller says when its port is opened."""
        was_open, self._is_open = self._is_open, True
        self._has_left.clear()
        if not (was_open or self._is_over.is_set()):
            self._unsent.clear()
            self._has_written = False
            self._banner = self._capture.connect()
            self._boot_soon()

    def program_closed(self) -> None:
        """End if the program has sent anything."""
        self._is_open = False
        self._banner = b""
        self._unsent.clear()
        self._has_left.set()
        if self._capture.lines:
            self._is_over.set()

    def program_configured(self, settings: LineSettings) -> None:
        """Do nothing: there is no line."""

    def program_set_lines(self, *, dtr: bool | None, rts: bool | None) -> None:
        """Do nothing: there is no line."""

    def program_set_break(self, *, on: bool, answered: Callable[[bool], None]) -> None:
        """Answer that there is no line."""
        answered(False)

    def program_flushed(self, *, received: bool, written: bool) -> None:
        """Throw away what the program does not want."""
        if received:
            self._unsent.clear()
            self._send()
        if received and self._is_open and not self._has_written:
            self._boot_soon()

    def port_writable(self) -> None:
        """Send on."""
        self._send()

    def port_renamed(self, said: str) -> None:
        """Do nothing: the path is the same or is gone, which `port_lost` tells."""

    def port_lost(self, reason: str) -> None:
        """End: no program can come any more."""
        self._fail(DeviceError(f"the port is lost: {reason}"))

    def _boot_soon(self) -> None:
        if self._booting is not None:
            self._booting.cancel()
        self._booting = asyncio.get_running_loop().call_later(BOOT_S, self._boot)

    def _boot(self) -> None:
        """Send the banner, unless it was sent; it is kept for a program that throws it away."""
        if self._booting is not None:
            self._booting.cancel()
            self._booting = None
            self._unsent += self._banner
            self._send()

    def _send(self) -> None:
        """Give the program its answers; one that does not read them may not write on."""
        taken = self._port.write(bytes(self._unsent)) if self._unsent else 0
        del self._unsent[:taken]
        self._port.limit_reading(0 if self._unsent else _READ_BYTES)

    def _fail(self, error: UsbshareError) -> None:
        self._failure = error
        self._is_over.set()
