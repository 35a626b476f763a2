"""One program's TCP connection: bounded both ways, and whether its program is still there."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
from pathlib import Path
from typing import Protocol, cast

from usbshare.base.addresses import join_host_port

TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


def is_closed(own_port: int, peer_port: int, tables: tuple[Path, ...] = TABLES) -> bool | None:
    """Return whether the peer has closed its socket; None where the system does not say.

    A socket that was closed and one that was shut down for writing send the same FIN; only the
    kernel's table distinguishes them (proc_pid_net(5): a socket without a process has inode 0).
    """
    rows = [row for table in tables for row in _rows(table)]
    if not rows:
        return None
    return not any(
        (_port(local), _port(remote)) == (peer_port, own_port) and inode != "0"
        for _, local, remote, *_, inode in (row.split()[:10] for row in rows)
    )


def _rows(table: Path) -> list[str]:
    try:
        return table.read_text().splitlines()[1:]
    except OSError:  # no IPv6, another system, or a program that may not look
        return []


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


_log = logging.getLogger(__name__)

READ_BYTES = 4096
WRITE_BYTES = 16 * 1024
UNANSWERED_BYTES = 64 * 1024

# A web page may make the browser send what it likes to a port of this computer, by HTTP or TLS. How
# they begin: requests (RFC 9110, 9.3; RFC 9113, 3.4), TLS records with a handshake (RFC 8446, 5.1).
_BROWSER = (
    *(b"GET ", b"HEAD ", b"POST ", b"PUT ", b"PATCH ", b"DELETE ", b"OPTIONS ", b"CONNECT "),
    *(b"TRACE ", b"PRI * HTTP/2"),
    b"\x16\x03",
)
# A browser sends its beginning at once: what may still become one is a program's after this time.
UNSURE_S = 1.0
# A program that sends no more may wait for answers: how long for the first, and after each.
FIRST_ANSWER_S = 30.0
NEXT_ANSWER_S = 2.0


class ConnectionListener(Protocol):
    """Receives the events of a connection."""

    @property
    def wanted_bytes(self) -> int:
        """How many bytes shall be read at once, at most."""
        ...

    def connection_made(self, connection: ProgramConnection) -> None:
        """Note that a program has connected; it is being read from."""

    def connection_read(self, connection: ProgramConnection) -> None:
        """Note that there is more in `unread`."""

    def connection_writable(self, connection: ProgramConnection) -> None:
        """Note that there is room again, after there was none."""

    def connection_ended(self, connection: ProgramConnection) -> None:
        """Decide whether a program that sends no more has gone, or waits for answers."""

    def connection_lost(self, connection: ProgramConnection) -> None:
        """Note that the program has gone."""


class ProgramConnection(asyncio.BufferedProtocol):
    """Reads no more than is wanted into `unread`, and never queues more than it has room for.

    asyncio and uvloop set TCP_NODELAY on every connection.
    """

    def __init__(self, listener: ConnectionListener) -> None:
        self.unread = bytearray()
        self._listener = listener
        self.has_ended = False
        self._has_begun = False
        self._first = bytearray()  # what came until it is known that no browser sent it
        self._timer: asyncio.TimerHandle | None = None
        self._buffer = bytearray(READ_BYTES)
        self._transport: asyncio.Transport

    @property
    def room(self) -> int:
        """How many bytes may be sent now; 0 is followed by `connection_writable`."""
        if self._transport.is_closing():
            return WRITE_BYTES
        return max(0, WRITE_BYTES - self._transport.get_write_buffer_size())

    @property
    def peer(self) -> str:
        """The program's address."""
        host, port = self._transport.get_extra_info("peername", ("unknown", 0))[:2]
        return join_host_port(str(host), int(port))

    def send(self, data: bytes) -> None:
        """Send bytes of the device, as many as there is room for."""
        if not self._transport.is_closing():
            self._transport.write(data)
            if self.has_ended:
                self._close_after(NEXT_ANSWER_S)

    def answer(self, data: bytes) -> None:
        """Send what the program asked for; one that asks and never reads is hung up."""
        if self._transport.get_write_buffer_size() > UNANSWERED_BYTES:
            self.abort()
        self.send(data)

    def pause(self) -> None:
        """Let the program wait."""
        if not self.has_ended:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self.has_ended:
            self._transport.resume_reading()

    def wait_for_answers(self) -> None:
        """Stay for what the device answers to a program that sends no more, until it is silent."""
        self._close_after(FIRST_ANSWER_S)

    def has_closed(self) -> bool:
        """Return whether the program, which sends no more, waits for no answer either.

        If the system does not say, only a timeout helps.
        """
        own, peer = (self._transport.get_extra_info(name) for name in ("sockname", "peername"))
        return bool(own and peer and is_closed(own[1], peer[1]))

    def has_left(self) -> bool:
        """Return whether the program has closed its end, though bytes of it may be unread."""
        found = self._transport.get_extra_info("socket")
        if self._transport.is_closing() or found is None:
            return True
        poll = getattr(select, "poll", None)  # not on Windows: there only reading reveals it
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
        self._stop_timer()
        self.unread.clear()
        self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note what to send through."""
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
        if self._has_begun:
            self.unread += self._buffer[:nbytes]
            self._listener.connection_read(self)
            return
        self._first += self._buffer[:nbytes]
        if self._first.startswith(_BROWSER):
            _log.warning("refused a web browser's request")
            self._first.clear()
            self.abort()
        elif not any(each.startswith(self._first) for each in _BROWSER):
            self._begin()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(UNSURE_S, self._begin)

    def eof_received(self) -> bool:
        """Pass on that the program sends no more; the connection stays, if the listener lets it."""
        if not self._has_begun:
            self._begin()
        if not self.has_ended:
            self.has_ended = True
            self._listener.connection_ended(self)
        return True

    def resume_writing(self) -> None:
        """Pass on that there is room."""
        self._listener.connection_writable(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass on that the program has gone."""
        del exc
        self._stop_timer()
        self._listener.connection_lost(self)

    def _begin(self) -> None:
        self._stop_timer()
        self._has_begun = True
        self.unread += self._first
        self._first.clear()
        if self.unread:
            self._listener.connection_read(self)

    def _close_after(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._close_when_done)

    def _close_when_done(self) -> None:
        self._timer = None
        if self.unread:  # the device has not even been given all
            self._close_after(FIRST_ANSWER_S)
        else:
            self._transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def listening_socket(host: str, port: int) -> socket.socket:
    """Listen at a numeric address; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.create_server((host, port), family=family)
    # What the system holds of a program that must wait; connections inherit it.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, READ_BYTES)
    return listening
