"""The fair lower bound: a USB/IP client of asyncio's streams that does nothing but its transfers.

One transfer waits for data, one sends. No limits, no window, no settings, no recovery.
"""

from __future__ import annotations

import asyncio
import struct

_IMPORT_REPLY_BYTES = 320
_HEADER = struct.Struct("!IIIIIIIIII8s")
_SUBMIT, _OUT, _IN = 1, 0, 1
_NO_PACKETS = 0xFFFFFFFF


class BareClient:
    """One imported device."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._devid = 0
        self._seqnum = 0
        self._reads: set[int] = set()

    async def attach(self, busid: str, configuration: int) -> None:
        """Import the device and configure it."""
        self._writer.write(struct.pack("!HHI32s", 0x0111, 0x8003, 0, busid.encode()))
        answer = await self._reader.readexactly(_IMPORT_REPLY_BYTES)
        busnum, devnum = struct.unpack_from("!II", answer, 296)
        self._devid = busnum << 16 | devnum
        setup = struct.pack("<BBHHH", 0x00, 9, configuration, 0, 0)
        self._submit(_OUT, 0, 0, b"", setup)
        await self._reader.readexactly(_HEADER.size)

    async def round_trip(self, out: int, in_: int, data: bytes) -> bytes:
        """Send data and return as much of what comes back."""
        heard = b""
        if not self._reads:
            self._reads.add(self._submit(_IN, in_, 512, b""))
        self._submit(_OUT, out, len(data), data)
        while len(heard) < len(data):
            head = await self._reader.readexactly(_HEADER.size)
            _, seqnum, _, _, _, _, length = struct.unpack_from("!IIIIIiI", head)
            if seqnum in self._reads:
                self._reads.discard(seqnum)
                heard += await self._reader.readexactly(length)
                self._reads.add(self._submit(_IN, in_, 512, b""))
        return heard

    def _submit(
        self, direction: int, endpoint: int, length: int, data: bytes, setup: bytes = bytes(8)
    ) -> int:
        self._seqnum += 1
        head = _HEADER.pack(
            *(_SUBMIT, self._seqnum, self._devid, direction, endpoint),
            *(0, length, 0, _NO_PACKETS, 0, setup),
        )
        self._writer.write(head + data)
        return self._seqnum
