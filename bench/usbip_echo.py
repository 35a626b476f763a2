"""Two boards that echo, behind a USB/IP server: `python -m bench.usbip_echo PORT`."""

from __future__ import annotations

import asyncio
import sys

from usbshare.base.event_loop import run
from usbshare.usbip.cdc import CdcRequest, acm_descriptors
from usbshare.usbip.descriptors import (
    ConfigurationDescriptor,
    DeviceDescriptor,
    EndpointDescriptor,
    InterfaceDescriptor,
    Kind,
    Request,
)
from usbshare.usbip.errors import STALLED, TransferError
from usbshare.usbip.messages import ExportedDevice, SetupPacket, Speed, Status
from usbshare.usbip.server import serve_connection

BOARDS = ("1-1", "1-2")
VID, PID = 0x1209, 0x0001
OUT, IN, NOTIFICATIONS = 1, 1, 2
PACKET_BYTES = 64
_DEVICE = DeviceDescriptor(VID, PID, 2)
_CONFIGURATION = ConfigurationDescriptor(
    1,
    (
        InterfaceDescriptor(
            *(0, 2, 2, 1),
            extra=acm_descriptors(0, 1),
            endpoints=(EndpointDescriptor(0x80 | NOTIFICATIONS, 3, 16, 9),),
        ),
        InterfaceDescriptor(
            *(1, 0x0A),
            endpoints=(
                EndpointDescriptor(OUT, 2, PACKET_BYTES),
                EndpointDescriptor(0x80 | IN, 2, PACKET_BYTES),
            ),
        ),
    ),
)


class Board:
    """Sends back what it is sent."""

    def __init__(self, busid: str, devnum: int) -> None:
        self.exported = ExportedDevice(
            *(busid, 1, devnum, VID, PID), speed=Speed.FULL, configuration=1
        )
        self._echoes: asyncio.Queue[bytes] = asyncio.Queue()

    async def control(self, setup: SetupPacket, data: bytes) -> bytes:
        """Answer what a driver asks."""
        del data
        match setup.request, setup.value >> 8:
            case Request.GET_DESCRIPTOR, Kind.DEVICE:
                return _DEVICE.encode()
            case Request.GET_DESCRIPTOR, Kind.CONFIGURATION:
                return _CONFIGURATION.encode()
            case (
                Request.SET_CONFIGURATION
                | CdcRequest.SET_LINE_CODING
                | CdcRequest.SET_CONTROL_LINE_STATE,
                _,
            ):
                return b""
        raise TransferError(STALLED)

    async def read(self, endpoint: int, length: int) -> bytes:
        """Return the next echo; a notification never comes."""
        if endpoint == NOTIFICATIONS:
            await asyncio.Event().wait()
        return (await self._echoes.get())[:length]

    async def write(self, endpoint: int, data: bytes) -> int:
        """Take everything."""
        del endpoint
        self._echoes.put_nowait(data)
        return len(data)


async def main(port: int) -> None:
    """Serve until killed."""
    boards = {busid: Board(busid, number + 2) for number, busid in enumerate(BOARDS)}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve_connection(
            *(reader, writer),
            lambda busid: boards.get(busid, Status.NO_DEVICE),
            lambda: [each.exported for each in boards.values()],
        )

    server = await asyncio.start_server(connected, "127.0.0.1", port)
    sys.stderr.write("ready\n")
    sys.stderr.flush()
    await server.serve_forever()


if __name__ == "__main__":
    run(main(int(sys.argv[1])))
