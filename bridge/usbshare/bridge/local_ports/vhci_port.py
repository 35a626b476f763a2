"""The virtual port over USB on Linux: plugged into the kernel's vhci_hcd."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import termios
import time
from dataclasses import replace
from pathlib import Path

from usbshare.base.errors import InvalidArgumentError, UsbshareError
from usbshare.base.threads import begin, in_thread
from usbshare.base.watched_task import cancel_all, in_background
from usbshare.bridge.local_ports.usbip import UsbPort
from usbshare.line.posix.termios_settings import raw, with_settings
from usbshare.line.posix.tty_control import system_tty
from usbshare.line.settings import LineSettings
from usbshare.usbip.acm.plug import Plug
from usbshare.usbip.messages import Speed
from usbshare.usbip.vhci.attach import Plugged, PlugPlaces, VhciError, plug_in

_log = logging.getLogger(__name__)

APPEAR_TIMEOUT_S = 20.0
APPEAR_LOOK_S = 0.03
# udev makes the stable names; where none runs there are none to wait for.
NAME_TIMEOUT_S = 3.0
AGAIN_S = 1.0
_PULLED = "it was unplugged while the system examined it"
_UDEV = Path("/run/udev/control")


class VhciPort(UsbPort):
    """VirtualPort over vhci_hcd; its path is the stable name that udev gives, if there is one."""

    def __init__(self, places: PlugPlaces | None = None, devices: Path = Path("/dev")) -> None:
        super().__init__()
        self._places = places or PlugPlaces.of_system()
        self._devices = devices
        self._path = "a USB serial port"
        self._tty = ""
        self._plugged: Plugged | None = None
        self._is_plugging = False
        self._coming: asyncio.Task[None] | None = None
        self._preparing: asyncio.Task[None] | None = None

    @property
    def path(self) -> str:
        """What the program opens."""
        return self._path

    async def _begin(self) -> None:
        await self._plug_in()

    def _again(self) -> None:
        if not self._is_plugging and (self._coming is None or self._coming.done()):
            self._coming = in_background(self._come_back(), "USB port comes back")

    async def _end(self) -> None:
        await cancel_all(self._coming, self._preparing)

    def _settings_changed(self) -> None:
        self._hold()
        if self._preparing is None or self._preparing.done():
            self._preparing = in_background(self._prepare(), "settings of the USB port")

    def _pull(self) -> None:
        super()._pull()
        plugged, self._plugged = self._plugged, None
        if plugged is not None:
            plugged.close_helper()

    async def _come_back(self) -> None:
        """Plug in until it works; a failure is told once."""
        before, is_told = self._path, False
        while True:
            try:
                await self._plug_in()
            except UsbshareError as error:
                self._pull()
                if not is_told:
                    is_told = True
                    self._listener.port_renamed(
                        f"the USB port was unplugged: {error}; still trying"
                    )
            else:
                break
            await asyncio.sleep(AGAIN_S)
        if is_told or self._path != before:
            self._listener.port_renamed(f"the USB port is back: open {self._path}")

    async def _plug_in(self) -> None:
        """Plug in and let programs in; raises UsbshareError, also if it is pulled meanwhile."""
        self._is_plugging = True
        try:
            plugged = await self._attached()
            plug = self._new_plug()
            self._plugged = plugged
            await self._serve(plugged, plug)
            self._tty = await self._appeared(plugged, plug)
            self._path = await in_thread(_stable_name, self._devices, self._tty)
            await self._prepare()
        finally:
            self._is_plugging = False
        if self._plug is not plug:
            raise VhciError(_PULLED)

    async def _serve(self, plugged: Plugged, plug: Plug) -> None:
        try:
            await self._loop.create_unix_connection(lambda: plug, sock=plugged.end)
        except OSError as error:
            plugged.end.close()
            raise VhciError(f"cannot serve the USB port: {error.strerror}") from error

    async def _attached(self) -> Plugged:
        attaching = begin(plug_in, Speed.FULL, self._places)
        try:
            return await asyncio.shield(attaching)
        except asyncio.CancelledError:
            attaching.add_done_callback(_unplug_unclaimed)
            raise

    async def _appeared(self, plugged: Plugged, plug: Plug) -> str:
        """Wait for the driver's port and return its path."""
        end = time.monotonic() + APPEAR_TIMEOUT_S
        while self._plug is plug and time.monotonic() < end:
            if found := await in_thread(plugged.ttys):
                return str(self._devices / found[0])
            await asyncio.sleep(APPEAR_LOOK_S)
        if self._plug is not plug:
            raise VhciError(_PULLED)
        raise VhciError(
            f"the system created no serial port for the USB device within {APPEAR_TIMEOUT_S:g} s: "
            "run `sudo modprobe cdc-acm`"
        )

    async def _prepare(self) -> None:
        """Put the settings in force on the port, then let programs in."""
        plug, done = self._plug, None
        while self._plug is plug and done != self._settings:
            done = self._settings
            try:
                await in_thread(_put_on, self._tty, done)
            except (OSError, InvalidArgumentError) as error:
                _log.warning(
                    "cannot set up %s (%s): until a program sets its line settings, it has the "
                    "driver's, not those of the remote port",
                    *(self._tty, error),
                )
        if self._plug is plug:
            self._ready()


def default_usb_port() -> VhciPort:
    """Return the port of this system, at the kernel's controller."""
    return VhciPort()


def _stable_name(devices: Path, tty: str) -> str:
    """Return the name that stays the same from one plugging in to the next, else the path."""
    end = time.monotonic() + (NAME_TIMEOUT_S if _UDEV.exists() else 0.0)
    while True:
        with contextlib.suppress(OSError):
            for link in sorted((devices / "serial/by-id").iterdir()):
                if os.path.realpath(link) == os.path.realpath(tty):
                    return str(link)
        if time.monotonic() >= end:
            return tty
        time.sleep(APPEAR_LOOK_S)


def _put_on(tty: str, settings: LineSettings) -> None:
    """Set a port's settings, and keep DTR when it is closed: dropping it resets controllers."""
    control = system_tty()
    descriptor = os.open(tty, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        prepared = with_settings(raw(control.read(descriptor)), settings, control.stick_parity)
        cflag = (prepared.cflag | termios.CLOCAL) & ~termios.HUPCL
        control.write(descriptor, replace(prepared, cflag=cflag))
    finally:
        os.close(descriptor)


def _unplug_unclaimed(attaching: asyncio.Future[Plugged]) -> None:
    if not attaching.cancelled() and attaching.exception() is None:
        plugged = attaching.result()
        plugged.end.close()
        plugged.close_helper()
