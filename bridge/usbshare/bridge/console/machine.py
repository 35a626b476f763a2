"""One remote port of the console: observed, and in control from the first line to the release."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from usbshare.base.errors import (
    DeviceError,
    NotFoundError,
    PortLatchedError,
    UsbshareError,
)
from usbshare.base.waits import first_of
from usbshare.base.watched_task import cancel_all
from usbshare.bridge.console.audience import Audience
from usbshare.bridge.console.language import REPORT
from usbshare.bridge.console.lines import Kind, Line, Tell
from usbshare.bridge.console.replies import Pending, Replies
from usbshare.bridge.console.resting import POLL_S, Resting
from usbshare.bridge.console.session import Session
from usbshare.bridge.forwarding.virtual_com_port import BridgeChoice
from usbshare.bridge.local_ports.virtual_port import VirtualPort
from usbshare.client.serial import port_condition
from usbshare.client.serial.link_state import LinkLostError
from usbshare.client.serial.messages import RemotePort
from usbshare.line.profiles import RAW
from usbshare.line.typed_line import require_no_realtime

# Silence after which an answer counts as complete that ends with no `ok`.
QUIET_S = 1.0
CLOSE_S = 8.0
# A machine of which nothing was heard since its port was opened, or it was reset, may be booting.
GREETING_S, GREETING_REST_S = 3.0, 0.25
# Homing a large machine takes minutes; so does a line behind a full planner.
ANSWER_S = 3600.0
_NOT_TOLD = {"opened", "closed", "ready", "urgent_line_lost", "urgent_line_ready"}
_BAD = {"hung_up", "not_resumed", "refused", "not_done", "lost", "shut_out", "losing", "stop_bytes"}


@dataclass(slots=True)
class _Line:
    """A line with the machine: `why` says what ended it without an answer."""

    done: asyncio.Event
    heard: asyncio.Event
    why: str = ""

    def end(self, why: str = "") -> None:
        """Note that it is over."""
        self.why = self.why or why
        self.done.set()


@dataclass(slots=True)
class _Ticket:
    """A line that waits for its turn: how often lines were void when it came."""

    voids: int
    is_given_up: bool = False


class Machine:
    """Sends lines one at a time, each answered before the next; used from one event loop."""

    def __init__(
        self, choose: Callable[[bool], BridgeChoice], port_id: str, audience: Audience
    ) -> None:
        self.port_id = port_id
        self.voids = 0
        self._choose = choose
        self._audience = audience
        self._resting = Resting()
        self._replies = Replies(self.tell, self._resting.reported)
        self._session: Session | None = None
        self._users: list[object] = []
        self._changing = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._has_spoken = asyncio.Event()
        self._line: _Line | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    # What conversations call.

    @property
    def session(self) -> Session | None:
        """The session there is."""
        return self._session

    @property
    def remote(self) -> RemotePort:
        """The port as the host last reported it; raises NotFoundError before the first report."""
        if self._session is None or self._session.remote is None:
            raise NotFoundError(
                f"the state of port '{self.port_id}' is unknown: it is not connected"
            )
        return self._session.remote

    @property
    def in_control(self) -> bool:
        """Whether the console holds the port."""
        return self._session is not None and not self._session.observes

    def tell(self, line: Line) -> None:
        """Tell everybody who uses the port."""
        self._audience.tell(self.port_id, line)

    async def observe(self) -> None:
        """Begin to observe, unless there is a session; raises why that cannot be."""
        async with self._changing:
            if self._session is not None or self._is_closed:
                return
            await self._begin(Session(self._choose(True), self))
            self.tell(Line(f"observing port '{self.port_id}'", Kind.NEWS))
            if held := port_condition.sentences(self.remote):
                self.tell(Line(held, Kind.NEWS))

    async def control(self, user: object) -> None:
        """Hold the port for a user until `release`; raises why that cannot be."""
        async with self._changing:
            if not self.in_control:
                await self._take()
            if user not in self._users:
                self._users.append(user)

    async def release(self, user: object) -> bool:
        """Hold the port for that user no longer; returns whether it is held by nobody here."""
        async with self._changing:
            self._users = [each for each in self._users if each is not user]
            if self._users or not self.in_control:
                return not self._users
            await self._leave()
            return True

    async def send(self, text: str, user: object, tell: Tell) -> None:
        """Send a line and return once it is answered; raises UsbshareError where it is not sent.

        Where the caller is cancelled, a line that was sent keeps its turn until its answer came:
        the answer must not be taken for that of the next one.
        """
        ticket = _Ticket(self.voids)
        sending = self._spawn(self._send(text, user, tell, ticket))
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            ticket.is_given_up = True
            raise

    async def report(self, tell: Tell, ask: Callable[[], Awaitable[None]], wait_s: float) -> None:
        """Pass the machine's next report to `tell`; `ask` requests the report.

        DeviceError if none comes in time.
        """
        told = asyncio.Event()

        def heard(line: Line) -> None:
            tell(line)
            told.set()

        self._replies.ask_report(heard)
        try:
            async with asyncio.timeout(wait_s):
                await ask()
                await told.wait()
        except TimeoutError as error:
            raise DeviceError(
                f"no report from port '{self.port_id}' within {wait_s:g} s"
            ) from error
        finally:
            self._replies.forget(heard)

    async def add(self, port: VirtualPort) -> str:
        """Offer the port to programs at a local port; returns its path. Raises LinkLostError."""
        await self.control(port)
        session = self._session
        try:
            if session is None:
                raise LinkLostError("the session ended")
            return await session.port.add(port)
        except BaseException:
            await self.release(port)
            raise

    def paths(self) -> list[str]:
        """Return the local ports at which programs find this port."""
        return [] if self._session is None else self._session.port.paths

    @property
    def served_path(self) -> str:
        """The local port whose program is served; empty while there is none."""
        return "" if self._session is None else self._session.port.served_path

    @property
    def used_by(self) -> str:
        """What keeps the port, for people."""
        others = len(self._users) - len(self.paths())
        talks = f"{others} other conversation{'' if others == 1 else 's'}" if others else ""
        return ", ".join(filter(None, (talks, *self.paths())))

    async def remove(self, path: str) -> bool:
        """Close a local port; False where there is none of that path."""
        port = None if self._session is None else await self._session.port.remove(path)
        if port is None:
            return False
        await self.release(port)
        return True

    def void(self, why: str) -> None:
        """Give up the line that is with the machine, and those that wait for their turn."""
        self.voids += 1
        if self._line is not None:
            self._line.end(why)

    async def close(self) -> None:
        """End the session."""
        self._is_closed = True
        self.void("the console is closing")
        await cancel_all(*self._tasks)
        # A release that has begun says goodbye to the end: else the host takes the link for lost.
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S), self._changing:
                pass
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # What the session tells.

    def session_said(self, session: Session, data: bytes) -> None:
        """Take bytes of the device; while one session follows another both bring the same."""
        self._has_spoken.set()
        if session is self._session:
            if self._line is not None:
                self._line.heard.set()
            self._replies.feed(data)

    def session_hung_up(self, session: Session) -> None:
        """Void what was written: a stop, a reset or a loss has ended it."""
        if session is self._session:
            self._has_spoken.clear()  # it boots after a reset, and after it was unplugged
            remote = session.remote
            why = "it was hung up" if remote is None else port_condition.why_fenced(remote)
            self._void_all(why)

    def session_event(self, session: Session, name: str, text: str) -> None:
        """Tell news, and void what a lost link or a refusal has ended."""
        if session is not self._session or name in _NOT_TOLD:
            return
        if name == "hung_up" and self.remote.latched:  # which is told by itself
            return
        if name == "refused" and self._line is not None:
            self.void(text)
            return
        if name in ("lost", "shut_out"):
            self.voids += 1
            self._audience.discard(self.port_id, "the link was lost")
        if name in ("connected", "not_resumed"):
            self._void_all("the session was lost, and it is unknown what was carried out")
        text = text.replace("end this bridge (Ctrl-C)", "`release`")
        self.tell(Line(text, Kind.PROBLEM if name in _BAD else Kind.NEWS))

    def session_ended(self, session: Session, why: BaseException | None) -> None:
        """Observe again after a session that was taken away; what it offered is gone."""
        if session is not self._session or self._is_closed:
            return
        self._session = None
        self._void_all("the session ended")
        self._users.clear()
        self.tell(Line(f"port '{self.port_id}': {why or 'the session ended'}", Kind.PROBLEM))
        if not session.observes:
            self._spawn(self._observe_quietly())

    # Helpers.

    async def _take(self) -> None:
        """Take control, while the observing session goes on until it is had."""
        if self._is_closed:
            raise LinkLostError("the console is closing")
        before = self._session
        await self._begin(Session(self._choose(False), self))
        self.tell(Line(f"in control of port '{self.port_id}'; `release` gives it back", Kind.NEWS))
        if before is not None:
            self._spawn(before.close())
        if self._session is not None:
            self._spawn(self._ask_until_at_rest(self._session))

    async def _begin(self, session: Session) -> None:
        """Make a session the one there is, once it is established; raises why it is not."""
        try:
            await session.until_ready()
        except BaseException:
            await session.close()
            raise
        self._session = session

    async def _leave(self) -> None:
        self.void("the port was released")
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        self.tell(Line(f"released port '{self.port_id}'", Kind.NEWS))
        if not self._is_closed:
            self._spawn(self._observe_quietly())

    async def _send(self, text: str, user: object, tell: Tell, ticket: _Ticket) -> None:
        async with self._turn:
            self._require_valid(ticket)
            await self.control(user)
            await self._until_greeted()
            self._require_valid(ticket)
            await self._exchange(text, tell)

    async def _until_greeted(self) -> None:
        """Let a machine boot that opening its port may have reset: it would lose the line."""
        if self._has_spoken.is_set() or self.remote.profile.name == RAW.name:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(GREETING_S):
                await self._has_spoken.wait()
                await asyncio.sleep(GREETING_REST_S)
        self._has_spoken.set()  # it greeted before we heard, or does not greet

    async def _exchange(self, text: str, tell: Tell) -> None:
        session = self._session
        if session is None or not session.is_connected:
            raise LinkLostError(f"the link to port '{self.port_id}' is down: the line is not sent")
        if self.remote.latched:
            raise PortLatchedError(port_condition.sentences(self.remote))
        require_no_realtime(self.remote.profile, text)
        session.port.begin_line()
        self._resting.sent()
        line = self._line = _Line(asyncio.Event(), asyncio.Event())
        pending = Pending(tell, line.end)
        self._replies.begin(pending)
        try:
            session.port.write_line(text.encode() + b"\n")
            await self._until_answered(line, pending)
        finally:
            self._line = None
            self._replies.end()
            session.port.end_line()
        if line.why:
            raise DeviceError(f"{text!r} was not answered: {line.why}")

    async def _ask_until_at_rest(self, session: Session) -> None:
        """Ask for reports between lines, shown to nobody, until the host knows that it rests."""
        while session is self._session:
            await asyncio.sleep(POLL_S)
            is_free = self._line is None and not session.port.served_path
            wants = session.is_connected and not self._resting.is_known
            if is_free and wants and self.remote.profile.is_realtime(REPORT):
                session.port.write_line(REPORT)

    async def _until_answered(self, line: _Line, pending: Pending) -> None:
        """Wait for the end of the answer, or a silence where no firmware sends an `ok`."""
        speaks = self.remote.profile.speaks_gcode
        for _ in itertools.count():
            line.heard.clear()
            waits_for_ok = speaks and not pending.is_alarmed
            try:
                async with asyncio.timeout(ANSWER_S if waits_for_ok else QUIET_S):
                    await first_of(line.done, line.heard)
            except TimeoutError:
                if waits_for_ok:
                    line.why = f"no answer within {ANSWER_S:g} s"
                return
            if line.done.is_set():
                return

    def _require_valid(self, ticket: _Ticket) -> None:
        if ticket.is_given_up or ticket.voids != self.voids:
            raise DeviceError(
                "the line was discarded: it was waiting when a stop came or the link was lost"
            )

    def _void_all(self, why: str) -> None:
        self.void(why)
        self._audience.discard(self.port_id, why)

    async def _observe_quietly(self) -> None:
        try:
            await self.observe()
        except (UsbshareError, LinkLostError) as error:
            self.tell(Line(f"port '{self.port_id}' is not observed: {error}", Kind.PROBLEM))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="console machine")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # who waits for it is told; nobody may wait any more
