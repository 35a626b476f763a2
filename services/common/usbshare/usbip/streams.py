"""A stream of bytes both ways: TCP, a socket pair, or whatever else carries USB/IP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from typing import Protocol, cast

from usbshare.usbip.errors import UsbipNetworkError

READ_BYTES = 1 << 16
SEND_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 1.0
_KEEPALIVE = {
    "TCP_KEEPIDLE": 1,
    "TCP_KEEPALIVE": 1,  # TCP_KEEPIDLE of macOS
    "TCP_KEEPINTVL": 1,
}
# Where the kernel says when it last heard of the other side, see `silent_s`: a connection that it
# ends itself has nobody left to tell the server, once the link is back, that the device is free.
_TELLS_SILENCE = sys.platform == "linux"
_MOST_PROBES = 127 if _TELLS_SILENCE else 3
_LAST_ACK_RECV = struct.Struct("=56xI")  # tcpi_last_ack_recv of struct tcp_info, in ms


class ByteReader(Protocol):
    """The half of asyncio.StreamReader that is used."""

    async def read(self, n: int) -> bytes:
        """Return what there is, at most `n` bytes, nothing at the end."""
        ...


class ByteWriter(Protocol):
    """The half of asyncio.StreamWriter that is used."""

    def write(self, data: bytes) -> None:
        """Hand over bytes; never waits."""

    async def drain(self) -> None:
        """Wait while too much that was handed over has not left."""

    def close(self) -> None:
        """Begin to close both halves."""

    async def wait_closed(self) -> None:
        """Wait until they are closed."""


def send_at_once(writer: ByteWriter) -> None:
    """Have small messages leave at once (TCP_NODELAY): 44 ms become 0.1 ms."""
    if (sock := _tcp_socket(writer)) is not None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def notice_dead_peer(writer: ByteWriter) -> None:
    """Have the other side asked each second whether it is there, also while nothing is sent.

    See `silent_s`; where there is no such answer, a connection that is silent for 4 s breaks.
    """
    sock = _tcp_socket(writer)
    if sock is None:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in {**_KEEPALIVE, "TCP_KEEPCNT": _MOST_PROBES}.items():
        if (option := getattr(socket, name, None)) is not None:  # not all of every system
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def silent_s(writer: ByteWriter) -> float:
    """Return for how many seconds the other computer has acknowledged nothing; 0 if unknown."""
    sock = _tcp_socket(writer) if _TELLS_SILENCE else None
    if sock is None:
        return 0.0
    try:
        answer = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_ACK_RECV.size)
        return float(_LAST_ACK_RECV.unpack(answer)[0]) / 1000
    except (OSError, struct.error):  # it is closed, or a kernel of another kind
        return 0.0


def _tcp_socket(writer: ByteWriter) -> socket.socket | None:
    sock = writer.get_extra_info("socket") if isinstance(writer, asyncio.StreamWriter) else None
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    return cast(socket.socket, sock)


async def read_some(reader: ByteReader) -> bytes:
    """Return the next bytes, nothing at the end; raises UsbipNetworkError."""
    try:
        return await reader.read(READ_BYTES)
    except OSError as error:
        raise UsbipNetworkError(f"the connection broke: {error.strerror or error}") from error


async def drained(writer: ByteWriter, timeout_s: float = SEND_TIMEOUT_S) -> None:
    """Wait until the other side takes more; raises UsbipNetworkError."""
    try:
        async with asyncio.timeout(timeout_s):
            await writer.drain()
    except TimeoutError as error:
        raise UsbipNetworkError(f"the other side has taken nothing for {timeout_s:g} s") from error
    except OSError as error:
        raise UsbipNetworkError(f"the connection broke: {error.strerror or error}") from error


async def closed(writer: ByteWriter) -> None:
    """Close it; what the other side does not accept within a second is dropped."""
    writer.close()
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await writer.wait_closed()
