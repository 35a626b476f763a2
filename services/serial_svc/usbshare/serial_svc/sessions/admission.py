"""Who gets control of a port: a lost client its own session again, another one after it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace

from usbshare.base.errors import LimitError, PermissionDeniedError
from usbshare.line.settings import ModemLines
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.sessions.audit import SessionAudit
from usbshare.serial_svc.sessions.client import Client, Mode, Resumption
from usbshare.serial_svc.sessions.delayed import Delayed
from usbshare.serial_svc.sessions.events import Opened
from usbshare.serial_svc.sessions.line_firmware import flow_rules
from usbshare.serial_svc.sessions.line_session import LineSession
from usbshare.serial_svc.sessions.link_watch import CATCH_UP_S, STOOD_STILL_S, LinkWatch
from usbshare.serial_svc.sessions.observer_outbox import Tail
from usbshare.serial_svc.sessions.port_description import PortDescription
from usbshare.serial_svc.sessions.roster import SessionRoster
from usbshare.serial_svc.sessions.session import Session
from usbshare.serial_svc.sessions.unfinished_line import void_unfinished
from usbshare.serial_svc.stop.stops import Stops

log = logging.getLogger(__name__)

# Three heartbeats: one whose stream looks alive is taken for dead by its own identity after this.
HALF_DEAD_S = 0.75
# The number of observers is not urgent: notifying all of each newcomer has quadratic cost.
OBSERVERS_NEWS_S = 0.5


class Admission:
    """Opens the sessions of one line and owns them; decides who may take control from whom."""

    def __init__(
        self,
        line: Line,
        stops: Stops,
        roster: SessionRoster,
        tail: Tail,
        audit: SessionAudit,
        describe: Callable[[], PortDescription],
        clock: Callable[[], float],
    ) -> None:
        self._line = line
        self._stops = stops
        self._roster = roster
        self._tail = tail
        self._audit = audit
        self._describe = describe
        self._clock = clock
        self._observers_news = Delayed(line.changed, OBSERVERS_NEWS_S)

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
                self._audit.resumed(lost.client, client.peer)
                return lost
            if client.mode is Mode.CONTROL:
                resumption.require_begin()
        if client.mode is Mode.CONTROL:
            await self._make_way(client)
        return await self._new_session(client, why_not)

    # Events of sessions.

    def stream_lost(self, session: Session) -> None:
        """Keep a session in control for its client to resume; end any other."""
        if session is not self._roster.control:
            session.end("the stream ended")
        elif self._line.config.resume_window_s == 0:
            self._lose("the stream ended")

    def session_failed(self, session: Session, why: str) -> None:
        """Act on the machine of a client in control that broke the rules."""
        if session is self._roster.control:
            self._lose(why)

    def session_ended(self, session: Session, *, said_goodbye: bool) -> None:
        """Forget a session; what it queued is dropped."""
        watch = self._roster.watch_of(session)
        if not self._roster.remove(session):
            return
        dropped = session.waiting()[0]
        if watch is not None:
            watch.end(said_goodbye=said_goodbye)
        self._release_control(session)
        log.info("session %s ended, %d commands dropped", session.client.session_id, dropped)
        self._audit.closed(session.client, dropped)
        self._tell_of(session)

    # Helpers.

    async def _new_session(self, client: Client, why_not_resumed: str) -> Session:
        line, is_control = self._line, client.mode is Mode.CONTROL
        if not is_control:
            self._require_room()
        session = self._make_session(client)
        if is_control:
            self._roster.take_control(session)
            line.scheduler.add_source(session, client.ordering)
        try:
            await line.ensure_open()
            begun = self._stops.machine.activity.begun_line
            if client.lines is not None and session.lines is not None:
                rules = await flow_rules(line, client.lines, self._clock, begun)
                session.lines.begin(rules, begun)
            elif is_control:
                await void_unfinished(line, begun)
                self._stops.machine.activity.line_is_void()
            opened = replace(self._opened(session), not_resumed_reason=why_not_resumed)
            session.outbox.put(opened)
            watch = self._watch(session) if is_control else None
            self._roster.add(session, watch)
        except BaseException:
            self._release_control(session)
            raise
        if watch is not None:
            watch.begin()
        self._tell_of(session)
        log.info("session %s opened by %s", client.session_id, session.holder)
        self._audit.opened(client)
        return session

    def _make_session(self, client: Client) -> Session:
        rest = (self._line, self._stops, self, self._tail, self._audit, self._clock)
        if client.lines is not None:
            return LineSession(client, client.lines, *rest)
        return Session(client, *rest)

    def _watch(self, session: Session) -> LinkWatch:
        return LinkWatch(session, self._stops, self._line, self._audit, self._clock)

    def _release_control(self, session: Session) -> None:
        """Let go of a session that may be in control, with what it queued."""
        if self._roster.give_up_control(session):
            self._line.hold_back.release()
            self._line.scheduler.remove_source(session)
            self._line.write_progressed()

    def _lose(self, why: str) -> None:
        if (watch := self._roster.watch) is not None:
            watch.lose(why)

    def _tell_of(self, session: Session) -> None:
        """Notify all sessions that one came or went, a little later if that one only observes."""
        if session.client.mode is Mode.OBSERVE:
            self._observers_news.ask()
        else:
            self._line.changed()

    def _require_room(self) -> None:
        most = self._line.config.queue.most_observers
        if self._roster.observers >= most:
            raise LimitError(
                f"port '{self._line.id}' has {most} observers, the maximum ([limits] "
                "observers_per_port)"
            )

    def _opened(self, session: Session) -> Opened:
        line = self._line
        return Opened(
            session.client.session_id,
            self._describe(),
            session.outbox.next_offset(line.read_offset),
            line.device.lines() if line.is_open else ModemLines(),
            token=session.token if session.client.mode is Mode.CONTROL else "",
            link_timeout_s=line.config.link_timeout_s,
            resume_window_s=line.config.resume_window_s,
            firmware_buffer_bytes=session.lines.buffer_bytes if session.lines else 0,
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
        opened = self._opened(session)
        missed = opened.data_offset - resumption.offset
        if not session.resume(opened, resumption):
            return None, "the device bytes or results that were missed are no longer kept"
        if (watch := self._roster.watch) is not None:
            watch.taken_up(missed)
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
            taken = f"control of port '{self._line.id}' was taken by {client.identity}"
            holder.detach(PermissionDeniedError(taken))
            self._audit.taken(client, holder.client)
        elif is_own and holder.is_attached:
            await self._until_heard_or_dead(holder)
        may_end = is_own or client.takes or self._roster.is_away
        lives = holder.is_attached or not may_end
        if holder is self._roster.control and lives:
            self._roster.refuse()
        if holder is self._roster.control:
            self._lose(f"{client.identity} takes over")
            holder.end("another session took over")

    async def _until_heard_or_dead(self, holder: Session) -> None:
        heard = holder.hearing.last_heard
        until = max(self._clock(), heard + HALF_DEAD_S)
        await asyncio.sleep(until - self._clock())
        if self._clock() - until > STOOD_STILL_S:
            await asyncio.sleep(CATCH_UP_S)
        if holder.hearing.last_heard == heard:
            holder.detach("a newer session of the same identity took over")
