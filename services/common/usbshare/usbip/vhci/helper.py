"""Plugs one device in for a user who may not: all that usbshare does as root on a user's computer.

systemd starts it for each connection to its socket, whose file says who may use it. It receives
the kernel's end of a socket pair, gives it to vhci_hcd, answers with the port's number, and unplugs
the device when the connection ends, however that happens. It reads nothing else of the user's and
writes no file but two of vhci_hcd (drivers/usb/usbip/vhci_sysfs.c).

A copy of this file that belongs to root is installed, so it imports nothing but Python's own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SYSFS = Path("/sys")
SOCKET_PATH = Path("/run/usbshare/usb-attach.sock")
MOST_BYTES = 64
REMEDY = (
    "run `sudo modprobe vhci-hcd`; it is in Debian's kernel package, and in Ubuntu's "
    "linux-modules-extra-$(uname -r)"
)
_CONTROLLER = "devices/platform/vhci_hcd.0"
_FREE = 4  # VDEV_ST_NULL
_LOW_SPEED, _SUPER_SPEED, _SUPER_PLUS_SPEED = 1, 5, 6
_HIGHEST_DEVID = 0xFFFF_FFFF
_REQUEST_S = 5.0


class PlugError(Exception):
    """A device cannot be plugged into this computer; the text says what to do."""


@dataclass(frozen=True, slots=True)
class VhciPort:
    """One port; `busid` is the name of the device there once the system has seen it: 5-1."""

    number: int
    is_super_speed: bool
    state: int
    devid: int
    busid: str

    @property
    def is_free(self) -> bool:
        """Whether a device can be plugged in."""
        return self.state == _FREE


class Vhci:
    """Reads and writes the files; blocks, so it belongs in a thread."""

    def __init__(self, sysfs: Path = SYSFS) -> None:
        self._sysfs = sysfs
        self._folder = sysfs / _CONTROLLER

    @property
    def may_attach(self) -> bool:
        """Whether this user may plug devices in."""
        return os.access(self._folder / "attach", os.W_OK)

    def require(self) -> None:
        """Raise PlugError where the kernel has no such controller."""
        if not (self._folder / "attach").exists():
            raise PlugError(f"this kernel has no virtual USB controller: {REMEDY}")

    def ports(self) -> list[VhciPort]:
        """Return all ports; raises PlugError."""
        self.require()
        return list(self._read())

    def port(self, number: int) -> VhciPort | None:
        """Return one port; raises PlugError."""
        return next((each for each in self.ports() if each.number == number), None)

    def attach(self, descriptor: int, devid: int, speed: int) -> int:
        """Plug in the device at the other end of a stream socket; returns the port's number.

        The socket is the kernel's from then on, and its end is the device's. Raises PlugError.
        """
        is_super = speed >= _SUPER_SPEED
        free = [each for each in self.ports() if each.is_free and each.is_super_speed == is_super]
        for port in free:
            try:
                self._write("attach", f"{port.number} {descriptor} {devid} {speed}")
            except OSError as error:
                if error.errno == errno.EBUSY:  # somebody else was faster
                    continue
                raise self._refused("plug a device in", error) from error
            return port.number
        raise PlugError(
            "all ports of the virtual USB controller are in use: `usbip port` lists them"
        )

    def detach(self, number: int, devid: int) -> None:
        """Unplug the device, if it is still there; raises PlugError."""
        port = self.port(number)
        if port is None or port.is_free or port.devid != devid:
            return
        try:
            self._write("detach", str(number))
        except OSError as error:
            if error.errno != errno.EINVAL:  # it was unplugged this moment
                raise self._refused("unplug a device", error) from error

    def ttys(self, number: int) -> list[str]:
        """Return the names of the serial ports that the device there has become: ttyACM0."""
        port = self.port(number)
        if port is None or port.busid in ("", "0-0"):
            return []
        found = (self._sysfs / "bus/usb/devices").glob(f"{port.busid}:*/tty/*")
        try:
            return sorted(each.name for each in found)
        except OSError:  # it was unplugged this moment
            return []

    def _read(self) -> Iterator[VhciPort]:
        # `status` has the ports of the first controller, `status.1` those of the next, and so on.
        for file in sorted(self._folder.glob("status*")):
            for line in file.read_text().splitlines()[1:]:
                hub, number, state, _, devid, _, busid = line.split()
                yield VhciPort(int(number), hub == "ss", int(state), int(devid, 16), busid)

    def _write(self, name: str, text: str) -> None:
        descriptor = os.open(self._folder / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)

    def _refused(self, what: str, error: OSError) -> PlugError:
        why = os.strerror(error.errno or 0).lower()
        return PlugError(f"the kernel refused to {what} ({self._folder}): {why}")


def request(devid: int, speed: int) -> bytes:
    """Return what is sent along with the socket."""
    return f"attach {devid} {speed}\n".encode()


def serve(connection: socket.socket, vhci: Vhci) -> None:
    """Do it for one connection, and return once that has ended."""
    with connection:
        try:
            device, devid, speed = _received(connection)
            with device:
                number = vhci.attach(device.fileno(), devid, speed)
        except (PlugError, OSError, ValueError) as error:
            with contextlib.suppress(OSError):
                connection.sendall(f"error {error}\n".encode())
            return
        try:
            _answer_and_wait(connection, number)
        finally:
            vhci.detach(number, devid)


def _received(connection: socket.socket) -> tuple[socket.socket, int, int]:
    """Return the socket, the device's id and its speed; raises ValueError, OSError."""
    connection.settimeout(_REQUEST_S)
    data, descriptors, _, _ = socket.recv_fds(connection, MOST_BYTES, 1)
    connection.settimeout(None)
    if len(descriptors) != 1:
        raise ValueError("the request carries no socket")
    device = socket.socket(fileno=descriptors[0])
    try:
        devid, speed = _numbers(data)
        # Only a pair: what is at the other end of the network is not this user's own doing.
        if (device.family, device.type) != (socket.AF_UNIX, socket.SOCK_STREAM):
            raise ValueError("the descriptor received is not a stream socket of this computer")
    except BaseException:
        device.close()
        raise
    return device, devid, speed


def _numbers(data: bytes) -> tuple[int, int]:
    word, devid, speed = data.decode("ascii", "replace").split()
    if word != "attach":
        raise ValueError(f"request {word!r} is not 'attach'")
    if not 0 <= int(devid) <= _HIGHEST_DEVID:
        raise ValueError(f"device id {devid} is not 0 to {_HIGHEST_DEVID}")
    if not _LOW_SPEED <= int(speed) <= _SUPER_PLUS_SPEED:
        raise ValueError(f"speed {speed} is not {_LOW_SPEED} to {_SUPER_PLUS_SPEED}")
    return int(devid), int(speed)


def _answer_and_wait(connection: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(f"port {number}\n".encode())
        while connection.recv(MOST_BYTES):
            pass


def main() -> None:
    """Serve the connection that is standard input, as systemd's `StandardInput=socket` has it."""
    sysfs = Path(sys.argv[1]) if len(sys.argv) > 1 else SYSFS
    serve(socket.socket(fileno=sys.stdin.fileno()), Vhci(sysfs))


if __name__ == "__main__":
    main()
