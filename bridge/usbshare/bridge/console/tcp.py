"""The console over TCP, for telnet and for programs: several at once, each with its own answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from usbshare.base.errors import ConfigError
from usbshare.base.waits import set_within
from usbshare.bridge.console.conversation import MOST_READ_AHEAD, Conversation, Face
from usbshare.bridge.console.language import MOST_LINE_BYTES, REALTIME
from usbshare.bridge.console.lines import Kind, Line
from usbshare.bridge.local_ports.loopback_address import LoopbackAddress
from usbshare.bridge.local_ports.program_connection import (
    READ_BYTES,
    ProgramConnection,
    listening_socket,
)
from usbshare.bridge.local_ports.tcp import why_not
from usbshare.bridge.local_ports.telnet import Command, TelnetError, take_item

log = logging.getLogger(__name__)

DEFAULT_PORT = 2323
MOST_PROGRAMS = 8
# A program that reads nothing of a full buffer for so long is hung up.
UNREAD_S = 60.0
_IAC, _WILL, _WONT, _DO, _DONT = 0xFF, 0xFB, 0xFC, 0xFD, 0xFE
_REFUSALS = {_WILL: _DONT, _DO: _WONT}

Begin = Callable[[Face], Conversation]


class ConsoleServer:
    """Listens; `begin` makes a conversation for each program. `dropped` counts lines not read."""

    def __init__(self, address: LoopbackAddress, begin: Begin) -> None:
        self.dropped = 0
        self._address = address
        self._begin = begin
        self._talks: set[_Talk] = set()
        self._server: asyncio.Server | None = None

    @property
    def path(self) -> str:
        """Where it listens; the real port once started."""
        return f"tcp://{self._address}"

    async def start(self) -> None:
        """Listen; raises ConfigError when the address cannot be had."""
        try:
            listening = listening_socket(self._address.host, self._address.port)
        except OSError as error:
            raise ConfigError(why_not(self.path, error)) from error
        self._address = LoopbackAddress(self._address.host, listening.getsockname()[1])
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: ProgramConnection(_Talk(self)), sock=listening
        )

    async def close(self) -> None:
        """Listen no more and hang up."""
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*(talk.close() for talk in list(self._talks)))

    def admit(self, talk: _Talk) -> Conversation | None:
        """Begin a conversation; None where there are too many."""
        if len(self._talks) >= MOST_PROGRAMS:
            return None
        self._talks.add(talk)
        return self._begin(talk)

    def part(self, talk: _Talk, dropped: int) -> None:
        """Note that one ended, and how many lines it did not read."""
        self.dropped += dropped
        if talk in self._talks and dropped:
            log.warning("%s did not read %d lines in time", talk.name, dropped)
        self._talks.discard(talk)


class _Talk:
    """One program: its bytes become lines, telnet's commands are answered and left out."""

    is_person = False
    most_waiting = MOST_READ_AHEAD
    wanted_bytes = READ_BYTES

    def __init__(self, server: ConsoleServer) -> None:
        self.name = "tcp"
        self._server = server
        self._line = bytearray()
        self._skips = False
        self._at_prompt = False
        self._dropped = self._untold = 0
        self._writable = asyncio.Event()
        self._conversation: Conversation | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._connection: ProgramConnection

    # What the conversation calls.

    def tell(self, line: Line) -> None:
        """Send a line; dropped and counted while the program does not read."""
        data = f"{line.text}\r\n".encode()
        if self._connection.room < len(data):
            self._dropped += 1
            self._untold += 1
            self._writable.clear()
            return
        self._connection.send(b"\r\n" + data if self._at_prompt else data)
        self._at_prompt = False

    def hear(self, line: Line) -> None:
        """Send a line that nobody asked for, and the prompt again."""
        was_at_prompt = self._at_prompt
        self.tell(line)
        if was_at_prompt:
            self.prompt()

    def prompt(self) -> None:
        """Show that the next line may come."""
        if self._conversation is not None and not self._at_prompt and self._connection.room:
            self._connection.send(self._conversation.prompt.encode())
            self._at_prompt = True

    async def room(self) -> None:
        """Read on, and wait until the program has read, or hang it up."""
        if self._untold:
            if not await set_within(self._writable, UNREAD_S):
                self._connection.abort()
                return
            count, self._untold = self._untold, 0
            self.tell(Line(f"{count} lines dropped: not read in time", Kind.PROBLEM))
        self._pass_on()

    def leave(self) -> None:
        """Hang up."""
        self._connection.refuse()

    async def close(self) -> None:
        """End the conversation and hang up."""
        if self._finishing is not None:
            self._finishing.cancel()
        self._connection.refuse()
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            self._server.part(self, self._dropped)
            await conversation.close()

    # What the connection tells.

    def connection_made(self, connection: ProgramConnection) -> None:
        """Greet a program, or refuse one too many."""
        self._connection = connection
        self.name = f"tcp {connection.peer}"
        self._conversation = self._server.admit(self)
        if self._conversation is None:
            connection.send(f"busy: {MOST_PROGRAMS} programs are connected\r\n".encode())
            connection.refuse()
            return
        self.prompt()

    def connection_read(self, connection: ProgramConnection) -> None:
        """Take what the program wrote, as far as there is room."""
        del connection
        self._pass_on()

    def connection_writable(self, connection: ProgramConnection) -> None:
        """Note that the program has read."""
        del connection
        self._writable.set()

    def connection_ended(self, connection: ProgramConnection) -> None:
        """Answer all that a program asked which sends no more."""
        self._pass_on()
        if self._line:
            self._typed(bytes(self._line))
        self._finishing = asyncio.create_task(self._finish(connection), name="console finish")

    def connection_lost(self, connection: ProgramConnection) -> None:
        """End the conversation."""
        del connection
        self._writable.set()
        self._closing = asyncio.create_task(self.close(), name="console close")

    # What is left is this class's own.

    async def _finish(self, connection: ProgramConnection) -> None:
        if self._conversation is not None:
            await self._conversation.finish()
        connection.refuse()

    def _pass_on(self) -> None:
        unread = self._connection.unread
        try:
            while self._conversation is not None and self._conversation.has_room:
                if (item := take_item(unread, MOST_LINE_BYTES)) is None:
                    break
                if isinstance(item, Command):
                    self._answer(item)
                else:
                    self._read(item)
        except TelnetError as error:
            log.warning("hung up %s: %s", self.name, error)
            self._connection.abort()
            return
        if len(unread) >= READ_BYTES:
            self._connection.pause()
        else:
            self._connection.resume()

    def _answer(self, command: Command) -> None:
        """Refuse an option of telnet: lines are all that is spoken here."""
        if command.raw[1] in _REFUSALS:
            refusal = bytes([_IAC, _REFUSALS[command.raw[1]], command.raw[2]])
            self._connection.answer(refusal)

    def _read(self, data: bytes) -> None:
        self._line += data.replace(b"\r\n", b"\n").replace(b"\r\0", b"\n").replace(b"\r", b"\n")
        while (end := self._line.find(b"\n")) >= 0:
            line = bytes(self._line[:end])
            del self._line[: end + 1]
            if not self._skips:
                self._typed(line)
            self._skips = False
        if self._line.decode("latin-1") in REALTIME:  # as senders do: it needs no line end
            self._typed(bytes(self._line))
            self._line.clear()
        elif len(self._line) > MOST_LINE_BYTES and not self._skips:
            self._typed(bytes(self._line))
            self._skips = True
        if self._skips:
            self._line.clear()

    def _typed(self, line: bytes) -> None:
        self._at_prompt = False
        if self._conversation is not None:
            self._conversation.take(line.decode("latin-1"))
