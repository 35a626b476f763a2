"""The side of a connection that uses devices: lists them and imports one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from usbshare.usbip.errors import UsbipDeviceError, UsbipNetworkError
from usbshare.usbip.imported import ImportedDevice
from usbshare.usbip.limits import DEFAULT_LIMITS, Limits
from usbshare.usbip.messages import DevlistRequest, ExportedDevice, ImportRequest, Status
from usbshare.usbip.parsers import ReplyParser
from usbshare.usbip.streams import (
    ByteReader,
    ByteWriter,
    closed,
    notice_dead_peer,
    read_some,
    send_at_once,
)

PORT = 3240
TIMEOUT_S = 5.0
_WHY = {
    Status.NOT_AVAILABLE: "is not exported, or is in use",
    Status.BUSY: "is in use",
    Status.DEVICE_ERROR: "has failed",
    Status.NO_DEVICE: "is not there",
}
_T = TypeVar("_T")


async def connect(host: str, port: int = PORT, timeout_s: float = TIMEOUT_S) -> UsbipClient:
    """Connect to a server; raises UsbipNetworkError."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError as error:
        raise UsbipNetworkError(f"{host}:{port} did not answer within {timeout_s:g} s") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise UsbipNetworkError(f"{host}:{port} cannot be reached: {why}") from error
    notice_dead_peer(writer)
    return UsbipClient(reader, writer)


class UsbipClient:
    """One new connection to a server, for one question."""

    def __init__(
        self, reader: ByteReader, writer: ByteWriter, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._limits = limits
        self._parser = ReplyParser(limits)
        send_at_once(writer)

    async def devices(self, timeout_s: float = TIMEOUT_S) -> tuple[ExportedDevice, ...]:
        """Return what the server exports, and close; raises UsbipError."""
        try:
            reply = await self._ask(DevlistRequest().encode(), self._parser.devices, timeout_s)
        finally:
            await closed(self._writer)
        return reply.devices

    async def attach(self, busid: str, timeout_s: float = TIMEOUT_S) -> ImportedDevice:
        """Import a device, whose the connection is then; raises UsbipError, and closes it."""
        try:
            request = ImportRequest(busid).encode()
            reply = await self._ask(request, self._parser.imported, timeout_s)
            if reply.device is None:
                raise UsbipDeviceError(f"{busid} {_refusal(reply.status)}")
        except BaseException:
            await closed(self._writer)
            raise
        device = ImportedDevice(
            self._reader, self._writer, reply.device, self._parser, self._limits
        )
        device.start()
        return device

    async def _ask(self, request: bytes, take: Callable[[], _T | None], timeout_s: float) -> _T:
        self._writer.write(request)
        try:
            async with asyncio.timeout(timeout_s):
                while (reply := take()) is None:
                    data = await read_some(self._reader)
                    if not data:
                        raise UsbipNetworkError(
                            "the server closed the connection without an answer"
                        )
                    self._parser.feed(data)
        except TimeoutError as error:
            raise UsbipNetworkError(f"the server did not answer within {timeout_s:g} s") from error
        return reply


def _refusal(status: int) -> str:
    try:
        return _WHY.get(Status(status), f"was refused with status {status}")
    except ValueError:
        return f"was refused with status {status}"
