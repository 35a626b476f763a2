"""A serial port behind a played USB/IP server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fakes.usbip_device import FakeAcmDevice
from fakes.usbip_server import FakeServer, usbip_server
from fakes.waiting import until
from usbshare.base.errors import DeviceError
from usbshare.line.settings import LineSettings, ModemLines
from usbshare.line.usbip.device import UsbipDevice
from usbshare.line.usbip.source import parse_source


class Listener:
    def __init__(self) -> None:
        self.data = b""
        self.lines: list[ModemLines] = []
        self.lost: list[str] = []
        self.rooms = 0

    def data_received(self, data: bytes) -> None:
        self.data += data

    def writable(self) -> None:
        self.rooms += 1

    def lines_changed(self, lines: ModemLines) -> None:
        self.lines.append(lines)

    def device_lost(self, reason: str) -> None:
        self.lost.append(reason)


def device_of(server: FakeServer, name: str, **options: object) -> UsbipDevice:
    source = parse_source(f"usbip://127.0.0.1:{server.port}/{name}")
    settings = options.pop("settings", LineSettings())
    return UsbipDevice(source, settings, **options)  # type: ignore[arg-type]


@asynccontextmanager
async def opened(
    fake: FakeAcmDevice, **options: object
) -> AsyncIterator[tuple[UsbipDevice, Listener, FakeServer]]:
    async with usbip_server(fake) as server:
        device, listener = device_of(server, fake.busid, **options), Listener()
        await device.open(listener)
        try:
            yield device, listener, server
        finally:
            await device.close()


async def refused(server: FakeServer, name: str, **options: object) -> DeviceError:
    device = device_of(server, name, **options)
    with pytest.raises(DeviceError) as refusal:
        await device.open(Listener())
    await device.close()
    await until(lambda: not server.attached)
    return refusal.value
