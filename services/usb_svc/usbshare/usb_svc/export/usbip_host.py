"""The kernel's usbip-host: passes a device to the other end of a socket.

Source: drivers/usb/usbip/stub_main.c and stub_dev.c of Linux; tools/usb/usbip/src does the same.
usbip-host keeps a pointer to the device that it had last, freed or not, and `rebind` follows it:
it must be written only for a device that usbip-host has just been unbound from. What ends a
connection is queued (usbip_event.c): a device that is unbound while two such events wait is freed
before the second one is handled. So the end of its socket is the only one here, and is waited for.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from usbshare.base.errors import DeviceError
from usbshare.usb_svc.devices.judgement import HOST, unbind_remedy
from usbshare.usb_svc.devices.sysfs import SYS, driver_of, folder_of

_DRIVERS = "bus/usb/drivers"
_PROBE = "bus/usb/drivers_probe"
_AVAILABLE, _USED, _CLOSE = "1", "2", "-1"
READY_S = 5.0
_LOOK_S = 0.02
REMEDY = "run `sudo modprobe usbip-host`"


def control_files(sys: Path) -> list[Path]:
    """Return the kernel's files that are written to lend any device."""
    folder = sys / _DRIVERS / HOST
    names = ("match_busid", "bind", "unbind", "rebind")
    return [*(folder / name for name in names), sys / _PROBE]


class UsbipHost:
    """Writes its files; blocks, so it belongs in a thread. Every method may raise DeviceError."""

    def __init__(self, sys: Path = SYS) -> None:
        self._sys = sys
        self._driver = sys / _DRIVERS / HOST

    def require(self) -> None:
        """Raise DeviceError where the kernel has no such driver."""
        if not (self._driver / "match_busid").exists():
            raise DeviceError(f"this kernel's USB/IP host driver is not loaded: {REMEDY}")

    def lend(self, busid: str, descriptor: int) -> None:
        """Take a device from its driver and pass it to a stream socket's other end.

        Raises DeviceError. A device that usbip-host already has is somebody else's: it stays bound.
        """
        self.require()
        if self.has(busid):
            raise DeviceError(f"{busid} is already bound to {HOST}: {unbind_remedy(busid)}")
        try:
            self._bind(busid)
            self._wait_until_ready(busid)
            self._write(folder_of(busid, self._sys) / "usbip_sockfd", str(descriptor))
        except BaseException:
            self.take_back(busid)
            raise

    def take_back(self, busid: str) -> None:
        """Give a device back to its own driver, if it is still plugged in; its socket is closed."""
        folder = folder_of(busid, self._sys)
        with contextlib.suppress(DeviceError):
            self._wait_until_reset(busid)
        with contextlib.suppress(DeviceError):
            self._write(self._driver / "unbind", busid)  # fails where it is not bound
            self._write(self._driver / "rebind", busid)
        if folder.exists() and not driver_of(folder):
            with contextlib.suppress(DeviceError):
                self._write(self._sys / _PROBE, busid)

    def has(self, busid: str) -> bool:
        """Return whether the driver has a device."""
        return driver_of(folder_of(busid, self._sys)) == HOST

    def _bind(self, busid: str) -> None:
        name = driver_of(folder_of(busid, self._sys))
        self._write(self._driver / "match_busid", f"add {busid}")
        if name:
            self._write(self._sys / _DRIVERS / name / "unbind", busid)
        self._write(self._driver / "bind", busid)

    def _wait_until_ready(self, busid: str) -> None:
        """Wait until the driver has taken the device."""
        end = time.monotonic() + READY_S
        while self._status(busid) != _AVAILABLE:
            if time.monotonic() >= end:
                raise DeviceError(f"{busid} is not ready within {READY_S:g} s after its reset")
            time.sleep(_LOOK_S)

    def _wait_until_reset(self, busid: str) -> None:
        """Wait until the kernel has noticed that the socket is closed; else tell it so."""
        end = time.monotonic() + READY_S
        while self._status(busid) == _USED:
            if time.monotonic() >= end:
                self._write(folder_of(busid, self._sys) / "usbip_sockfd", _CLOSE)
                break
            time.sleep(_LOOK_S)

    def _status(self, busid: str) -> str:
        try:
            return (folder_of(busid, self._sys) / "usbip_status").read_text().strip()
        except OSError as error:
            raise DeviceError(f"{busid} has been unplugged") from error

    def _write(self, file: Path, text: str) -> None:
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._refused(file, text, error) from error

    def _refused(self, file: Path, text: str, error: OSError) -> DeviceError:
        why = (error.strerror or str(error)).lower()
        return DeviceError(f"the kernel refused '{text}' at {file}: {why}")
