"""The virtual port over USB for a USB/IP client of this computer, such as usbip-win2's driver.

Not tried on Windows yet; Linux's `usbip attach` has been tried.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import NoReturn, cast

from usbshare.base.errors import ConfigError
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress, loopback_address
from usbshare.bridge.local_ports.program_connection import listening_socket
from usbshare.bridge.local_ports.tcp import why_not
from usbshare.bridge.local_ports.usb_address import USBIP_PORT
from usbshare.bridge.local_ports.usbip import UsbPort
from usbshare.usbip.acm.descriptors import CONFIGURATION, CONFIGURATIONS, DEVICE
from usbshare.usbip.acm.plug import Plug
from usbshare.usbip.errors import UsbipProtocolError
from usbshare.usbip.messages import (
    DevlistReply,
    DevlistRequest,
    ExportedDevice,
    ImportReply,
    ImportRequest,
    InterfaceClass,
    Status,
)
from usbshare.usbip.parsers import RequestParser

_log = logging.getLogger(__name__)

BUS_ID = "1-1"
REQUEST_TIMEOUT_S = 5.0
MOST_CONNECTIONS = 8
_PATH = "/sys/devices/platform/usbshare/usb1/1-1"

_EXPORTED = ExportedDevice(
    busid=BUS_ID,
    busnum=1,
    devnum=2,
    vid=DEVICE.vid,
    pid=DEVICE.pid,
    path=_PATH,
    release=DEVICE.release,
    device_class=DEVICE.class_,
    configuration=CONFIGURATION,
    interface_count=len(CONFIGURATIONS.interfaces),
    interfaces=tuple(
        InterfaceClass(each.class_, each.subclass) for each in CONFIGURATIONS.interfaces
    ),
)


class UsbipListenerPort(UsbPort):
    """VirtualPort for one USB/IP client at a time; after a hang-up the client attaches again."""

    def __init__(self, address: LoopbackAddress) -> None:
        super().__init__()
        self._address = address
        self._server: asyncio.Server | None = None
        self._asking: set[_Asking] = set()

    @property
    def path(self) -> str:
        """What the USB/IP client attaches; the real port once started."""
        return f"usbip://{self._address}/{BUS_ID}"

    async def _begin(self) -> None:
        try:
            listening = listening_socket(self._address.host, self._address.port)
        except OSError as error:
            raise ConfigError(why_not(self.path, error)) from error
        self._address = LoopbackAddress(self._address.host, listening.getsockname()[1])
        self._server = await self._loop.create_server(lambda: _Asking(self), sock=listening)

    def _again(self) -> None:
        """Wait for the client to attach it again."""

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        for asking in list(self._asking):
            asking.close()

    # What connections call.

    def connected(self, asking: _Asking) -> bool:
        """Return whether there is room for one more that says what it wants."""
        if len(self._asking) >= MOST_CONNECTIONS:
            return False
        self._asking.add(asking)
        return True

    def disconnected(self, asking: _Asking) -> None:
        """Forget a connection."""
        self._asking.discard(asking)

    def take(self, busid: str) -> Callable[[RequestParser], Plug] | Status:
        """Return what serves the device from now on, or why it is not to be had."""
        if busid != BUS_ID:
            return Status.NO_DEVICE
        return Status.BUSY if self._plug is not None else self._taken

    def serve(self) -> None:
        """Note that the client has the device."""
        self._ready()

    def _taken(self, parser: RequestParser) -> Plug:
        _log.info("a USB/IP client has attached %s", self.path)
        return self._new_plug(parser)


class _Asking(asyncio.Protocol):
    """A connection until it is known what it wants."""

    def __init__(self, port: UsbipListenerPort) -> None:
        self._port = port
        self._parser = RequestParser()
        self._transport: asyncio.Transport
        self._late: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the request, not for long."""
        self._transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        self._late = loop.call_later(REQUEST_TIMEOUT_S, self._transport.abort)
        if not self._port.connected(self):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Answer a whole request."""
        self._parser.feed(data)
        try:
            request = self._parser.operation()
        except UsbipProtocolError as error:
            _log.warning("refused a connection to %s: %s", self._port.path, error)
            self._transport.abort()
            return
        if isinstance(request, DevlistRequest):
            self._transport.write(DevlistReply((_EXPORTED,)).encode())
            self._transport.close()
        elif isinstance(request, ImportRequest):
            self._import(request.busid)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        del exc
        self._late.cancel()
        self._port.disconnected(self)

    def close(self) -> None:
        """Hang up."""
        self._transport.abort()

    def _import(self, busid: str) -> None:
        taken = self._port.take(busid)
        if isinstance(taken, Status):
            self._transport.write(ImportReply(None, taken).encode())
            self._transport.close()
            return
        self._late.cancel()
        self._port.disconnected(self)
        self._transport.write(ImportReply(_EXPORTED).encode())
        plug = taken(self._parser)
        self._transport.set_protocol(plug)
        plug.connection_made(self._transport)
        self._port.serve()


def default_usb_port() -> UsbipListenerPort:
    """Return the port of a system whose USB/IP driver connects by TCP."""
    return UsbipListenerPort(loopback_address("127.0.0.1", USBIP_PORT))


def no_usb_port() -> NoReturn:
    """Raise ConfigError: this system has no driver for a virtual USB port."""
    raise ConfigError(
        "a USB port needs Linux or Windows; '--vcom' offers a pty here, and '--rfc2217' a port "
        "with modem lines"
    )
