"""Observers get what there is every 25 ms, a few every 2 ms; control never waits."""

from __future__ import annotations

import asyncio
import time

from fakes.waiting import until
from usbshare.rpc.pump import StreamPump
from usbshare.serial_svc.line.scheduler import Band, CommandOutcome
from usbshare.serial_svc.sessions.events import CommandResult, Data, QueueState, SessionEvent
from usbshare.serial_svc.sessions.observer_outbox import ObserverOutbox
from usbshare.serial_svc.sessions.observer_turns import (
    GATHER_S,
    LEAST_MESSAGES_PER_S,
    MOST_A_TURN,
    MOST_CPU_SHARE,
    MOST_MESSAGES_PER_S,
    MessageRate,
    ObserverTurns,
)


class Observer:
    """An observer's outbox and the stream that takes what comes of it, in the loop's next round."""

    def __init__(self, observer_turns: ObserverTurns) -> None:
        self.heard: list[SessionEvent] = []
        self.bytes = 0
        self.fails = False
        self.observer_turns = observer_turns
        self.outbox = ObserverOutbox(observer_turns.tail)
        self.pump = StreamPump(self.outbox, self._write, time.monotonic, observer_turns.queue_up)
        observer_turns.join(self.pump)
        self.outbox.attach(self.pump)

    async def _write(self, event: SessionEvent | None) -> None:
        if self.fails:
            raise asyncio.CancelledError
        if event is not None:
            self.heard.append(event)
            self.bytes += len(event.data) if isinstance(event, Data) else 0
        turn = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turn.set_result, None)
        await turn


def say(observers: list[Observer], data: bytes) -> None:
    """Let the device say something to all that observe it."""
    observers[0].observer_turns.put_data(data)


def observe(count: int) -> list[Observer]:
    observer_turns = ObserverTurns()
    return [Observer(observer_turns) for _ in range(count)]


async def test_only_a_few_get_something_in_each_round_of_the_loop() -> None:
    observers = observe(50)
    say(observers, b"ok\n")
    most, before = 0, 0
    while before < 50:
        await asyncio.sleep(0)
        now = sum(bool(each.heard) for each in observers)
        most, before = max(most, now - before), now
    assert most == MOST_A_TURN


async def test_many_are_spread_so_that_other_threads_have_the_processor_in_between() -> None:
    observers = observe(30)
    began = time.monotonic()
    say(observers, b"ok\n")
    await until(lambda: all(each.heard for each in observers))
    assert time.monotonic() - began >= (30 - MOST_A_TURN) / MOST_MESSAGES_PER_S


async def test_the_first_message_goes_at_once_and_the_next_are_merged() -> None:
    observer = Observer(ObserverTurns())
    began = time.monotonic()
    say([observer], b"first\n")
    await until(lambda: observer.heard)
    for _ in range(10):
        say([observer], b"x")
        await asyncio.sleep(0)
    await until(lambda: observer.bytes == 16)
    assert [len(each.data) for each in observer.heard if isinstance(each, Data)] == [6, 10]
    assert time.monotonic() - began >= GATHER_S


async def test_states_that_change_all_the_time_hold_up_no_bytes() -> None:
    observers = observe(20)
    sent = 0
    for number in range(100):
        state = QueueState(number, 0, Band.NORMAL if number % 2 else Band.HIGH, 0.0)
        for each in observers:
            each.outbox.put(state)
        say(observers, b"status\n")
        sent += 7
        await asyncio.sleep(0.001)
    await until(lambda: all(each.bytes == sent for each in observers))
    for each in observers:
        states = [event for event in each.heard if isinstance(event, QueueState)]
        assert states[-1].commands == 99
        assert len(states) < 50


async def test_messages_other_than_state_are_never_replaced() -> None:
    observer = Observer(ObserverTurns())
    for number in range(5):
        observer.outbox.put(CommandResult(number, CommandOutcome.REFUSED))
    await until(lambda: len(observer.heard) == 5)


async def test_an_observer_whose_stream_has_ended_holds_up_no_other() -> None:
    observers = observe(10)
    observers[0].fails = True
    say(observers, b"one\n")
    await until(lambda: all(each.bytes == 4 for each in observers[1:]))
    say(observers, b"two\n")
    await until(lambda: all(each.bytes == 8 for each in observers[1:]))
    assert observers[0].pump.ended.done()


class Processor:
    """A process whose every message takes `message_s` of a processor, and others `other_share`."""

    def __init__(self, message_s: float, other_share: float = 0.0) -> None:
        self.message_s, self.other_share = message_s, other_share
        self.used_s = 0.0
        self.now = 100.0
        self.rate = MessageRate(lambda: self.used_s)

    def run(self, rounds: int) -> float:
        """Let 128 observers have their messages so often; returns the messages a second."""
        for _ in range(rounds):
            self.rate.begin_round(self.now)
            interval_s = 128 / self.rate.per_s
            self.now += interval_s
            self.used_s += 128 * self.message_s + interval_s * self.other_share
        return self.rate.per_s


def test_a_fast_machine_sends_as_many_messages_as_are_allowed() -> None:
    assert Processor(0.0001).run(50) == MOST_MESSAGES_PER_S


def test_a_slow_machine_sends_what_takes_its_share_of_a_core() -> None:
    rate = Processor(0.0005).run(50)
    assert abs(rate * 0.0005 - MOST_CPU_SHARE) < 0.05


def test_a_busy_machine_still_sends_some_and_recovers_when_it_is_free() -> None:
    processor = Processor(0.0001, other_share=0.9)
    assert processor.run(50) == LEAST_MESSAGES_PER_S
    processor.other_share = 0.0
    assert processor.run(50) == MOST_MESSAGES_PER_S
