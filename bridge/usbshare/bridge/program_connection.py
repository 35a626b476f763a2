"""One program's TCP connection: bounded both ways, and whether its program is still there."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
from typing import Protocol, cast

_log = logging.getLogger(__name__)

READ_BYTES = 4096
WRITE_BYTES = 16 * 1024
UNANSWERED_BYTES = 64 * 1024

# A web page may make the browser post G-code to a port of this computer.
_HTTP = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ", b"OPTIONS ")


class ConnectionListener(Protocol):
    """Whom a connection tells."""

    @property
    def wanted_bytes(self) -> int:
        """How many bytes shall be read at once, at most."""
        ...

    def connection_made(self, connection: ProgramConnection) -> None:
        """Learn that a program has connected; it is being read from."""

    def connection_read(self, connection: ProgramConnection) -> None:
        """Learn that there is more in `unread`."""

    def connection_writable(self, connection: ProgramConnection) -> None:
        """Learn that there is room again, after there was none."""

    def connection_lost(self, connection: ProgramConnection) -> None:
        """Learn that the program has gone."""


class ProgramConnection(asyncio.BufferedProtocol):
    """Reads no more than is wanted into `unread`, and never queues more than it has room for.

    asyncio and uvloop set TCP_NODELAY on every connection.
    """

    def __init__(self, listener: ConnectionListener) -> None:
        self.unread = bytearray()
        self._listener = listener
        self._has_begun = False
        self._buffer = bytearray(READ_BYTES)
        self._transport: asyncio.Transport

    @property
    def room(self) -> int:
        """How many bytes may be sent now; 0 is followed by `connection_writable`."""
        if self._transport.is_closing():
            return WRITE_BYTES
        return max(0, WRITE_BYTES - self._transport.get_write_buffer_size())

    def send(self, data: bytes) -> None:
        """Send bytes of the device, as many as there is room for."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def answer(self, data: bytes) -> None:
        """Send what the program asked for; one that asks and never reads is hung up."""
        if self._transport.get_write_buffer_size() > UNANSWERED_BYTES:
            self.abort()
        self.send(data)

    def pause(self) -> None:
        """Let the program wait."""
        self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        self._transport.resume_reading()

    def has_left(self) -> bool:
        """Tell whether the program has closed its end, though bytes of it may be unread."""
        found = self._transport.get_extra_info("socket")
        if self._transport.is_closing() or found is None:
            return True
        poll = getattr(select, "poll", None)  # not on Windows: there only reading tells
        if poll is None:
            return False
        poller = poll()
        poller.register(found.fileno(), getattr(select, "POLLRDHUP", 0))
        return bool(poller.poll(0))

    def refuse(self) -> None:
        """Close it without a word."""
        self._transport.close()

    def abort(self) -> None:
        """Hang up at once; `connection_lost` follows."""
        self.unread.clear()
        self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Learn what to send through."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_BYTES - 1, low=WRITE_BYTES // 4)
        self._listener.connection_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put what the program sends; all there is at first, to see what it is."""
        del sizehint
        size = self._listener.wanted_bytes if self._has_begun else READ_BYTES
        return memoryview(self._buffer)[: max(1, min(READ_BYTES, size))]

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was put there; a web browser is hung up."""
        self.unread += self._buffer[:nbytes]
        if not self._has_begun and self.unread.startswith(_HTTP):
            _log.warning("a web browser's request is refused")
            self.abort()
            return
        self._has_begun = True
        self._listener.connection_read(self)

    def eof_received(self) -> None:
        """Take a program that sends no more for one that has gone."""
        self.abort()

    def resume_writing(self) -> None:
        """Pass on that there is room."""
        self._listener.connection_writable(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that the program has gone."""
        del exc
        self._listener.connection_lost(self)


def listening_socket(host: str, port: int) -> socket.socket:
    """Listen at a numeric address; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family)
    # What the system holds of a program that must wait; connections inherit it.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
    return listening
