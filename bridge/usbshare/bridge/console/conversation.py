"""One asker of the console: its lines in turn, stops before them, its own port and answers."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import Protocol

from usbshare.base.errors import PermissionDeniedError, UsbshareError
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.console.host import Host
from usbshare.bridge.console.language import MachineLine, Realtime, Spoken, meaning
from usbshare.bridge.console.lines import Kind, Line, problem
from usbshare.bridge.console.table import Call, Table, When
from usbshare.client.serial.link_state import LinkLostError

log = logging.getLogger(__name__)

MOST_WAITING = 64
# Lines that are read although others wait, so that a stop behind them is seen and overtakes them.
MOST_READ_AHEAD = 8192
# Lines are refused until none came for so long, after too many at once.
QUIET_S = 1.0
MOST_AT_ONCE = 8
MOST_URGENT = 64
RELEASE_S = 8.0

_Taken = Spoken | UsbshareError


class Face(Protocol):
    """Where a conversation is held.

    `most_waiting`: how many lines may wait. Where the face holds back what has no room, a stop
    behind it waits too: such a face lets many wait.
    """

    name: str
    is_person: bool
    most_waiting: int

    def tell(self, line: Line) -> None:
        """Show an answer; never waits."""

    def hear(self, line: Line) -> None:
        """Show what nobody asked for; never waits."""

    def prompt(self) -> None:
        """Show that the next line may come."""

    async def room(self) -> None:
        """Wait until what was shown has been taken."""

    def leave(self) -> None:
        """End the conversation."""


class Conversation:
    """Takes lines as they are typed. What stops or is real-time overtakes; the rest is in turn.

    A stop, a loss or an overflow discards what waits.
    """

    def __init__(self, face: Face, host: Host, table: Table) -> None:
        self.name = face.name
        self.failures = 0
        self._face = face
        self._host = host
        self._table = table
        self._port_id = host.usual_port
        self._waiting: deque[Turn] = deque()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._done = asyncio.Event()
        self._refuses_until = 0.0
        self._at_once: set[asyncio.Task[None]] = set()
        self._worker = asyncio.create_task(self._work(), name=f"console {self.name}")

    # What the face calls.

    @property
    def has_room(self) -> bool:
        """Whether another line may come; a line without room makes all that waits void."""
        return len(self._waiting) < self._face.most_waiting

    @property
    def prompt(self) -> str:
        """What to show before the next line."""
        return f"{self._port_id or 'usbshare'}> "

    def take(self, text: str) -> None:
        """Take a line; never waits."""
        spoken: _Taken | None
        try:
            spoken = meaning(text, self._table)
            self._require_allowed(spoken)
        except UsbshareError as error:
            spoken = error
        if spoken is None:
            self._face.prompt()
            return
        # A stop behind `use` is for that port, though what waits before it is for the other.
        if isinstance(spoken, Call) and spoken.command.name == "use":
            self._port_id = next(
                (each for each in self._host.ports if each == spoken.arguments[0]), self._port_id
            )
        turn = Turn(self, self._port_id, spoken)
        if self._overtakes(spoken):
            self._begin(turn)
        else:
            self._queue(turn)

    async def next_done(self) -> None:
        """Wait until one of the lines that wait is done."""
        self._done.clear()
        await self._done.wait()

    async def finish(self) -> None:
        """Wait until all that was typed is done."""
        await self._idle.wait()
        if self._at_once:
            await asyncio.wait(set(self._at_once))

    async def close(self) -> None:
        """End: what waits is void, and the port is released."""
        self._host.audience.part(self)
        self._waiting.clear()
        await cancel_all(self._worker, *self._at_once)
        # Not cancelled where it takes long: a session must not be left half closed.
        releasing = asyncio.create_task(self._host.release(self), name="console release")
        await asyncio.wait((releasing,), timeout=RELEASE_S)

    # What commands and the host call.

    @property
    def chosen_port(self) -> str:
        """The port in use, empty where none is chosen."""
        return self._port_id

    def use(self, port_id: str) -> None:
        """Use another port from now on."""
        self._port_id = port_id

    def tell(self, line: Line) -> None:
        """Show a line."""
        if line.kind is Kind.PROBLEM:
            self.failures += 1
        self._face.tell(line)

    def hear(self, line: Line) -> None:
        """Show what nobody asked for."""
        self._face.hear(line)

    def leave(self) -> None:
        """End the conversation."""
        self._face.leave()

    def discard(self, port_id: str, why: str) -> None:
        """Make the lines void that wait for their turn at the port."""
        kept = deque(
            each
            for each in self._waiting
            if each.chosen_port != port_id or not isinstance(each.taken, MachineLine)
        )
        if void := len(self._waiting) - len(kept):
            self._waiting = kept
            plural = "" if void == 1 else "s"
            self._fail(f"{void} line{plural} discarded, not sent: {why}")

    # Helpers.

    def _require_allowed(self, spoken: Spoken | None) -> None:
        if isinstance(spoken, Call):
            if spoken.command.by_person and not self._face.is_person:
                raise PermissionDeniedError(
                    f"`{spoken.command.name}` is only for a person at the prompt"
                )
            spoken.command.require_count(spoken.arguments)

    def _overtakes(self, spoken: _Taken) -> bool:
        if isinstance(spoken, Realtime):
            return True
        if isinstance(spoken, UsbshareError):
            return self._face.is_person
        if isinstance(spoken, MachineLine):
            return False
        when = spoken.command.when
        return when is When.AT_ONCE or (when is When.ANYTIME and self._face.is_person)

    def _queue(self, turn: Turn) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._refuses_until or not self.has_room:
            self._refuse(turn, is_first=now >= self._refuses_until)
            self._refuses_until = now + QUIET_S
            return
        if isinstance(turn.taken, MachineLine) and not self._host.has_link(turn.chosen_port):
            self._fail("not sent: the link to the host is down")
            self._face.prompt()
            return
        self._waiting.append(turn)
        self._idle.clear()
        self._news.set()

    def _refuse(self, turn: Turn, *, is_first: bool) -> None:
        """Refuse what comes too fast: a program with a hole in it is worse than none."""
        if is_first:
            many = f"more than {self._face.most_waiting} lines wait"
            self.discard(turn.chosen_port, many)
            self._fail(f"{many}: no line is accepted for {QUIET_S:g} s")
            self._face.prompt()

    def _begin(self, turn: Turn) -> None:
        spoken = turn.taken
        is_urgent = isinstance(spoken, Realtime) or (
            isinstance(spoken, Call) and spoken.command.when is When.AT_ONCE
        )
        if len(self._at_once) >= (MOST_URGENT if is_urgent else MOST_AT_ONCE):
            self._fail("too many commands at once: not carried out")
            self._face.prompt()
            return
        task = asyncio.create_task(self._do(turn), name=f"console {self.name} at once")
        self._at_once.add(task)
        task.add_done_callback(self._at_once.discard)

    async def _work(self) -> None:
        while True:
            self._news.clear()
            while self._waiting:
                await self._do(self._waiting.popleft())
                await self._face.room()
                self._done.set()
            self._idle.set()
            await self._news.wait()

    async def _do(self, turn: Turn) -> None:
        try:
            await self._answer(turn)
        except (UsbshareError, LinkLostError) as error:
            self._fail(error)
        except Exception as error:
            log.exception("the console failed at %r", turn.taken)
            self._fail(f"an internal error of usbshare: {error!r}")
        self._face.prompt()

    async def _answer(self, turn: Turn) -> None:
        match turn.taken:
            case MachineLine(text):
                await self._host.machine(turn.port_id).send(text, self, self.tell)
            case Realtime(data):
                await self._host.realtime(turn.port_id, data, self.tell)
            case Call(command, arguments):
                for line in await command.run(turn, arguments):
                    self.tell(line)
            case error:
                raise error

    def require_port(self, port_id: str) -> str:
        """Return a port that was chosen; NotFoundError where none was."""
        return self._host.require_port(port_id)

    def _fail(self, error: object) -> None:
        self.tell(problem(error))


class Turn:
    """What was typed, or why it means nothing, and for which port: the Asker of its command."""

    def __init__(self, conversation: Conversation, port_id: str, taken: _Taken) -> None:
        self.name = conversation.name
        self.holder = conversation
        self.chosen_port = port_id
        self.taken = taken
        self.tell = conversation.tell
        self.use = conversation.use
        self.leave = conversation.leave

    @property
    def port_id(self) -> str:
        """The port that was in use; NotFoundError where none was chosen."""
        return self.holder.require_port(self.chosen_port)
