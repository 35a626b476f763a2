"""A USB/IP server of devices made of software, which can be killed as a real one can.

usbipd of the kernel's tools/usb/usbip: one client holds a device; the others are told that it is
not available (`ST_NA`, recv_request_import in usbipd.c).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fakes.usbip_device import FakeDevice
from usbshare.base.watched_task import cancel_all
from usbshare.usbip.errors import UsbipError
from usbshare.usbip.messages import ExportedDevice, Status
from usbshare.usbip.server import serve_connection


class FakeServer:
    """Listens on loopback; a device that `fails` is listed and cannot be attached."""

    def __init__(self, *devices: FakeDevice) -> None:
        self.devices = list(devices)
        self.failing: set[str] = set()
        self.errors: list[UsbipError] = []
        self.attached: dict[str, int] = {}
        self.attaches = 0
        self.port = 0
        self._connections: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen: on the same port again after a `stop`."""
        self._server = await asyncio.start_server(self._connected, host, port or self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """End as a killed server does: every connection is gone."""
        if self._server is not None:
            self._server.close()
        await cancel_all(*self._connections)
        if self._server is not None:
            await self._server.wait_closed()

    async def drop(self) -> None:
        """Break every connection, and go on listening."""
        await cancel_all(*self._connections)

    def listed(self) -> list[ExportedDevice]:
        """Return what is exported."""
        return [each.exported for each in self.devices]

    def choose(self, busid: str) -> FakeDevice | Status:
        """Return the device, or why not."""
        found = [each for each in self.devices if each.busid == busid]
        if not found:
            return Status.NO_DEVICE
        if busid in self.failing or busid in self.attached:
            return Status.NOT_AVAILABLE
        self.attaches += 1
        return found[0]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer), name="usbip connection")
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held: list[str] = []

        def choose(busid: str) -> FakeDevice | Status:
            chosen = self.choose(busid)
            if isinstance(chosen, FakeDevice):
                held.append(busid)
                self.attached[busid] = chosen.devnum
            return chosen

        try:
            await serve_connection(reader, writer, choose, self.listed)
        except UsbipError as error:
            self.errors.append(error)
        finally:
            for busid in held:
                self.attached.pop(busid, None)


@contextlib.asynccontextmanager
async def usbip_server(*devices: FakeDevice) -> AsyncIterator[FakeServer]:
    """Serve the devices on a free port of loopback."""
    server = FakeServer(*devices)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
