"""Reads a UDP socket so that a flood costs little: in batches, with pauses between them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

_BATCH = 512  # more than the kernel's buffer holds of small ones
_PAUSE_S = 0.02
_MOST_BYTES = 65535


class UdpReader(asyncio.DatagramProtocol):
    """Calls `take(data, sender's address)` for each datagram; False means that there are too many.

    Owns the socket. In a pause the kernel keeps what fits into its buffer and drops the rest.
    """

    def __init__(self, udp: socket.socket, take: Callable[[bytes, str], bool]) -> None:
        self._udp = udp
        self._take = take
        self._transport: asyncio.BaseTransport | None = None
        self._pause: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Read from now on."""
        loop = asyncio.get_running_loop()
        try:
            loop.add_reader(self._udp, self._read)
        except NotImplementedError:  # Windows' loop does not report readiness: no batches there
            self._transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=self._udp)

    def close(self) -> None:
        """Read nothing more."""
        if self._transport is not None:
            self._transport.close()
            return
        if self._pause is not None:
            self._pause.cancel()
        asyncio.get_running_loop().remove_reader(self._udp)
        self._udp.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Hand over one datagram."""
        self._take(data, addr[0])

    def _read(self) -> None:
        are_too_many = False
        for _ in range(_BATCH):
            try:
                data, sender = self._udp.recvfrom(_MOST_BYTES)
            except OSError:  # nothing there, or an error that a socket which only listens survives
                break
            are_too_many |= not self._take(data, sender[0])
        if are_too_many:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._udp)
            self._pause = loop.call_later(_PAUSE_S, loop.add_reader, self._udp, self._read)
