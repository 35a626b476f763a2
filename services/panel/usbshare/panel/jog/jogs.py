"""Jogs under a finger, one a machine: pieces go out while the lease lasts, then a jog cancel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from usbshare.base.errors import SessionLostError, UsbshareError, WrongStateError
from usbshare.base.waits import set_within
from usbshare.line.machine_report import MachineReport
from usbshare.panel.jog.lease import Lease
from usbshare.panel.jog.path import Direction, Path
from usbshare.panel.machines import condition
from usbshare.panel.machines.control import Control
from usbshare.panel.machines.exchange import Reply
from usbshare.panel.machines.gcode import BEAM_OFF, JOG_CANCEL
from usbshare.panel.machines.machine_view import require_jogs
from usbshare.panel.machines.rest import until_idle

log = logging.getLogger(__name__)

# A late report is requested again.
REPORT_S = 0.1
# A jogging machine may be jogged; a stopping one is idle soon.
IDLE_S = 3.0
_MM_PER_INCH = 25.4
# GRBL's $13, and $110 to $112.
_IN_INCHES, _MAX_RATES = 13, (110, 111, 112)
_REPORT = b"?"
RELEASED = "released"
_FAILED = "the jog has failed: the panel's log says how"

Cancel = Callable[[], Awaitable[None]]


@dataclass(eq=False)
class Jog:
    """One press of a finger, from its first request to the machine's rest.

    `cancel` writes a jog cancel over the connection that is kept open for stops, where the session
    cannot.
    """

    control: Control
    lease: Lease
    direction: Direction
    cancel: Cancel
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _reply: asyncio.Future[Reply] | None = None
    _asked_at: float = 0.0
    _has_begun: bool = False

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._clock = loop.time
        self._asked_for = self.direction
        self._path = Path(self.direction)
        self.first_piece: asyncio.Future[None] = loop.create_future()

    def renew(self, direction: Direction, made_at: float) -> None:
        """Renew the lease, perhaps in a new direction; `made_at` is loop time.

        WrongStateError after the end.
        """
        if not self.lease.renew(self._clock(), made_at):
            raise WrongStateError(f"the jog has ended: {self.lease.why_ended}")
        self.direction = direction

    def end(self, why: str) -> None:
        """End it at once: the cancel goes out before this returns, where there is a session."""
        if self.lease.is_over:
            return
        self.lease.end(why)
        self._cancel_now()
        self._news.set()

    async def run(self) -> None:
        """Move while the lease lasts; returns once the machine has no pieces left.

        Raises WrongStateError.
        """
        with self.control.use.going_on():
            await self._run()

    async def _run(self) -> None:
        control = self.control
        try:
            await control.take(is_kept=False)
            require_jogs(control.its_port, control.settings)
            condition.require_released(control.its_port)
            if control.exchange.is_waiting:
                raise WrongStateError("the machine has not replied to the previous line")
            self._has_begun = True
            await self._begin_at_rest()
            await self._beam_off()
            with suppress(SessionLostError):
                await self._move()
        except BaseException as error:
            self.lease.end(str(error) if isinstance(error, UsbshareError) else _FAILED)
            if not self.first_piece.done() and isinstance(error, UsbshareError):
                self.first_piece.set_exception(error)
            raise
        finally:
            if not self.first_piece.done():
                self.first_piece.cancel()
            if self._has_begun:
                await self._rest()

    async def _begin_at_rest(self) -> None:
        """Note where the jog begins; what is left of the one before would count as its motion."""
        await until_idle(self.control, IDLE_S)
        self._asked_for = self.direction
        rates = [self.control.settings.get(each) for each in _MAX_RATES]
        self._path = Path(self.direction.limited(rates))
        if self.control.report is not None:
            self._reported(self.control.report)

    async def _beam_off(self) -> None:
        """Switch off a beam that a program left on: it would burn along the jog."""
        reply = await self.control.send(BEAM_OFF, shows=False, wait_s=IDLE_S)
        if not reply.is_ok:
            raise WrongStateError(f"the beam cannot be switched off: {reply.text}")

    async def _move(self) -> None:
        unsubscribe = self.control.reports.subscribe(self._reported)
        # GRBL takes a hold while it jogs for a cancel, is idle then, and would take the next piece.
        no_longer = self.control.holds.subscribe(self.end)
        try:
            while not self.lease.expire(self._clock()):
                condition.require_released(self.control.its_port)
                if self._asked_for != self.direction:
                    await self._turn()
                    continue  # that took time: the lease may be over
                self._send_what_may_go()
                self._ask()
                await self._until_news()
        finally:
            unsubscribe()
            no_longer()

    def _send_what_may_go(self) -> None:
        if self._reply is not None and self._reply.done():
            self._take_reply(self._reply)
        if self._reply is None and not self.lease.is_over and self._path.may_send:
            self._reply = self.control.write_lines(self._path.next_piece())
            self._reply.add_done_callback(lambda _: self._news.set())

    def _take_reply(self, reply: asyncio.Future[Reply]) -> None:
        self._reply = None
        if reply.cancelled():
            return
        if (error := reply.exception()) is not None:
            self.lease.end(str(error))
        elif not (told := reply.result()).is_ok:
            self.lease.end(f"the machine rejected the jog: {told.text}")
        elif not self.first_piece.done():
            self.first_piece.set_result(None)

    async def _turn(self) -> None:
        """Continue in another direction, once the machine has stopped."""
        self._cancel_now()
        if self._reply is not None:
            await asyncio.wait((self._reply,), timeout=IDLE_S)
            self._cancel_now()
        self._reply = None
        await self._begin_at_rest()

    def _reported(self, report: MachineReport) -> None:
        position = report.machine_position or report.work_position
        scale = _MM_PER_INCH if self.control.settings.get(_IN_INCHES) == 1 else 1.0
        self._path.reported([scale * each for each in position])
        self._asked_at = 0.0
        self._news.set()

    def _ask(self) -> None:
        """Ask the machine for its position, unless that is pending."""
        now = self._clock()
        if now - self._asked_at >= REPORT_S:
            self._asked_at = now
            self.control.realtime(_REPORT)

    async def _until_news(self) -> None:
        self._news.clear()
        wait_s = min(self.lease.left_s(self._clock()), REPORT_S)
        await set_within(self._news, wait_s)

    def _cancel_now(self) -> None:
        if self._reply is not None and not self._reply.done():
            self.control.discard()
        with suppress(SessionLostError):
            self.control.realtime(JOG_CANCEL)

    async def _rest(self) -> None:
        """Cancel; repeat it once a piece in transit has arrived, which the first cancel missed."""
        self._cancel_now()
        if not self.control.is_connected:
            with suppress(UsbshareError):
                await self.cancel()
            return
        if self._reply is not None and not self._reply.done():
            await asyncio.wait((self._reply,), timeout=IDLE_S)
            self._cancel_now()


class Jogs:
    """The jogs of all machines; `ended` is called for each that its page did not end."""

    def __init__(self, ended: Callable[[Jog], None]) -> None:
        self._ended = ended
        self._running: dict[Control, tuple[Jog, asyncio.Task[None]]] = {}

    def of(self, control: Control) -> Jog | None:
        """Return the jog of a machine, None if there is none."""
        found = self._running.get(control)
        return None if found is None else found[0]

    def require_none(self, control: Control) -> None:
        """Raise WrongStateError while somebody jogs a machine."""
        if (jog := self.of(control)) is not None and not jog.lease.is_over:
            raise WrongStateError("another page is jogging this machine")

    async def jog(self, jog: Jog) -> None:
        """Begin a jog; returns once the machine has accepted its first piece.

        Raises UsbshareError.
        """
        self.require_none(jog.control)
        if self.of(jog.control) is not None:
            raise WrongStateError("the machine has not stopped yet: press again")
        task = asyncio.create_task(jog.run(), name=f"jog of {jog.control.key}")
        self._running[jog.control] = (jog, task)
        task.add_done_callback(lambda done: self._over(jog, done))
        try:
            await jog.first_piece
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise WrongStateError(f"the jog has ended: {jog.lease.why_ended}") from None

    def end(self, page: object, number: int | None, why: str) -> None:
        """End a press of a page, or all of its presses."""
        for jog, _ in list(self._running.values()):
            if jog.lease.page is page and number in (None, jog.lease.number):
                jog.end(why)

    def end_of(self, control: Control, why: str) -> None:
        """End whatever jog a machine has."""
        if (jog := self.of(control)) is not None:
            jog.end(why)

    async def close(self) -> None:
        """End all, and wait until the machines are at rest."""
        for jog, _ in list(self._running.values()):
            jog.end("the panel is stopping")
        tasks = [task for _, task in self._running.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=IDLE_S)

    def _over(self, jog: Jog, done: asyncio.Task[None]) -> None:
        self._running.pop(jog.control, None)
        error = None if done.cancelled() else done.exception()
        if error is not None and not isinstance(error, UsbshareError):
            log.error("the jog of %s/%s has failed", *jog.control.key, exc_info=error)
        self._ended(jog)
