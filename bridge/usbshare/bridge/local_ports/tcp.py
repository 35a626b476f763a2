"""The virtual port over TCP, for programs that speak to a machine over the network."""

from __future__ import annotations

import asyncio
import errno
import logging
import os

from usbshare.base.errors import ConfigError
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress
from usbshare.bridge.local_ports.program_connection import (
    READ_BYTES,
    ProgramConnection,
    listening_socket,
)
from usbshare.bridge.local_ports.virtual_port import VirtualPortListener
from usbshare.line.settings import LineEvents, LineSettings, ModemLines

_log = logging.getLogger(__name__)

DEFAULT_PORT = 23


class TcpPort:
    """VirtualPort over a listening socket: bytes only, one program at a time.

    What a program wrote and the system's TCP holds is not seen before it is read; while reading
    is paused, neither is the program's leaving, until another one connects.
    """

    scheme = "tcp"
    answers_who_has_ended = True

    def __init__(self, address: LoopbackAddress) -> None:
        self._address = address
        self._most_bytes = READ_BYTES
        self._is_open = False
        self._is_passing = False
        self._is_starved = False
        self._program: ProgramConnection | None = None
        self._next: ProgramConnection | None = None
        self._server: asyncio.Server | None = None
        self._listener: VirtualPortListener

    @property
    def path(self) -> str:
        """What the program connects to; the real port once started."""
        return f"{self.scheme}://{self._address}"

    def far_end_is(self, host: str, port_id: str) -> None:
        """Do nothing: plain TCP has no description."""

    async def start(self, listener: VirtualPortListener, settings: LineSettings) -> None:
        """Listen; raises ConfigError when the address cannot be had."""
        del settings
        self._listener = listener
        try:
            listening = listening_socket(self._address.host, self._address.port)
        except OSError as error:
            raise ConfigError(why_not(self.path, error)) from error
        self._address = LoopbackAddress(self._address.host, listening.getsockname()[1])
        loop, self._is_open = asyncio.get_running_loop(), True
        self._server = await loop.create_server(lambda: ProgramConnection(self), sock=listening)
        _log.info("virtual port ready: %s", self.path)

    def write(self, data: bytes) -> int:
        """Give the program as many bytes as fit now, return how many; less calls `port_writable`.

        While no program is connected, everything is taken and discarded.
        """
        taken = 0
        while self._program is not None and taken < len(data) and (room := self._program.room):
            part = data[taken : taken + room]
            self._program.send(self._encoded(part))
            taken += len(part)
        if self._program is None:
            return len(data)
        self._is_starved = taken < len(data)
        return taken

    def limit_reading(self, most_bytes: int) -> None:
        """Pass at most so many bytes to each `program_wrote`; 0 makes the program wait."""
        self._most_bytes = most_bytes
        self._pass_on()

    def apply_settings(self, settings: LineSettings) -> None:
        """Do nothing: plain TCP carries no settings."""

    def show_lines(self, lines: ModemLines) -> None:
        """Do nothing: plain TCP carries no modem lines."""

    @property
    def is_left(self) -> bool:
        """Whether the program has closed its connection, though we still wait for it."""
        program = self._program
        return program is not None and program.has_left() and program.has_closed()

    def show_events(self, events: LineEvents) -> None:
        """Do nothing: TCP carries no line events."""

    def hang_up(self) -> None:
        """Close the program's connection, and that of one which waits for its turn; listen on."""
        had_program = self._program is not None
        self._abort_all()
        if had_program:
            _log.info("hung up the program at %s", self.path)
            self._listener.program_closed()

    async def close(self) -> None:
        """Listen no more; a program that is connected is hung up."""
        self._is_open = False
        if self._server is not None:
            self._server.close()
        self._abort_all()

    # What a subclass may do otherwise.

    def _welcome(self, program: ProgramConnection) -> None:
        """Prepare for a program that has just come."""

    def _encoded(self, data: bytes) -> bytes:
        """Return bytes of the device as they travel."""
        return data

    def _pass_one(self, unread: bytearray) -> bool:
        """Take one piece of what was read and report it; False if there is none."""
        data = bytes(unread[: self._most_bytes])
        del unread[: len(data)]
        if data:
            self._listener.program_wrote(data)
        return bool(data)

    # Events of connections.

    @property
    def wanted_bytes(self) -> int:
        """How many bytes shall be read at once, at most."""
        return self._most_bytes

    def connection_made(self, connection: ProgramConnection) -> None:
        """Take the first program; a second one only when the first is just leaving."""
        if self._is_open and self._program is None:
            self._begin(connection)
        elif self._program is not None and self._next is None and self._program.has_left():
            self._next = connection
            self._pass_on()
        else:
            _log.info("refused another program at %s", self.path)
            connection.refuse()

    def connection_read(self, connection: ProgramConnection) -> None:
        """Pass on what the program wrote; the next one waits for its turn."""
        if connection is self._program:
            self._pass_on()
        else:
            connection.pause()

    def connection_writable(self, connection: ProgramConnection) -> None:
        """Pass on that there is room, when somebody waits for it."""
        if connection is self._program and self._is_starved:
            self._is_starved = False
            self._listener.port_writable()

    def connection_ended(self, connection: ProgramConnection) -> None:
        """Let a program that only sends no more have its answers, unless another one waits."""
        waits = self.answers_who_has_ended and not connection.has_closed()
        if waits and connection is self._program and self._next is None:
            connection.wait_for_answers()
        else:
            connection.abort()

    def connection_lost(self, connection: ProgramConnection) -> None:
        """Report a program that left, and let in the one that waits."""
        if connection is self._next:
            self._next = None
        if connection is not self._program:
            return
        self._program, self._is_starved = None, False
        _log.info("program left %s", self.path)
        self._listener.program_closed()
        if self._next is not None:
            following, self._next = self._next, None
            self._begin(following)

    # What is left is this class's own.

    def _abort_all(self) -> None:
        connections = (self._program, self._next)
        self._program, self._next, self._is_starved = None, None, False
        for connection in connections:
            if connection is not None:
                connection.abort()

    def _begin(self, program: ProgramConnection) -> None:
        self._program = program
        _log.info("program connected to %s", self.path)
        self._welcome(program)
        self._listener.program_opened()
        self._pass_on()

    def _pass_on(self) -> None:
        """Deliver what has been read as far as the limit allows, then read on or pause."""
        if self._is_passing:  # a listener changes the limit: the loop below goes by it
            return
        self._is_passing = True
        try:
            while self._program is not None and self._pass_one(self._program.unread):
                pass
        finally:
            self._is_passing = False
        self._regulate()

    def _regulate(self) -> None:
        if self._program is None:
            return
        if self._most_bytes and not self._program.has_ended:
            self._program.resume()
            return
        self._program.pause()
        self._make_room()

    def _make_room(self) -> None:
        """Hang up a program that left: what it left unread must not keep the next one out."""
        if self._next is not None and self._program is not None:
            self._program.abort()


def why_not(path: str, error: OSError) -> str:
    """Return in one line why a socket cannot listen there, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return f"cannot offer {path}: another program listens there: choose another port"
    if error.errno == errno.EACCES:
        return (
            f"cannot offer {path}: this user may not listen at a port that low: choose one from "
            "1024 up"
        )
    return f"cannot offer {path}: {os.strerror(error.errno or 0).lower()}"
