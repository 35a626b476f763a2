"""A serial device behind somebody's USB/IP server: the Device of `usbip://` sources."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable
from typing import NoReturn

from usbshare.base.errors import (
    DeviceError,
    InvalidArgumentError,
    NotSupportedError,
    UsbshareError,
)
from usbshare.line.settings import (
    Completion,
    DeviceListener,
    FlowControl,
    LineSettings,
    ModemLines,
    Parity,
)
from usbshare.line.usbip.acm_port import AcmPort
from usbshare.line.usbip.attaching import AdmitAny, AttachedPort, Attacher, DeviceAdmission, choose
from usbshare.line.usbip.port_events import PortEvents
from usbshare.line.usbip.seen import SeenDevices
from usbshare.line.usbip.source import UsbipSource
from usbshare.usbip.cdc import (
    AcmCapability,
    ControlLines,
    LineCoding,
    send_break,
    set_control_lines,
    set_line_coding,
)
from usbshare.usbip.errors import UsbipError
from usbshare.usbip.messages import SetupPacket

_log = logging.getLogger(__name__)

_STOP_BITS = {1.0: 0, 1.5: 1, 2.0: 2}
_PARITIES = {Parity.NONE: 0, Parity.ODD: 1, Parity.EVEN: 2, Parity.MARK: 3, Parity.SPACE: 4}


class UsbipDevice:
    """Device over a CDC-ACM port of a USB/IP server, without a driver.

    It takes bytes at its own rate: what it has not taken is known exactly. `dtr` and `rts` are set
    at open, None raises them, as every system does, since many devices say nothing otherwise. What
    is in `seen` is not attached only to be looked at.
    """

    def __init__(
        self,
        source: UsbipSource,
        settings: LineSettings,
        *,
        dtr: bool | None = None,
        rts: bool | None = None,
        admission: DeviceAdmission | None = None,
        seen: SeenDevices | None = None,
    ) -> None:
        self._source = source
        self._settings = settings
        self._first_lines = ModemLines(dtr=dtr is not False, rts=rts is not False)
        seen = seen or SeenDevices(time.monotonic)
        self._attacher = Attacher(source, seen, admission or AdmitAny())
        self._attached: AttachedPort | None = None
        self._port: AcmPort | None = None
        self._closing: asyncio.Task[None] | None = None
        self._events: PortEvents | None = None
        self._loop: asyncio.AbstractEventLoop
        self._listener: DeviceListener

    @property
    def settings(self) -> LineSettings:
        """The settings in force; those that were asked for of a device that takes none."""
        return self._settings

    @property
    def holds_back(self) -> bool:
        """Return True: a device that nobody reads keeps its bytes."""
        return True

    @property
    def has_line_rate(self) -> bool:
        """Return False: the device takes bytes as fast as it can and makes us wait."""
        return False

    @property
    def paces_itself(self) -> bool:
        """Return True: see `SendWindow`."""
        return True

    @property
    def low_latency(self) -> bool | None:
        """Return True: every transfer is handed over when it ends."""
        return True

    async def open(self, listener: DeviceListener) -> None:
        """Attach the device and set its line; raises DeviceError."""
        if self._port is not None:
            raise DeviceError(f"{self._source} is already open")
        self._loop, self._listener = asyncio.get_running_loop(), listener
        _check_flow_control(self._settings, DeviceError)
        attached = await self._attacher.attach()
        try:
            await choose(attached)
            await self._start(attached)
        except UsbipError as error:
            await self._give_up(attached)
            raise DeviceError(f"{self._source}: {error}") from error
        except BaseException:
            await self._give_up(attached)
            raise

    def write(self, data: bytes) -> int:
        """Hand over what fits now, return how many bytes; if not all, `writable` follows later."""
        port = self._require_open()
        try:
            return port.write(data)
        except UsbipError as error:
            self._fail(error)

    def unsent_bytes(self) -> int:
        """Bytes handed over that the device has not taken, exactly."""
        return self._require_open().unsent_bytes

    def pause_reading(self) -> None:
        """Stop calling `data_received`; the device has to wait when 4 transfers are full."""
        if self._port is not None:
            self._port.pause()

    def resume_reading(self) -> None:
        """Call `data_received` again."""
        if self._port is not None:
            self._port.resume()

    def discard_output(self) -> None:
        """Take back what the device has not taken."""
        port = self._require_open()
        try:
            port.discard_output()
        except UsbipError as error:
            self._fail(error)

    def discard_input(self) -> None:
        """Discard bytes that were received and not delivered."""
        self._require_open().discard_input()

    async def configure(self, settings: LineSettings) -> LineSettings:
        """Change all settings in one step, return what took effect.

        Raises InvalidArgumentError for flow control, which CDC-ACM has not, and NotSupportedError
        where the device takes no settings.
        """
        _check_flow_control(settings, InvalidArgumentError)
        port = self._require_open()
        try:
            await self._set_coding(port, settings)
        except UsbipError as error:
            self._fail(error)
        self._settings = settings
        return settings

    async def drain(self, timeout_s: float) -> Completion:
        """Wait until the device has taken all that was handed over."""
        deadline = self._loop.time() + timeout_s
        while self.unsent_bytes():
            try:
                async with asyncio.timeout_at(deadline):
                    await self._opened().progress()
            except TimeoutError:
                return Completion.TIMEOUT
        return Completion.OK

    def lines(self) -> ModemLines:
        """Return the modem lines; None for what the device has not reported, CTS always."""
        return self._opened().lines

    def watch_lines(self, *, on: bool) -> None:
        """Do nothing: the device reports its lines by itself."""

    def set_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> Awaitable[None]:
        """Set output lines, both in one step; None leaves one alone."""
        events = self._opened()
        dtr = events.lines.dtr if dtr is None else dtr
        rts = events.lines.rts if rts is None else rts
        done = self._request(set_control_lines(self._interface, _control_lines(dtr, rts)))
        events.set_outputs(dtr=dtr, rts=rts)
        return done

    def set_break(self, *, on: bool) -> Awaitable[None]:
        """Start or end a break condition; raises NotSupportedError where the device has none."""
        self._require_open()
        if self._attached and AcmCapability.SEND_BREAK not in self._attached.function.capabilities:
            raise NotSupportedError(
                f"{self._source} cannot send a break: the device does not support it"
            )
        return self._request(send_break(self._interface, on=on))

    async def close(self) -> None:
        """Detach the device; its server may reset it then."""
        self._release()
        if self._closing is not None:
            await asyncio.shield(self._closing)

    @property
    def _interface(self) -> int:
        if self._attached is None:
            raise DeviceError(f"{self._source} is not open")
        return self._attached.function.control_interface

    async def _start(self, attached: AttachedPort) -> None:
        events = PortEvents(str(self._source), self._listener, self._first_lines, self._lost)
        self._attached, self._events, self._port = attached, events, AcmPort(attached, events)
        self._port.start()
        with contextlib.suppress(NotSupportedError):  # a device without a line has no settings
            await self._set_coding(self._port, self._settings)
        with contextlib.suppress(NotSupportedError):
            await self.set_lines()
        _log.info("%s attached: %s", self._source, attached.physical)

    async def _give_up(self, attached: AttachedPort) -> None:
        self._release()
        await attached.device.close()

    async def _set_coding(self, port: AcmPort, settings: LineSettings) -> None:
        coding = LineCoding(
            *(settings.baud, _STOP_BITS[settings.stop_bits], _PARITIES[settings.parity]),
            settings.data_bits,
        )
        await port.request(set_line_coding(self._interface), coding.encode())

    def _request(self, setup: SetupPacket) -> Awaitable[None]:
        port = self._require_open()
        try:
            return port.request(setup)
        except UsbipError as error:
            self._fail(error)

    def _lost(self, reason: str) -> None:
        self._release()
        _log.info("device lost: %s: %s", self._source, reason)
        self._listener.device_lost(f"{self._source} is gone: {reason}")

    def _require_open(self) -> AcmPort:
        if self._port is None:
            raise DeviceError(f"{self._source} is not open")
        return self._port

    def _opened(self) -> PortEvents:
        if self._port is None or self._events is None:
            raise DeviceError(f"{self._source} is not open")
        return self._events

    def _fail(self, error: UsbipError) -> NoReturn:
        """Close, raise to the caller, and notify the listener afterwards."""
        reason = f"{self._source} is gone: {error}"
        if self._port is not None:
            self._release()
            self._loop.call_soon(self._listener.device_lost, reason)
        raise DeviceError(reason) from error

    def _release(self) -> None:
        port, self._port = self._port, None
        attached, self._attached = self._attached, None
        if port is None or attached is None:
            return
        port.end()
        if self._events is not None:
            self._events.progressed()
        name = f"detach {self._source}"
        self._closing = asyncio.create_task(attached.device.close(), name=name)


def _control_lines(dtr: bool | None, rts: bool | None) -> ControlLines:
    on = (ControlLines.DTR if dtr else 0) | (ControlLines.RTS if rts else 0)
    return ControlLines(on)


def _check_flow_control(settings: LineSettings, kind: type[UsbshareError]) -> None:
    if settings.flow_control is not FlowControl.NONE:
        raise kind(
            f"flow_control {settings.flow_control.value}: CDC-ACM does not support it; set it "
            "to none: the device itself makes the host wait"
        )
