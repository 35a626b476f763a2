"""Keeps one session alive: connects, converses, and takes it up again when the link is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from usbshare.base import errors
from usbshare.base.backoff import Backoff
from usbshare.base.waits import first_of, set_within
from usbshare.base.watched_task import cancel_all
from usbshare.client.serial.client import SerialClient, SessionStream, is_refusal, short_reason
from usbshare.client.serial.dialer import Connections
from usbshare.client.serial.handover import Handover
from usbshare.client.serial.heartbeats import Heartbeats
from usbshare.client.serial.latency import Latency
from usbshare.client.serial.link_state import LinkListener, LinkLostError, LinkState, SessionChoice
from usbshare.client.serial.link_times import LinkTimes
from usbshare.client.serial.messages import (
    Acknowledge,
    ClosedEvent,
    DataEvent,
    Event,
    GapEvent,
    Goodbye,
    Heartbeat,
    HeartbeatEvent,
    Message,
    OpenedEvent,
    OperationEvent,
)
from usbshare.client.serial.outgoing import Outgoing
from usbshare.client.serial.resumption import Loss, Resumed, Resumption
from usbshare.line.credit import Credit
from usbshare.rpc.pump import StreamPump

HEARTBEAT_S = 0.25
LINK_TIMEOUT_S = 2.0
OPEN_TIMEOUT_S = 10.0  # of silence, once it is connected: a busy service answers later
SHORT_LIVED_S = 0.1
GOODBYE_TIMEOUT_S = 5.0
ACKNOWLEDGE_BYTES = 32 * 1024
REASON_TIMEOUT_S = 0.5


class Link:
    """One session after another on one port. `run` is its only task; `wake` says there is news.

    A session that is lost is opened again at once, then after growing waits; for as long as it can
    be taken up, nothing of the program is dropped.
    """

    def __init__(
        self,
        dialer: Connections,
        choice: SessionChoice,
        upstream: Outgoing,
        listener: LinkListener,
        backoff: Backoff,
        clock: Callable[[], float],
    ) -> None:
        self.state = LinkState.CONNECTING
        self.latency = Latency()
        self.times = LinkTimes(upstream.waited, clock)
        self._dialer = dialer
        self._choice = choice
        self._upstream = upstream
        self._listener = listener
        self._backoff = backoff
        self._clock = clock
        self._pump: StreamPump[Message] | None = None
        self._resumption = Resumption()
        self._has_stood = self._tries_at_once = False
        self._stood_at = 0.0
        self._timeout_s = LINK_TIMEOUT_S
        self._received_offset = self._acknowledged_offset = 0
        self._ending = asyncio.Event()
        self._woken = asyncio.Event()
        self._stream: SessionStream | None = None
        self._client: SerialClient
        self._beats = Heartbeats(self.latency, clock, upstream, self.times)
        self._handover = Handover(self._beats)

    async def run(self) -> None:
        """Serve until `close`. A first attempt that fails raises why; later ones are repeated."""
        try:
            while not self._ending.is_set():
                try:
                    await self._until_ended()
                except (errors.UsbshareError, LinkLostError) as error:
                    if not self._has_stood or isinstance(error, errors.PermissionDeniedError):
                        self._abandon(str(error))
                        raise
                    await self._wait(str(error))
            self._abandon("the bridge is shutting down")
        finally:
            self._resumption.end()
        self.state = LinkState.ENDED

    def close(self) -> None:
        """Close the session after what has been read from the program, and let `run` end."""
        self._upstream.add_ordered(Goodbye())
        self._ending.set()
        self._woken.set()
        self.wake()

    def retry_now(self) -> None:
        """Let the next attempt to connect come at once."""
        self._woken.set()

    async def move(self, client: SerialClient) -> bool:
        """Go on over this connection, which is ours then; nothing is lost, nothing waits for it.

        False: it cannot be now, nothing has changed, and the connection stays the caller's.
        """
        return self.can_move and await self._handover.ask(client)

    def taken(self, offset: int) -> None:
        """Note that the program has every device byte before `offset`."""
        stream = self._stream
        if stream is not None:
            stream.took(offset)
        if offset - self._acknowledged_offset >= ACKNOWLEDGE_BYTES:
            self._acknowledged_offset = offset
            self._upstream.add_urgent(Acknowledge())
            self.wake()

    def wake(self) -> None:
        """Look at `upstream` again."""
        if self._pump is not None:
            self._pump.kick()

    def pass_through(self, data: bytes) -> bool:
        """Send the program's bytes past `upstream` if they may go at once; else False."""
        pump = self._pump
        if pump is None or pump.writing is not None or self._handover.is_quiet:
            return False
        message = self._upstream.pass_through(data, self._clock())
        if message is None:
            return False
        pump.offer(message)  # a pump that has just failed takes nothing, but it goes again later
        return True

    @property
    def can_move(self) -> bool:
        """Return whether there is a session that another connection could take over."""
        return self.is_connected and self._resumption.can_resume

    @property
    def is_connected(self) -> bool:
        """Return whether the session is established."""
        return self.state is LinkState.CONNECTED

    @property
    def keeps_program(self) -> bool:
        """Return whether what the program writes will reach the device, now or after a loss."""
        return self.is_connected or self._resumption.is_pending

    # The source of the pump.

    def wait_s(self, now: float) -> float | None:
        """Return how many seconds until there is something to send.

        None if it waits for an event.
        """
        return None if self._handover.is_quiet else self._upstream.wait_s(now)

    def take(self, now: float) -> Message:
        """Return what to send."""
        message = self._upstream.take(now)
        self._handover.sending(message)
        self._listener.link_sent()
        if self._upstream.wants_answer():
            self._upstream.add_urgent(self._beats.next())
        return message

    async def _until_ended(self) -> None:
        """Run a session; one that is not yet established at the end is abandoned."""
        session = asyncio.create_task(self._session(), name="session")
        try:
            await first_of(session, self._ending)
            if session.done() or self.is_connected:
                await session
        finally:
            await cancel_all(session)
            del session  # as in `_converse`

    async def _session(self) -> None:
        # While a session may come back there is no time to look closer at what is in its way.
        self._client = await self._dialer.connect(looks_closer=not self._resumption.is_pending)
        try:
            stream: SessionStream | None = await self._open(self._client)
            while stream is not None:
                stream = await self._converse(stream)
        except grpc.aio.AioRpcError as error:
            is_refused = error.code() is grpc.StatusCode.PERMISSION_DENIED
            if self._resumption.is_pending and not is_refused:
                raise LinkLostError(short_reason(error)) from error
            raise await self._dialer.explain(self._client, error) from error
        except EOFError as error:
            raise LinkLostError(
                "the service ended the stream without closing the session"
            ) from error
        finally:
            self._handover.give_up()
            await self._client.close()

    async def _open(
        self, client: SerialClient, before: asyncio.Task[None] | None = None
    ) -> SessionStream:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                stream = await client.open_session(
                    self._choice.port_id,
                    observe=self._choice.observe,
                    takes=self._choice.takes,
                    name=self._choice.client_name,
                    resume_token=self._resumption.token,
                    resume_offset=self._received_offset,
                    lines=self._choice.lines,
                    resume_results=self._upstream.results,
                )
                if before is not None:  # what the old stream still brings comes first
                    await asyncio.wait((before,), timeout=REASON_TIMEOUT_S)
                event, credit = await stream.receive()
        except TimeoutError as error:
            raise errors.ConnectionRefusedByPeerError("the service does not answer") from error
        if not isinstance(event, OpenedEvent):
            raise LinkLostError(f"the service began a session with {event}")
        self._stands(stream, event, credit)
        return stream

    def _stands(self, stream: SessionStream, opened: OpenedEvent, credit: Credit | None) -> None:
        news = self._resume(stream, opened) if opened.resumed else self._begin(stream, opened)
        if credit is not None:
            self._upstream.credit(credit)
        self._choice = self._choice.of(opened.port.id)
        self._resumption.stands(opened)
        self._timeout_s = opened.link_timeout_s or LINK_TIMEOUT_S
        self._stream = stream
        self._stood_at = self._clock()
        self._beats.begin()
        self._handover.arrived()
        self._backoff.reset()
        self._woken.clear()
        self._has_stood = True
        self.state = LinkState.CONNECTED
        if isinstance(news, Resumed):
            self._listener.link_resumed(opened, news)
        else:
            self._listener.link_connected(opened, news)

    def _resume(self, stream: SessionStream, opened: OpenedEvent) -> Resumed:
        upstream, port = self._upstream, opened.port
        if not self._resumption.is_pending or not upstream.can_resume(opened.accepted_offset):
            self._abandon("the service resumed a session that is not ours")
            raise LinkLostError("the service resumed a session that is not ours")
        accepted, resent = (opened.accepted_offset, opened.accepted_commands), 0
        epoch, age_s = port.epoch, self._clock() - self._beats.heard_at
        if not (self._handover.is_quiet and upstream.has_sent(accepted[0], epoch)):
            resent = upstream.resume(*accepted, epoch=epoch, profile=port.profile, age_s=age_s)
        if self._stream is not None:
            stream.took(self._stream.taken_offset)
        return Resumed(self._resumption.away_s(self._clock()), resent)

    def _begin(self, stream: SessionStream, opened: OpenedEvent) -> Loss | None:
        """Begin a new session without what waits, however old that is; returns what was lost."""
        loss, missed = None, opened.data_offset - self._received_offset
        dropped = self._upstream.lose() if self._has_stood else 0
        if self._has_stood and (missed or dropped or self._resumption.is_pending):
            why = opened.not_resumed_reason or "it is a new session"
            loss = Loss(dropped, missed if missed >= 0 else None, why)
        self._upstream.begin(epoch=opened.port.epoch, profile=opened.port.profile)
        self._received_offset = opened.data_offset
        self._acknowledged_offset = opened.data_offset
        stream.took(opened.data_offset)
        return loss

    async def _converse(self, stream: SessionStream) -> SessionStream | None:
        """Run until the close is answered, or return where it moved; what else ends it raises."""
        self._pump = pump = StreamPump(self, stream.write, self._clock)
        receive = asyncio.create_task(self._receive(stream), name="link receive")
        tasks: list[asyncio.Future[Any]] = [
            receive,
            asyncio.create_task(self._handover.until_quiet(self._beat), name="link move"),
            asyncio.create_task(
                self._beats.run(self._beat, HEARTBEAT_S, self._timeout_s), name="link heartbeat"
            ),
            asyncio.create_task(self._end_in_time(), name="link end"),
        ]
        pump.kick()
        try:
            await asyncio.wait((*tasks, pump.ended), return_when=asyncio.FIRST_COMPLETED)
            if pump.ended.done():  # `_receive` is about to learn why
                await asyncio.wait((receive,), timeout=REASON_TIMEOUT_S)
            for task in tasks:
                if task.done():
                    task.result()
            if pump.ended.done() and not receive.done():
                raise EOFError from pump.ended.result()
            return None if receive.done() else await self._take_along(receive)
        except (grpc.aio.AioRpcError, EOFError, LinkLostError) as error:
            self._lost(error)
            raise
        finally:
            self._pump = None
            pump.close()
            stream.cancel()
            await cancel_all(*tasks)
            del tasks, receive  # their exceptions lead here, which would keep the call alive

    async def _take_along(self, receive: asyncio.Task[None]) -> SessionStream:
        """Take the session up over another connection, while its stream is still open."""
        if self._pump is not None:
            self._pump.close()
            self._pump = None
        self._resumption.lost(self._clock())
        self._handover.leaves()
        try:
            moved = await self._open(self._handover.client, receive)
        except errors.UsbshareError as error:
            raise LinkLostError(str(error)) from error
        self._client = self._handover.left_for(self._client)
        return moved

    async def _receive(self, stream: SessionStream) -> None:
        listener, upstream = self._listener, self._upstream
        while True:
            event, credit = await stream.receive()
            if self._handover.has_left and isinstance(event, self._choice.comes_again):
                continue
            if type(event) is DataEvent:
                self._received_offset = event[0] + len(event[1])
                if event[2]:
                    self.times.data_waited(event[2])
                listener.link_data(event)
            elif type(event) is HeartbeatEvent:
                self._beats.answered(event.id, event.host_time_s)
                upstream.realtime_confirmed(event.realtime_number)
            elif type(event) is ClosedEvent:
                break
            elif event is not None:
                self._note(event)
                listener.link_event(event)
            if credit is not None and upstream.credit(credit):
                self.wake()
        if not self._ending.is_set():
            raise LinkLostError("the service closed the session")

    def _note(self, event: Event) -> None:
        if isinstance(event, GapEvent):
            self._received_offset = event.next_offset
        elif isinstance(event, OperationEvent):
            self._upstream.answered(event.id)

    def _beat(self, beat: Heartbeat) -> None:
        self._upstream.add_urgent(beat)
        self.wake()

    async def _end_in_time(self) -> None:
        await self._ending.wait()
        await asyncio.sleep(GOODBYE_TIMEOUT_S)
        raise LinkLostError(f"no answer to closing the session within {GOODBYE_TIMEOUT_S:g} s")

    def _lost(self, error: BaseException) -> None:
        now, reason, is_refused = self._clock(), short_reason(error), is_refusal(error)
        self.state = LinkState.WAITING
        self._tries_at_once = now - self._stood_at >= SHORT_LIVED_S
        may_resume = self._choice.resumes and not is_refused
        window_s = self._resumption.lost(now) if may_resume else 0.0
        self._upstream.lose_link()
        self._listener.link_lost(reason, window_s, is_refused=is_refused)
        if window_s:
            self._resumption.expires(window_s, self._abandon)
        else:
            self._tell_abandoned(reason)

    def _abandon(self, why: str) -> None:
        """Give up a session that could still have come back, if there is one."""
        if self._resumption.is_pending:
            self._resumption.give_up()
            self._tell_abandoned(why)

    def _tell_abandoned(self, why: str) -> None:
        self._listener.link_abandoned(Loss(self._upstream.lose(), 0, why))

    async def _wait(self, reason: str) -> None:
        at_once, self._tries_at_once = self._tries_at_once, False
        if at_once or self._ending.is_set():
            return
        wait_s = self._backoff.next_s()
        self._listener.link_waiting(wait_s, reason)
        await set_within(self._woken, wait_s)
        self._woken.clear()
