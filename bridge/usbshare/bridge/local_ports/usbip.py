"""The virtual port over USB: a serial port that the system's own driver makes.

A program sees a real one: in every list of ports, with settings, DTR, RTS, breaks and the lines
back, and with no more than 2560 bytes between it and us. What it writes is looked at as it comes;
that it may write more it is told only when its bytes have left for the host.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable

from usbshare.bridge.local_ports.usb_line import (
    coding_of,
    events_of,
    names_of,
    settings_of,
    state_of,
)
from usbshare.bridge.local_ports.virtual_port import VirtualPortListener
from usbshare.client.serial.upstream import READ_AHEAD_BYTES
from usbshare.line.settings import LineEvents, LineSettings, ModemLines
from usbshare.usbip.acm.device import AcmDevice
from usbshare.usbip.acm.plug import Plug
from usbshare.usbip.cdc import BREAK_UNTIL_TOLD, ControlLines, LineCoding
from usbshare.usbip.messages import SubmitReply
from usbshare.usbip.parsers import RequestParser

_log = logging.getLogger(__name__)

# Linux waits 5 s for the answer to a request (USB_CTRL_SET_TIMEOUT).
BREAK_TIMEOUT_S = 4.0


class UsbPort(ABC):
    """VirtualPort over a USB device; a subclass plugs it in, and in again after each `_pull`.

    The driver tells of settings that change only, so those of a fresh port are put on it first.
    What a program takes back with TCOFLUSH is void here and at the far end; TCIFLUSH is not seen.
    """

    def __init__(self) -> None:
        self._names = names_of("usbshare", "port")
        self._settings = LineSettings()
        self._lines = ModemLines()
        self._room = READ_AHEAD_BYTES
        self._device: AcmDevice | None = None
        self._plug: Plug | None = None
        self._is_ready = False  # what happens before is our own doing, or the driver's
        self._has_program = False
        self._loop: asyncio.AbstractEventLoop
        self._listener: VirtualPortListener

    @property
    @abstractmethod
    def path(self) -> str:
        """What the program opens."""

    def far_end_is(self, host: str, port_id: str) -> None:
        """Have the port called after what is behind it; before `start`."""
        self._names = names_of(host, port_id)

    async def start(self, listener: VirtualPortListener, settings: LineSettings) -> None:
        """Plug the port in with these settings on it; raises UsbshareError with the remedy."""
        self._loop, self._listener = asyncio.get_running_loop(), listener
        self._settings = settings
        await self._begin()
        _log.info("virtual port ready: %s", self.path)

    def write(self, data: bytes) -> int:
        """Give the program as many bytes as it asks for, return how many; less: `port_writable`.

        While no program has the port open, everything is taken and discarded.
        """
        if self._device is None or not self._has_program:
            return len(data)
        return self._device.give(data)

    def limit_reading(self, most_bytes: int) -> None:
        """Pass at most so many bytes on at once; what is missing from 4 KiB has not left yet."""
        self._room = most_bytes
        if self._device is not None and self._is_ready:
            self._device.allow(most_bytes)

    def apply_settings(self, settings: LineSettings) -> None:
        """Show settings that took effect at the far end to a program that asks."""
        self._settings = settings
        if self._device is not None:
            self._device.coding = coding_of(settings)
        if self._is_ready and not self._has_program:
            self._settings_changed()

    def show_lines(self, lines: ModemLines) -> None:
        """Report the device's modem lines to the program."""
        self._lines = lines
        if self._device is not None:
            self._device.show(state_of(lines))

    def show_events(self, events: LineEvents) -> None:
        """Tell the program what befell the device's line."""
        if self._device is not None and self._has_program:
            self._device.happened(events_of(events))

    def hang_up(self) -> None:
        """Unplug the port and plug it in again: its program sees what a pulled cable shows.

        What that program wrote and was not read is void. Not from within a listener's method.
        """
        had_program = self._has_program
        if self._plug is None or not (had_program or self._is_ready):
            return  # a fresh one is just being plugged in
        self._pull()
        self._again()
        _log.info("virtual port hung up: %s", self.path)
        if had_program:
            self._listener.program_closed()

    async def close(self) -> None:
        """Unplug the port for good; a program that has it open sees what a pulled cable shows."""
        self._pull()
        await self._end()

    # What a subclass provides.

    @abstractmethod
    async def _begin(self) -> None:
        """Plug in for the first time; raises UsbshareError."""

    @abstractmethod
    def _again(self) -> None:
        """Begin to plug in again."""

    @abstractmethod
    async def _end(self) -> None:
        """Plug in no more."""

    def _settings_changed(self) -> None:  # noqa: B027  # not every system can put them on the port
        """Note that a port that no program has open should show other settings."""

    # What a subclass calls.

    def _new_plug(self, parser: RequestParser | None = None) -> Plug:
        """Make a device, whose connection is what is returned; `parser` has what came of it."""
        self._is_ready = False
        self._plug = Plug(self._new_device, self._lost, parser=parser)
        return self._plug

    def _ready(self) -> None:
        """Let programs in: from now on what happens is theirs."""
        device = self._device
        if device is None:
            return
        self._is_ready = True
        if device.is_open:
            self.acm_opened()
            self.acm_lines(device.lines)
            self.acm_coding(device.coding)
        device.allow(self._room)

    def _hold(self) -> None:
        """Keep programs waiting until `_ready`: what happens now is our own doing."""
        self._is_ready = False
        if self._device is not None:
            self._device.allow(0)

    def _pull(self) -> None:
        """Unplug the device; nothing is heard of it any more."""
        plug, self._plug, self._device = self._plug, None, None
        self._is_ready = self._has_program = False
        if plug is not None:
            plug.pull()

    # What the device says.

    def acm_opened(self) -> None:
        """Pass on that a program came."""
        if self._is_ready and not self._has_program:
            self._has_program = True
            _log.info("program opened %s", self.path)
            self._listener.program_opened()

    def acm_closed(self) -> None:
        """Pass on that the program left."""
        if self._has_program:
            self._has_program = False
            _log.info("program closed %s", self.path)
            self._listener.program_closed()

    def acm_coding(self, coding: LineCoding) -> None:
        """Pass settings on."""
        settings = settings_of(coding, self._settings)
        if self._has_program and settings != self._settings:
            self._settings = settings
            self._listener.program_configured(settings)

    def acm_lines(self, lines: ControlLines) -> None:
        """Pass DTR and RTS on."""
        if self._has_program:
            dtr, rts = ControlLines.DTR in lines, ControlLines.RTS in lines
            self._listener.program_set_lines(dtr=dtr, rts=rts)

    def acm_break(self, duration_ms: int, answered: Callable[[bool], None]) -> None:
        """Pass a break on; one with a duration is ended here."""
        if not self._has_program:
            answered(False)
            return
        late = self._loop.call_later(BREAK_TIMEOUT_S, answered, False)

        def done(is_done: bool) -> None:
            late.cancel()
            answered(is_done)

        def begun(is_done: bool) -> None:
            if is_done:
                self._loop.call_later(duration_ms / 1000, self._end_break)
            done(is_done)

        is_timed = duration_ms not in (0, BREAK_UNTIL_TOLD)
        self._listener.program_set_break(on=duration_ms != 0, answered=begun if is_timed else done)

    def acm_wrote(self, data: bytes) -> None:
        """Pass bytes on."""
        self._listener.program_wrote(data)

    def acm_flushed(self) -> None:
        """Pass on that the program took back what it wrote."""
        if self._has_program:
            self._listener.program_flushed(received=False, written=True)

    def acm_readable(self) -> None:
        """Pass on that there is room."""
        self._listener.port_writable()

    # What is left is this class's own.

    def _new_device(self, reply: Callable[[SubmitReply], None]) -> AcmDevice:
        device = AcmDevice(self._names, self, READ_AHEAD_BYTES, reply)
        device.allow(0)
        device.show(state_of(self._lines))
        self._device = device
        return device

    def _end_break(self) -> None:
        if self._has_program:
            self._listener.program_set_break(on=False, answered=lambda _: None)

    def _lost(self, reason: str) -> None:
        """Plug in again what the system, or a person, has unplugged."""
        _log.warning("%s was unplugged: %s", self.path, reason)
        self._pull()
        self._again()
