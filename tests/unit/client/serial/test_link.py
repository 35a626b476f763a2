"""The link: connects, converses, says goodbye, and comes back after a loss."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from fakes.link_bench import Bench, Stream
from fakes.waiting import until
from usbshare.base.backoff import Backoff
from usbshare.base.errors import PermissionDeniedError, PortHeldError
from usbshare.client.serial import link as link_module
from usbshare.client.serial.link_state import LinkState
from usbshare.client.serial.messages import (
    ClosedEvent,
    DataEvent,
    Event,
    Goodbye,
    Heartbeat,
    SendCommand,
)
from usbshare.client.serial.resumption import Loss


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


async def test_a_close_is_sent_after_the_programs_last_bytes(bench: Bench) -> None:
    await bench.start()
    bench.upstream.add_program(b"last\n")
    bench.link.close()
    assert bench.running is not None
    await asyncio.wait_for(bench.running, 30)
    kinds = [type(m) for m in bench.service.received if not isinstance(m, Heartbeat)]
    assert kinds == [SendCommand, Goodbye]
    assert bench.link.state is LinkState.ENDED
    assert bench.listener.losses == []


async def test_the_only_port_of_a_host_is_the_same_at_every_connection() -> None:
    bench = Bench(port_id="")  # whichever is the only one
    await bench.start()
    bench.service.streams[0].end()
    await until(lambda: len(bench.service.asked_ports) > 1)
    assert bench.service.asked_ports[:2] == ["", "laser"]  # another one may be the only one now
    bench.link.close()
    assert bench.running is not None
    await asyncio.wait_for(bench.running, 30)


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
async def test_a_lost_session_is_reported_and_opened_again(
    bench: Bench, how: Callable[[Stream], None], says: str
) -> None:
    await bench.start()
    how(bench.service.streams[0])
    await until(lambda: bench.listener.connected == ["s0", "s1"])
    assert says in bench.listener.losses[0]
    assert len(bench.listener.waits) == 1


async def test_a_silent_service_is_abandoned(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "LINK_TIMEOUT_S", 0.05)
    monkeypatch.setattr(link_module, "HEARTBEAT_S", 0.01)
    bench.service.answers_heartbeats = False
    await bench.start()
    await until(lambda: bench.listener.losses)
    assert "heard nothing" in bench.listener.losses[0]


async def test_a_client_without_the_right_any_more_does_not_retry(bench: Bench) -> None:
    await bench.start()
    bench.service.refuses = PermissionDeniedError("the certificate of pc is revoked")
    bench.service.streams[0].end()
    assert bench.running is not None
    with pytest.raises(PermissionDeniedError, match="revoked"):
        await bench.running


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
    monkeypatch.setattr(Backoff, "next_s", lambda _: 3600.0)
    bench.service.refuses = PortHeldError("held")
    bench.service.streams[0].end()
    await until(lambda: len(bench.listener.waits) == 1)
    bench.service.refuses = None
    bench.link.retry_now()
    await until(lambda: bench.listener.connected == ["s0", "s1"])


async def test_waking_an_established_link_changes_nothing(bench: Bench) -> None:
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


async def test_received_bytes_are_acknowledged_every_32_kib(bench: Bench) -> None:
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
        bench.listener, "link_lost", lambda *_, **__: states.append(bench.link.is_connected)
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
    assert bench.listener.costs == [Loss(12, 20, "the session has ended")]
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
    assert bench.listener.costs == [Loss(12, 0, "the bridge is shutting down")]


async def test_the_services_own_link_timeout_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "HEARTBEAT_S", 0.01)
    bench.service.link_timeout_s = 0.05
    bench.service.answers_heartbeats = False
    await bench.start()
    await until(lambda: bench.listener.losses)
    assert "for 0.05 s" in bench.listener.losses[0]
