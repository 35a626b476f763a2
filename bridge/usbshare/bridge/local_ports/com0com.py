"""The virtual port on Windows: the paired end of a com0com port, which the user has installed.

com0com wires the ends as a null modem: the program's DTR and RTS are our DSR and CTS, and the
other way round. It tells us neither the program's settings nor, by itself, whether a program is
there; we go by DSR or CD (`setupc change <our end> cd=ropen` makes CD exact).
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from usbshare.base.errors import ConfigError, DeviceError, NotSupportedError
from usbshare.bridge.local_ports.com0com_pairs import INSTALLER_NAMED, paired_port
from usbshare.bridge.local_ports.virtual_port import VirtualPortListener
from usbshare.line.settings import Device, LineEvents, LineSettings, ModemLines
from usbshare.line.threaded.device import ThreadedDevice

_log = logging.getLogger(__name__)

_PARAMETERS = r"SYSTEM\CurrentControlSet\Services\com0com\Parameters"
_INSTALLED = r"SYSTEM\CurrentControlSet\Enum\com0com\port\{end}\Device Parameters"


def device_on(port_name: str, settings: LineSettings) -> Device:
    """Return the device that opens one end of a pair."""
    # DTR and RTS up: a program that waits for DSR or CTS must not wait for a device without lines.
    return ThreadedDevice(rf"\\.\{port_name}", settings, dtr=True, rts=True)


def port_names_in_registry() -> dict[str, str | None]:
    """Return how each end of each pair is called; empty where com0com is not installed."""
    registry = importlib.import_module("winreg")
    return {end: _port_name(registry, end) for end in _subkeys(registry, _PARAMETERS)}


class Com0comPort:
    """VirtualPort over a com0com pair; implements DeviceListener for the end that we hold."""

    def __init__(
        self,
        name: str,
        *,
        port_names: Callable[[], dict[str, str | None]] = port_names_in_registry,
        device: Callable[[str, LineSettings], Device] = device_on,
    ) -> None:
        self._name = name
        self._port_names = port_names
        self._make_device = device
        self._lines = ModemLines()
        self._shown: tuple[bool | None, bool | None] = (True, True)
        self._has_program = False
        self._is_void = False
        self._is_paused = False
        self._device: Device | None = None
        self._listener: VirtualPortListener

    @property
    def path(self) -> str:
        """What the program opens."""
        return self._name

    def far_end_is(self, host: str, port_id: str) -> None:
        """Do nothing: the pair has a name already."""

    async def start(self, listener: VirtualPortListener, settings: LineSettings) -> None:
        """Open our end of the pair; raises ConfigError when there is no pair or its end is held."""
        self._listener = listener
        device = self._make_device(self._own_end(), settings)
        try:
            await device.open(self)
        except DeviceError as error:
            raise ConfigError(f"cannot offer {self._name}: {error}") from error
        self._device = device
        self._take_lines(device.lines())

    def write(self, data: bytes) -> int:
        """Give the program as many bytes as fit now, return how many; less calls `port_writable`.

        While no program has the port open, everything is taken and discarded.
        """
        if self._device is None or not self._has_program:
            return len(data)
        try:
            return self._device.write(data)
        except DeviceError:  # `device_lost` follows
            return len(data)

    def limit_reading(self, most_bytes: int) -> None:
        """Stop calling `program_wrote` at 0; a read may bring more than the limit, up to 4 KiB."""
        was_paused, self._is_paused = self._is_paused, most_bytes == 0
        if self._device is None or was_paused == self._is_paused:
            return
        if self._is_paused:
            self._device.pause_reading()
        else:
            self._device.resume_reading()

    def apply_settings(self, settings: LineSettings) -> None:
        """Do nothing: each end of a pair has its own settings."""

    def show_lines(self, lines: ModemLines) -> None:
        """Show the device's DSR and CTS; the program's CD follows DSR as com0com wires it."""
        self._shown = (lines.dsr, lines.cts)
        if not self._is_void:
            self._set_lines(*self._shown)

    def show_events(self, events: LineEvents) -> None:
        """Do nothing: the pair carries no line events."""

    def hang_up(self) -> None:
        """Drop DTR and RTS, and take nothing from the program until it has closed the port.

        A program sees DSR, CTS and CD fall; com0com can neither close its port nor fail its
        writes, so what it writes is discarded. One that keeps DTR and RTS low is not seen to
        close: its writes are taken again at once.
        """
        if self._device is None:
            return
        had_program = self._has_program
        self._is_void = had_program and _shows_program(self._lines)
        self._has_program = False
        self._discard(self._device)
        if self._is_void:
            self._set_lines(dtr=False, rts=False)
        if had_program:
            self._listener.program_closed()

    async def close(self) -> None:
        """Give our end up; a program on the other end sees its lines drop."""
        device, self._device = self._device, None
        if device is not None:
            await device.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes from the program; that there are any shows that it is there."""
        if self._is_void:
            return
        self._note_program(is_there=True)
        self._listener.program_wrote(data)

    def writable(self) -> None:
        """Pass on that there is room."""
        self._listener.port_writable()

    def lines_changed(self, lines: ModemLines) -> None:
        """Take what the program did with its DTR and RTS."""
        before = self._lines
        self._take_lines(lines)
        dtr = lines.dsr if lines.dsr != before.dsr else None
        rts = lines.cts if lines.cts != before.cts else None
        if dtr is not None or rts is not None:
            self._listener.program_set_lines(dtr=dtr, rts=rts)

    def device_lost(self, reason: str) -> None:
        """Pass on that our end is gone."""
        self._device = None
        self._listener.port_lost(reason)

    def _own_end(self) -> str:
        own = paired_port(self._name, self._port_names())
        if own is None:
            raise ConfigError(
                f"com0com has no pair with a port {self._name}: install com0com, then "
                f"`setupc install PortName={self._name} -` in its Setup Command Prompt"
            )
        return own

    def _take_lines(self, lines: ModemLines) -> None:
        self._lines = lines
        is_there = lines.dsr is None or _shows_program(lines)
        if self._is_void and not is_there:
            self._is_void = False
            self._set_lines(*self._shown)
        if not self._is_void:
            self._note_program(is_there=is_there)

    def _set_lines(self, dtr: bool | None, rts: bool | None) -> None:
        if self._device is None:
            return
        try:
            self._device.set_lines(dtr=dtr, rts=rts)
        except (DeviceError, NotSupportedError) as error:
            _log.debug("lines not shown on %s: %s", self._name, error)

    def _discard(self, device: Device) -> None:
        with suppress(DeviceError):  # `device_lost` follows
            device.discard_output()
            device.discard_input()

    def _note_program(self, *, is_there: bool) -> None:
        if is_there == self._has_program:
            return
        self._has_program = is_there
        if is_there:
            self._listener.program_opened()
            return
        if self._device is not None:
            self._device.discard_output()
        self._listener.program_closed()


def _shows_program(lines: ModemLines) -> bool:
    return bool(lines.dsr or lines.cd)


def _port_name(registry: Any, end: str) -> str | None:
    name = _value(registry, rf"{_PARAMETERS}\{end}")
    return _value(registry, _INSTALLED.format(end=end)) if name == INSTALLER_NAMED else name


def _value(registry: Any, key_path: str) -> str | None:
    try:
        with registry.OpenKey(registry.HKEY_LOCAL_MACHINE, key_path) as key:
            return str(registry.QueryValueEx(key, "PortName")[0])
    except OSError:
        return None


def _subkeys(registry: Any, key_path: str) -> list[str]:
    try:
        with registry.OpenKey(registry.HKEY_LOCAL_MACHINE, key_path) as key:
            count = registry.QueryInfoKey(key)[0]
            return [str(registry.EnumKey(key, index)).upper() for index in range(count)]
    except OSError:
        return []
