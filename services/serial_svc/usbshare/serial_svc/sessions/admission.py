"""Who gets control of a port: a lost client its own session again, another one after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from usbshare.base.errors import LimitError, PermissionDeniedError
from usbshare.line.settings import ModemLines
from usbshare.serial_svc.sessions.client import Client, Mode, Resumption
from usbshare.serial_svc.sessions.delayed import Delayed
from usbshare.serial_svc.sessions.events import Opened
from usbshare.serial_svc.sessions.link_watch import CATCH_UP_S, STOOD_STILL_S
from usbshare.serial_svc.sessions.roster import SessionRoster
from usbshare.serial_svc.sessions.session import Session

if TYPE_CHECKING:
    from usbshare.serial_svc.ports.port import SerialPort

log = logging.getLogger(__name__)

# Three heartbeats: one whose stream looks alive is taken for dead by its own identity after this.
HALF_DEAD_S = 0.75
# How many observe is no urgent news: to tell all of each who comes costs with the square.
OBSERVERS_NEWS_S = 0.5


class Admission:
    """Opens the sessions of one port; decides who may take control from whom."""

    def __init__(self, port: SerialPort, roster: SessionRoster, clock: Callable[[], float]) -> None:
        self._port = port
        self._roster = roster
        self._clock = clock
        self._observers_news = Delayed(port.changed, OBSERVERS_NEWS_S)

    def tell_of(self, session: Session) -> None:
        """Tell all sessions that one came or went, soon if that only observes."""
        if session.client.mode is Mode.OBSERVE:
            self._observers_news.ask()
        else:
            self._port.changed()

    async def open(self, client: Client, resumption: Resumption | None) -> Session:
        """Return a new session, or the lost one that the client asks for.

        Raises PortHeldError naming the holder, DeviceError when the device cannot be opened, and
        what the client lacks to begin a session instead of the lost one.
        """
        why_not = ""
        if resumption is not None:
            lost, why_not = self._take_up(client, resumption)
            if lost is not None:
                log.info("session %s resumed by %s", lost.client.session_id, client.peer)
                self._port.audit.resumed(lost.client, client.peer)
                return lost
            if client.mode is Mode.CONTROL:
                resumption.require_begin()
        if client.mode is Mode.CONTROL:
            await self._make_way(client)
        return await self._new_session(client, why_not)

    async def _new_session(self, client: Client, why_not_resumed: str) -> Session:
        port = self._port
        if client.mode is Mode.OBSERVE:
            self._require_room()
        session = Session(client, port, self._clock)
        if client.mode is Mode.CONTROL:
            self._roster.take_control(session)
            port.scheduler.add_source(session, client.ordering)
        try:
            await port.ensure_open()
            session.send(replace(self._opened(session), not_resumed_reason=why_not_resumed))
            self._roster.add(session)
        except BaseException:
            port.release_control(session)
            raise
        if client.mode is Mode.CONTROL:
            port.watch.begin(session)
        self.tell_of(session)
        log.info("session %s opened by %s", client.session_id, session.holder)
        port.audit.opened(client)
        return session

    def _require_room(self) -> None:
        most = self._port.config.queue.most_observers
        if self._roster.observers >= most:
            raise LimitError(
                f"port '{self._port.id}' has {most} observers, the maximum ([limits] "
                "observers_per_port)"
            )

    def _opened(self, session: Session) -> Opened:
        port = self._port
        return Opened(
            session.client.session_id,
            port.describe(),
            port.read_offset,
            port.device.lines() if port.is_open else ModemLines(),
            token=session.token if session.client.mode is Mode.CONTROL else "",
            link_timeout_s=port.config.link_timeout_s,
            resume_window_s=port.config.resume_window_s,
        )

    def _take_up(self, client: Client, resumption: Resumption) -> tuple[Session | None, str]:
        """Return the lost session that a client asks for, or why it cannot have it."""
        session = self._roster.control
        if client.mode is not Mode.CONTROL:
            return None, "an observing session has no token"
        if session is None or session.token != resumption.token:
            return None, "the session has ended"
        if session.client.identity != client.identity:
            return None, "the session belongs to another identity"
        session.detach("the client opened another stream")
        opened, missed = self._opened(session), self._port.read_offset - resumption.offset
        if not session.resume(opened, resumption.offset):
            return None, "the device bytes that were missed are no longer kept"
        self._port.watch.begin(session, missed)
        return session, ""

    async def _make_way(self, client: Client) -> None:
        """End a session in control that is lost, half dead and of the same identity, or taken.

        Raises PortHeldError when it lives.
        """
        holder = self._roster.control
        if holder is None:
            return
        is_own = holder.client.identity == client.identity
        if client.takes:
            taken = f"control of port '{self._port.id}' was taken by {client.identity}"
            holder.detach(PermissionDeniedError(taken))
            self._port.audit.taken(client, holder.client)
        elif is_own and holder.is_attached:
            await self._until_heard_or_dead(holder)
        may_end = is_own or client.takes or self._port.watch.is_lost
        lives = holder.is_attached or not may_end
        if holder is self._roster.control and lives:
            self._roster.refuse()
        if holder is self._roster.control:
            self._port.watch.lose(f"{client.identity} takes over")
            holder.end("another session took over")

    async def _until_heard_or_dead(self, holder: Session) -> None:
        heard = holder.last_heard
        until = max(self._clock(), heard + HALF_DEAD_S)
        await asyncio.sleep(until - self._clock())
        if self._clock() - until > STOOD_STILL_S:
            await asyncio.sleep(CATCH_UP_S)
        if holder.last_heard == heard:
            holder.detach("a newer session of the same identity took over")
