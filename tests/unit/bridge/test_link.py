"""The link: connects, converses, says goodbye, and comes back after a loss."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from fakes.remote import REMOTE
from fakes.waiting import until
from usbshare.bridge import link as link_module
from usbshare.bridge.backoff import Backoff
from usbshare.bridge.link import Link, LinkState, SessionChoice
from usbshare.bridge.messages import (
    ClosedEvent,
    DataEvent,
    Event,
    Goodbye,
    Heartbeat,
    HeartbeatEvent,
    Message,
    OpenedEvent,
    SendCommand,
)
from usbshare.bridge.resumption import Loss, Resumed
from usbshare.bridge.upstream import Upstream
from usbshare.common.credit import Credit
from usbshare.common.errors import ConnectionRefusedByPeerError, PortHeldError
from usbshare.common.line import ModemLines

PLENTY = Credit(1 << 20, 1000, 0)


class Service:
    """A service that answers heartbeats, takes commands, and can go away or fall silent."""

    def __init__(self) -> None:
        self.received: list[Message] = []
        self.streams: list[Stream] = []
        self.refuses: Exception | None = None
        self.window_s = self.link_timeout_s = 0.0
        self.forgets = False
        self.accepted_offset = self.sent_bytes = 0
        self.asked: list[tuple[str, int]] = []
        self.answers_heartbeats = True

    def connect(self) -> Any:
        return self

    async def open_session(
        self, port_id: str, *, observe: bool, name: str, resume_token: str, resume_offset: int
    ) -> Stream:
        self.asked.append((resume_token, resume_offset))
        if self.refuses is not None:
            raise self.refuses
        stream = Stream(self)
        stream.say(self._opened(resume_token, resume_offset), PLENTY)
        self.streams.append(stream)
        return stream

    def _opened(self, token: str, offset: int) -> OpenedEvent:
        opened = OpenedEvent(
            f"s{len(self.streams)}",
            REMOTE,
            self.sent_bytes,
            ModemLines(),
            link_timeout_s=self.link_timeout_s,
        )
        if not self.window_s:
            return opened
        opened = replace(opened, resume_token="secret", resume_window_s=self.window_s)
        if token != "secret":
            return opened
        if self.forgets:
            return replace(opened, not_resumed_reason="the session is over")
        return replace(
            opened,
            resumed=True,
            data_offset=offset,
            accepted_offset=self.accepted_offset,
            accepted_commands=1,
        )

    async def explain(self, error: Exception) -> Exception:
        return ConnectionRefusedByPeerError(str(error))

    async def close(self) -> None: ...


class Stream:
    def __init__(self, service: Service) -> None:
        self.taken_offset = 0
        self._service = service
        self._events: asyncio.Queue[tuple[Event, Credit | None] | None] = asyncio.Queue()

    def say(self, event: Event, credit: Credit | None = None) -> None:
        self._events.put_nowait((event, credit))

    def end(self) -> None:
        self._events.put_nowait(None)

    async def write(self, message: Message) -> None:
        self._service.received.append(message)
        if isinstance(message, Heartbeat) and self._service.answers_heartbeats:
            self.say(HeartbeatEvent(message.id))
        if isinstance(message, Goodbye):
            self.say(ClosedEvent())

    async def receive(self) -> tuple[Event, Credit | None]:
        entry = await self._events.get()
        if entry is None:
            raise EOFError
        return entry

    def cancel(self) -> None: ...


class Listener:
    def __init__(self) -> None:
        self.connected: list[str] = []
        self.events: list[Event] = []
        self.losses: list[str] = []
        self.costs: list[Loss] = []
        self.resumed: list[Resumed] = []
        self.waits: list[str] = []

    def link_connected(self, opened: OpenedEvent, loss: Loss | None) -> None:
        self.connected.append(opened.session_id)
        if loss is not None:
            self.costs.append(loss)

    def link_resumed(self, opened: OpenedEvent, resumed: Resumed) -> None:
        self.resumed.append(resumed)

    def link_event(self, event: Event) -> None:
        self.events.append(event)

    def link_data(self, event: DataEvent) -> None:
        self.events.append(event)

    def link_sent(self) -> None: ...

    def link_lost(self, reason: str, window_s: float) -> None:
        self.losses.append(reason)

    def link_abandoned(self, loss: Loss) -> None:
        self.costs.append(loss)

    def link_waiting(self, wait_s: float, reason: str) -> None:
        self.waits.append(reason)


class Bench:
    def __init__(self) -> None:
        self.service, self.listener, self.upstream = Service(), Listener(), Upstream()
        self.link = Link(
            self.service.connect,
            SessionChoice("laser", observe=False, client_name="test"),
            self.upstream,
            self.listener,
            Backoff(lambda: 0.0),
            time.monotonic,
        )
        self.running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self.running = asyncio.create_task(self.link.run())
        await until(lambda: self.listener.connected)

    def sent(self, kind: type) -> list[Any]:
        return [message for message in self.service.received if isinstance(message, kind)]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    if made.running is not None:
        made.running.cancel()
        await asyncio.gather(made.running, return_exceptions=True)


async def test_bytes_are_sent_as_they_come(bench: Bench) -> None:
    await bench.start()
    bench.upstream.add_program(b"G0 X1\n")
    bench.link.wake()
    await until(lambda: bench.sent(SendCommand))
    assert bench.sent(SendCommand)[0].data == b"G0 X1\n"


async def test_bytes_that_may_go_at_once_do_not_wait_for_another_round(bench: Bench) -> None:
    await bench.start()
    await until(lambda: bench.sent(Heartbeat))
    await until(lambda: bench.link.pass_through(b"G0 X1\n"))
    assert bench.sent(SendCommand)[0].data == b"G0 X1\n"
    assert bench.upstream.waiting_bytes == 0


async def test_heartbeats_measure_the_round_trip(bench: Bench) -> None:
    await bench.start()
    await until(lambda: len(bench.sent(Heartbeat)) >= 2)
    assert bench.link.latency.summary() is not None
    assert bench.sent(Heartbeat)[1].round_trip_s > 0


async def test_events_reach_the_listener_in_order(bench: Bench) -> None:
    await bench.start()
    events: list[Event] = [DataEvent(0, b"a"), DataEvent(1, b"b")]
    for event in events:
        bench.service.streams[0].say(event)
    await until(lambda: bench.listener.events == events)


async def test_a_close_says_goodbye_after_the_programs_last_bytes(bench: Bench) -> None:
    await bench.start()
    bench.upstream.add_program(b"last\n")
    bench.link.close()
    assert bench.running is not None
    await asyncio.wait_for(bench.running, 30)
    kinds = [type(m) for m in bench.service.received if not isinstance(m, Heartbeat)]
    assert kinds == [SendCommand, Goodbye]
    assert bench.link.state is LinkState.ENDED
    assert bench.listener.losses == []


async def test_a_first_attempt_that_fails_raises_why(bench: Bench) -> None:
    bench.service.refuses = PortHeldError("port 'laser' is held by somebody")
    with pytest.raises(PortHeldError, match="held by somebody"):
        await bench.link.run()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (lambda stream: stream.end(), "ended"),
        (lambda stream: stream.say(ClosedEvent()), "closed the session"),
    ],
)
async def test_a_lost_session_is_told_and_opened_again(
    bench: Bench, how: Callable[[Stream], None], says: str
) -> None:
    await bench.start()
    how(bench.service.streams[0])
    await until(lambda: bench.listener.connected == ["s0", "s1"])
    assert says in bench.listener.losses[0]
    assert len(bench.listener.waits) == 1


async def test_a_silent_service_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "LINK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(link_module, "HEARTBEAT_S", 0.01)
    bench.service.answers_heartbeats = False
    await bench.start()
    await until(lambda: bench.listener.losses)
    assert "no sign of life" in bench.listener.losses[0]


async def test_later_refusals_are_tried_again(bench: Bench) -> None:
    await bench.start()
    bench.service.refuses = PortHeldError("port 'laser' is held by its own ghost")
    bench.service.streams[0].end()
    await until(lambda: any("ghost" in reason for reason in bench.listener.waits))
    bench.service.refuses = None
    await until(lambda: bench.listener.connected == ["s0", "s1"])


async def test_a_link_that_is_woken_tries_again_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.start()
    monkeypatch.setattr("usbshare.bridge.backoff.FIRST_S", 3600)
    monkeypatch.setattr("usbshare.bridge.backoff.LONGEST_S", 3600)
    bench.service.refuses = PortHeldError("held")
    bench.service.streams[0].end()
    await until(lambda: len(bench.listener.waits) == 1)
    bench.service.refuses = None
    bench.link.retry_now()
    await until(lambda: bench.listener.connected == ["s0", "s1"])


async def test_waking_a_link_that_stands_changes_nothing(bench: Bench) -> None:
    await bench.start()
    bench.link.retry_now()
    bench.link.retry_now()
    await until(lambda: len(bench.sent(Heartbeat)) > 2)
    assert bench.listener.connected == ["s0"]
    assert bench.listener.losses == []


async def test_a_close_while_waiting_ends_at_once(bench: Bench) -> None:
    await bench.start()
    bench.service.refuses = PortHeldError("held")
    bench.service.streams[0].end()
    await until(lambda: bench.link.state is LinkState.WAITING)
    bench.link.close()
    assert bench.running is not None
    await asyncio.wait_for(bench.running, 30)
    assert bench.link.state is LinkState.ENDED


async def test_what_was_taken_is_acknowledged_every_32_kib(bench: Bench) -> None:
    await bench.start()
    before = len(bench.service.received)
    bench.link.taken(40_000)
    await until(lambda: len(bench.service.received) > before)
    assert bench.service.streams[0].taken_offset == 40_000


async def test_a_link_that_was_lost_is_not_connected_while_the_reason_is_sought(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[bool] = []
    monkeypatch.setattr(
        bench.listener, "link_lost", lambda *_: states.append(bench.link.is_connected)
    )
    await bench.start()
    bench.service.streams[0].end()
    await until(lambda: states)
    assert states == [False]


async def lose_with_bytes_in_flight(bench: Bench) -> None:
    """Send 12 bytes, receive 5, and lose the link."""
    bench.service.window_s = bench.service.window_s or 30.0
    await bench.start()
    bench.upstream.add_program(b"G0 X1\nG0 X2\n")
    bench.link.wake()
    bench.service.streams[0].say(DataEvent(0, b"ok\nok"))
    await until(lambda: bench.sent(SendCommand) and bench.listener.events)
    bench.service.streams[0].end()


async def test_a_session_that_was_lost_is_taken_up_where_it_was(bench: Bench) -> None:
    bench.service.accepted_offset = 6
    await lose_with_bytes_in_flight(bench)
    await until(lambda: bench.listener.resumed and len(bench.sent(SendCommand)) == 2)
    assert bench.service.asked == [("", 0), ("secret", 5)]
    assert bench.listener.resumed[0].resent_bytes == 6
    assert bench.sent(SendCommand)[1] == SendCommand(2, 6, b"G0 X2\n", 1)
    assert (bench.listener.costs, bench.listener.connected) == ([], ["s0"])


async def test_the_first_attempt_after_a_loss_comes_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "SHORT_LIVED_S", 0.0)
    await lose_with_bytes_in_flight(bench)
    await until(lambda: bench.listener.resumed)
    assert bench.listener.waits == []


async def test_a_session_that_is_taken_up_again_knows_what_the_program_has_taken(
    bench: Bench,
) -> None:
    bench.service.window_s = 30.0
    await bench.start()
    bench.link.taken(3)
    bench.service.streams[0].end()
    bench.link.taken(4)
    await until(lambda: bench.listener.resumed)
    assert bench.service.streams[1].taken_offset == 4


async def test_a_session_that_cannot_be_resumed_says_what_that_costs(bench: Bench) -> None:
    bench.service.forgets = True
    bench.service.sent_bytes = 0
    await lose_with_bytes_in_flight(bench)
    bench.service.sent_bytes = 25
    await until(lambda: bench.listener.costs)
    assert bench.listener.costs == [Loss(12, 20, "the session is over")]
    assert bench.listener.connected == ["s0", "s1"]


async def test_a_session_that_does_not_come_back_in_time_is_given_up(bench: Bench) -> None:
    bench.service.window_s = 0.05
    await lose_with_bytes_in_flight(bench)
    bench.service.refuses = PortHeldError("held")
    await until(lambda: bench.listener.costs)
    assert bench.listener.costs[0].program_bytes == 12
    assert not bench.link.keeps_program
    bench.service.refuses = None
    await until(lambda: len(bench.listener.connected) == 2)
    assert bench.service.asked[-1][0] == ""
    assert bench.listener.resumed == []


async def test_a_session_that_shall_not_be_resumed_is_given_up_at_once(bench: Bench) -> None:
    bench.link._choice = replace(bench.link._choice, resumes=False)
    await lose_with_bytes_in_flight(bench)
    await until(lambda: len(bench.listener.connected) == 2)
    assert bench.listener.costs[0].program_bytes == 12
    assert {token for token, _ in bench.service.asked} == {""}


async def test_a_service_that_has_what_was_never_sent_is_not_followed(bench: Bench) -> None:
    bench.service.accepted_offset = 1000
    await lose_with_bytes_in_flight(bench)
    await until(lambda: len(bench.listener.connected) == 2)
    assert bench.listener.costs[0].program_bytes == 12
    assert bench.listener.resumed == []


async def test_an_end_while_the_session_is_lost_says_what_that_costs(bench: Bench) -> None:
    await lose_with_bytes_in_flight(bench)
    bench.service.refuses = PortHeldError("held")
    await until(lambda: bench.link.state is LinkState.WAITING and bench.listener.losses)
    bench.link.close()
    assert bench.running is not None
    await asyncio.wait_for(bench.running, 30)
    assert bench.listener.costs == [Loss(12, 0, "the bridge ends")]


async def test_the_services_own_link_timeout_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "HEARTBEAT_S", 0.01)
    bench.service.link_timeout_s = 0.05
    bench.service.answers_heartbeats = False
    await bench.start()
    await until(lambda: bench.listener.losses)
    assert "for 0.05 s" in bench.listener.losses[0]
