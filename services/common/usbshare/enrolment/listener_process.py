"""Runs the listener for newcomers as a separate process: unknown callers share none with a stop."""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime

from usbshare.base.errors import ConfigError
from usbshare.base.file_lock import file_lock
from usbshare.base.file_watch import FileWatch
from usbshare.base.threads import in_thread
from usbshare.base.usual_ports import ENROLMENT_PORT
from usbshare.enrolment.invitation_maker import listener_lock
from usbshare.enrolment.listener_options import ListenerOptions
from usbshare.rpc.server import free_places
from usbshare.trust.invitation_deadline import InvitationDeadline
from usbshare.trust.invitations import invitations_path

_log = logging.getLogger(__name__)

MODULE = "usbshare.enrolment.listener_main"
POLL_S = 0.25
QUIET_POLL_S = 10.0
LONGEST_PAUSE_S = 5.0
# The pause after a process that failed, before the next one is started.
FAILED_PAUSE_S = 30.0
END_TIMEOUT_S = 3.0


class ListenerProcess:
    """Runs the process while an invitation is open; it ends automatically with the last one.

    Only one service of a host runs it, and another takes over when that one ends. It ends with its
    standard input, and so with this process in every case.
    """

    def __init__(self, options: ListenerOptions, now: Callable[[], datetime]) -> None:
        self._options = options
        site = options.site
        self._open = InvitationDeadline(invitations_path(site.folder), now)
        self._lock = listener_lock(site)
        self._turn: ExitStack | None = None
        self._process: Process | None = None
        self._trouble = ""
        self._pause_s = POLL_S
        self._next_try_at = 0.0

    @property
    def pid(self) -> int | None:
        """The number of the process, None while there is none."""
        return self._process.pid if self._process is not None else None

    async def run(self, watch: FileWatch) -> None:
        """Keep the process running while an invitation is open, until cancelled."""
        file = watch.follow((self._open.path,))
        try:
            while True:
                try:
                    await self._look()
                except Exception as error:  # a job may be running here
                    self._say(f"{type(error).__name__}: {error}")
                await file.changed(POLL_S if self._is_wanted else QUIET_POLL_S)
        finally:
            watch.unfollow(file)
            await self._end()

    @property
    def _is_wanted(self) -> bool:
        return self._process is not None or self._open.until is not None

    async def _look(self) -> None:
        if await in_thread(self._open.read):
            self._next_try_at = 0.0
            self._say(self._open.trouble)
        if self._process is not None and self._process.returncode is not None:
            self._has_ended(self._process.returncode)
        if self._open.until is None:
            self._pause_s, self._next_try_at = POLL_S, 0.0
        elif self._process is None and asyncio.get_running_loop().time() >= self._next_try_at:
            await self._try_to_start()

    async def _try_to_start(self) -> None:
        try:
            self._turn = await in_thread(self._take_turn)
        except (ConfigError, OSError) as error:
            # Normal if another service of this host was quicker.
            _log.debug("enrolment is not open here: %s", error)
            self._try_again_after(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            return
        self._pause_s = POLL_S
        # -P: never import from the folder that the service happens to be in.
        command = [sys.executable, "-P", "-m", MODULE, self._options.encode()]
        self._process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stderr=_stderr())

    def _take_turn(self) -> ExitStack:
        """Hold the lock of the service that listens; ConfigError if another service has it."""
        with ExitStack() as turn:
            turn.enter_context(file_lock(self._lock, 0.0))
            free_places(self._options.listen, ENROLMENT_PORT)
            return turn.pop_all()

    def _has_ended(self, code: int) -> None:
        self._process = None
        self._release_turn()
        if code:
            self._say(f"its process ended with code {code}")
            self._try_again_after(FAILED_PAUSE_S)

    def _try_again_after(self, pause_s: float) -> None:
        self._next_try_at = asyncio.get_running_loop().time() + pause_s

    def _release_turn(self) -> None:
        if self._turn is not None:
            self._turn.close()
            self._turn = None

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            await _end(process)
        self._release_turn()

    def _say(self, trouble: str) -> None:
        if trouble and trouble != self._trouble:
            _log.warning("cannot open enrolment: %s", trouble)
        self._trouble = trouble


async def _end(process: Process) -> None:
    """Close its standard input; kill it if it does not end in time."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(END_TIMEOUT_S):
                await process.wait()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()


def _stderr() -> int | None:
    """Return the real stderr, which the service may have taken file descriptor 2 from."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, io.UnsupportedOperation, ValueError):
        return None
