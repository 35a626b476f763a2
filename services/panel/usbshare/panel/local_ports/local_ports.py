"""The local ports of this computer that the panel has started."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from usbshare.base.errors import (
    ConfigError,
    InvalidArgumentError,
    NotFoundError,
    UsbshareError,
    WrongStateError,
)
from usbshare.base.file_lock import file_lock
from usbshare.base.os_errors import in_words
from usbshare.base.paths import make_private
from usbshare.base.threads import in_thread
from usbshare.base.watched_task import cancel_all, in_background
from usbshare.panel.board import LOCAL_PORTS, Board
from usbshare.panel.local_ports.bridge_process import BridgeProcess, Launcher
from usbshare.panel.local_ports.wish import KEPT_WISHES, PortKind, PortState, Wish

log = logging.getLogger(__name__)

MOST_PORTS = 32
LOOK_S = 0.25
READY_S = 20.0
OWNER = "panel.lock"
END_S = 8.0
_FIRST_COM = 10

# Makes the command line of a bridge; `waits` for a host that is not up yet.
Command = Callable[[Wish, bool], Sequence[str]]


@dataclass(frozen=True, slots=True)
class PortView:
    """A local port as pages show it."""

    wish: Wish
    state: PortState
    reason: str
    place: str
    is_open: bool


Pack = Callable[[PortView], str]


class LocalPorts:
    """Starts and ends bridges, one a local port; `folder` has their files."""

    def __init__(
        self, board: Board, pack: Pack, command: Command, launcher: Launcher, folder: Path
    ) -> None:
        self._board = board
        self._pack = pack
        self._command = command
        self._launcher = launcher
        self._folder = folder
        self._ports: dict[str, tuple[Wish, BridgeProcess]] = {}
        self._changed = asyncio.Event()
        self._changing = asyncio.Lock()
        self._looking: asyncio.Task[None] | None = None
        self._owns = ExitStack()
        self._owner = ""

    async def start(self) -> None:
        """Take over what still runs, and start again what is kept; only one panel of a user does.

        Another one goes without local ports.
        """
        try:
            await in_thread(self._own)
        except (ConfigError, OSError) as error:
            self._owner = f"another panel of this user runs the local ports ({error})"
            log.info("%s", self._owner)
            return
        for wish in (await in_thread(KEPT_WISHES.load, self._folder))[:MOST_PORTS]:
            process = BridgeProcess(self._folder, wish.id, self._launcher)
            if not await in_thread(process.find) and wish.is_kept:
                await self._launch(process, wish, waits=True)
            elif not await in_thread(process.find):
                await in_thread(process.forget)
                continue
            self._ports[wish.id] = (wish, process)
        await self._look()
        self._looking = in_background(self._watch(), "local ports")

    async def close(self) -> None:
        """End those that are not kept; where the system does not let the others live, all."""
        await cancel_all(self._looking)
        try:
            await self._end_all()
        finally:
            self._owns.close()

    async def _end_all(self) -> None:
        ending = [
            process
            for wish, process in self._ports.values()
            if not (wish.is_kept and self._launcher.outlives)
        ]
        await asyncio.gather(*(self._end(process) for process in ending))
        if self._ports:
            await self._note()

    async def add(self, wish: Wish) -> PortView:
        """Start a local port; returns it once programs can open it. Raises UsbshareError."""
        if self._owner:
            raise WrongStateError(f"{self._owner}: start it there")
        async with self._changing:
            if len(self._ports) >= MOST_PORTS:
                raise InvalidArgumentError(f"there are {MOST_PORTS} local ports: end one first")
            wish = self._completed(wish)
            process = BridgeProcess(self._folder, wish.id, self._launcher)
            await self._launch(process, wish, waits=False)
            self._ports[wish.id] = (wish, process)
            await self._note()
        await self._until_settled(process)
        view = self._view(wish.id)
        if view.state is PortState.FAILED:
            await self.remove(wish.id)
            raise UsbshareError(view.reason)
        return view

    async def remove(self, id_: str) -> None:
        """End a local port."""
        async with self._changing:
            _, process = self._get(id_)
            await self._end(process)
            await in_thread(process.forget)
            del self._ports[id_]
            await self._note()
        self._board.remove(LOCAL_PORTS, (id_,), json.dumps(id_))

    async def keep(self, id_: str, *, is_kept: bool) -> None:
        """Set whether a local port outlives the panel."""
        async with self._changing:
            wish, process = self._get(id_)
            self._ports[id_] = (replace(wish, is_kept=is_kept), process)
            await self._note()
        self._show(id_)

    def _own(self) -> None:
        """Be the only panel that has the folder; blocks."""
        make_private(self._folder)
        self._owns.enter_context(file_lock(self._folder / OWNER, timeout_s=0.0))

    def _completed(self, wish: Wish) -> Wish:
        where = wish.where
        if not where and wish.kind is PortKind.SERIAL:
            taken = {each.where for each, _ in self._ports.values()}
            names = (f"COM{number}" for number in itertools.count(_FIRST_COM))
            where = next(name for name in names if name not in taken)
        return replace(wish, id=secrets.token_hex(4), where=where, unix_s=time.time())

    async def _launch(self, process: BridgeProcess, wish: Wish, *, waits: bool) -> None:
        try:
            await in_thread(process.start, self._command(wish, waits))
        except OSError as error:
            raise UsbshareError(f"cannot start a bridge: {in_words(error)}") from error

    async def _until_settled(self, process: BridgeProcess) -> None:
        """Wait until a bridge is ready or has ended; a slow one goes on beside."""
        clock = asyncio.get_running_loop().time
        end = clock() + READY_S
        while process.news.state is PortState.STARTING and clock() < end:
            self._changed.clear()
            await self._changed.wait()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        for id_, (_, process) in list(self._ports.items()):
            await in_thread(process.look)
            self._show(id_)
        self._changed.set()

    async def _end(self, process: BridgeProcess) -> None:
        """End a bridge: it says goodbye to its host, or is killed after some seconds."""
        process.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                while True:
                    if not await in_thread(process.look):
                        return
                    await asyncio.sleep(LOOK_S / 5)
        process.kill()

    async def _note(self) -> None:
        wishes = [wish for wish, _ in self._ports.values()]
        try:
            await in_thread(KEPT_WISHES.save, self._folder, wishes)
        except OSError as error:
            log.warning("the local ports cannot be saved for the next start: %s", in_words(error))

    def _get(self, id_: str) -> tuple[Wish, BridgeProcess]:
        if (found := self._ports.get(id_)) is None:
            raise NotFoundError(f"local port {id_!r} no longer exists")
        return found

    def _view(self, id_: str) -> PortView:
        wish, process = self._get(id_)
        news = process.news
        return PortView(wish, news.state, news.reason, news.place, news.is_open)

    def _show(self, id_: str) -> None:
        if id_ in self._ports:
            self._board.put(LOCAL_PORTS, (id_,), self._pack(self._view(id_)))
