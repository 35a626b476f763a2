"""Order of commands: priorities that cannot corrupt a program, and nothing starves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usbshare.line.profiles import Priority
from usbshare.serial_svc.line.scheduler import Band, Ordering, Queued, Scheduler, band_of

PROMOTE_S = 2.0
priorities = st.sampled_from(list(Priority))


def scheduler(max_commands: int = 100, max_bytes: int = 65536) -> Scheduler:
    return Scheduler(max_commands=max_commands, max_bytes=max_bytes, promote_after_s=PROMOTE_S)


def queued(source: str, number: int, priority: Priority, at: float, data: bytes = b"x") -> Queued:
    return Queued(source, number, priority, data, at)


def drain(queue: Scheduler, now: float) -> list[Queued]:
    """Write everything whole, return the order."""
    order = []
    while (command := queue.current(now)) is not None:
        finished = queue.written(command.remaining, now)
        assert finished == [command]
        order.append(command)
    return order


@given(st.lists(priorities, max_size=60), st.floats(0, 100))
def test_a_program_keeps_its_order_whatever_its_priorities(
    levels: list[Priority], age_s: float
) -> None:
    queue = scheduler()
    queue.add_source("program", Ordering.PROGRAM)
    for number, level in enumerate(levels):
        queue.add(queued("program", number, level, at=number * 0.1))
    assert [c.command_id for c in drain(queue, now=10 + age_s)] == list(range(len(levels)))


@given(st.lists(priorities, max_size=60))
def test_independent_commands_go_by_priority_then_by_age(levels: list[Priority]) -> None:
    queue = scheduler()
    queue.add_source("tool", Ordering.PRIORITY)
    for number, level in enumerate(levels):
        queue.add(queued("tool", number, level, at=number * 1e-6))
    order = [(c.priority, c.command_id) for c in drain(queue, now=0.001)]
    assert order == sorted(order)


def test_a_source_competes_by_the_best_priority_that_waits_in_it() -> None:
    queue = scheduler()
    queue.add_source("program", Ordering.PROGRAM)
    queue.add_source("tool", Ordering.PRIORITY)
    queue.add(queued("tool", 1, Priority.NORMAL, at=0.0))
    queue.add(queued("program", 2, Priority.LOW, at=0.1))
    queue.add(queued("program", 3, Priority.HIGH, at=0.2))
    assert [c.command_id for c in drain(queue, now=0.3)] == [2, 3, 1]


@pytest.mark.parametrize("flood", [Priority.HIGH, Priority.NORMAL])
def test_a_low_command_is_not_starved_by_a_flood(flood: Priority) -> None:
    queue = scheduler()
    queue.add_source("tool", Ordering.PRIORITY)
    queue.add(queued("tool", 0, Priority.LOW, at=0.0))
    now, step = 0.0, 0.05
    for number in range(1, 1000):
        now += step
        queue.add(queued("tool", number, flood, at=now))
        command = queue.current(now)
        assert command is not None
        queue.written(command.remaining, now)
        if command.command_id == 0:
            break
    assert now <= 2 * PROMOTE_S + step


def test_promotion_never_overtakes_an_emergency() -> None:
    queue = scheduler()
    queue.add_source("tool", Ordering.PRIORITY)
    queue.add(queued("tool", 1, Priority.LOW, at=0.0))
    queue.add(queued("tool", 2, Priority.EMERGENCY, at=99.0))
    assert [c.command_id for c in drain(queue, now=100.0)] == [2, 1]


def test_a_command_that_has_begun_is_finished_first() -> None:
    queue = scheduler()
    queue.add_source("tool", Ordering.PRIORITY)
    queue.add(queued("tool", 1, Priority.NORMAL, at=0.0, data=b"G1 X10\n"))
    assert queue.current(0.0) is not None
    queue.written(3, 0.0)
    queue.add(queued("tool", 2, Priority.EMERGENCY, at=0.1, data=b"M5\n"))
    assert [c.command_id for c in drain(queue, now=0.2)] == [1, 2]


def test_the_queue_is_full_at_its_commands_and_at_its_bytes() -> None:
    queue = scheduler(max_commands=2, max_bytes=10)
    queue.add_source("tool", Ordering.PRIORITY)
    assert queue.has_room(4096)
    queue.add(queued("tool", 1, Priority.NORMAL, at=0.0, data=b"12345"))
    assert queue.has_room(5)
    assert not queue.has_room(6)
    queue.add(queued("tool", 2, Priority.NORMAL, at=0.0, data=b"1"))
    assert not queue.has_room(1)


def test_dropping_a_source_leaves_the_others_and_the_counts_right() -> None:
    queue = scheduler()
    queue.add_source("a", Ordering.PROGRAM)
    queue.add_source("b", Ordering.PROGRAM)
    queue.add(queued("a", 1, Priority.NORMAL, at=0.0, data=b"abc"))
    queue.add(queued("b", 2, Priority.NORMAL, at=0.1, data=b"de"))
    assert queue.current(0.2) is not None
    queue.written(1, 0.2)
    assert [c.command_id for c in queue.drop("a")] == [1]
    assert (queue.commands, queue.waiting_bytes) == (1, 2)
    assert queue.waiting_of("a") == (0, 0)
    assert [c.command_id for c in drain(queue, now=1.0)] == [2]


@given(
    st.lists(st.tuples(st.sampled_from("abw"), priorities, st.integers(1, 9)), max_size=80),
)
def test_counts_always_agree_with_what_is_there(steps: list[tuple[str, Priority, int]]) -> None:
    queue = scheduler()
    queue.add_source("a", Ordering.PROGRAM)
    queue.add_source("b", Ordering.PRIORITY)
    expected: list[Queued] = []
    for number, (kind, level, size) in enumerate(steps):
        if kind == "w":
            command = queue.current(number)
            if command is not None:
                queue.written(min(size, command.remaining), number)
        else:
            command = queued(kind, number, level, at=number, data=b"x" * size)
            expected.append(command)
            queue.add(command)
        left = [c for c in expected if c.remaining]
        assert queue.commands == len(left)
        assert queue.waiting_bytes == sum(c.remaining for c in left)


def drain_in_a_row(queue: Scheduler, sizes: list[int], now: float) -> tuple[bytes, list[int]]:
    """Write as the writer does, in slices over many commands; returns bytes and order."""
    sent, order, turn = bytearray(), [], 0
    while (command := queue.current(now)) is not None:
        size = min(sizes[turn % len(sizes)], queue.bytes_in_a_row(command))
        data = queue.next_bytes(size, now)
        assert len(data) == size
        sent += data
        order += [whole.command_id for whole in queue.written(size, now)]
        turn += 1
    return bytes(sent), order


def mixed_queue(commands: list[tuple[str, Priority, bytes, float]]) -> Scheduler:
    queue = scheduler()
    queue.add_source("program", Ordering.PROGRAM)
    queue.add_source("other", Ordering.PROGRAM)
    queue.add_source("tool", Ordering.PRIORITY)
    at = 0.0
    for number, (source, level, data, later) in enumerate(commands):
        at += later
        queue.add(queued(source, number, level, at=at, data=data))
    return queue


@given(
    st.sampled_from([("program",), ("tool",), ("program", "tool"), ("program", "other", "tool")]),
    st.data(),
    st.lists(st.integers(1, 200), min_size=1, max_size=9),
    st.floats(0, 10),
)
def test_commands_that_share_a_write_go_out_as_they_would_alone(
    sources: tuple[str, ...], data: st.DataObject, sizes: list[int], age_s: float
) -> None:
    command = st.tuples(
        st.sampled_from(sources), priorities, st.binary(min_size=1, max_size=40), st.floats(0, 1)
    )
    commands = data.draw(st.lists(command, max_size=40))
    now = sum(later for *_, later in commands) + age_s
    alone = drain(mixed_queue(commands), now)
    sent, order = drain_in_a_row(mixed_queue(commands), sizes, now)
    assert order == [c.command_id for c in alone]
    assert sent == b"".join(c.data for c in alone)


def test_a_command_does_not_share_a_write_while_another_source_waits() -> None:
    queue = mixed_queue([("program", Priority.LOW, b"abc", 0.0), ("tool", Priority.LOW, b"d", 0.0)])
    command = queue.current(1.0)
    assert command is not None
    assert queue.bytes_in_a_row(command) == 3


def test_a_write_that_ends_within_a_command_counts_what_went_of_it() -> None:
    queue = mixed_queue([("program", Priority.NORMAL, b"abcd", 0.0)] * 3)
    assert queue.current(0.0) is not None
    assert queue.next_bytes(6, 0.0) == b"abcdab"
    assert [c.command_id for c in queue.written(6, 0.0)] == [0]
    assert [(c.command_id, c.written_bytes) for c in queue.drop()] == [(1, 2), (2, 0)]


def test_the_oldest_age_is_that_of_the_oldest_command() -> None:
    queue = scheduler()
    queue.add_source("tool", Ordering.PRIORITY)
    assert queue.oldest_age_s(5.0) == 0.0
    queue.add(queued("tool", 1, Priority.LOW, at=1.0))
    queue.add(queued("tool", 2, Priority.HIGH, at=3.0))
    assert queue.oldest_age_s(5.0) == 4.0


@pytest.mark.parametrize(
    ("depth", "band"),
    [(0, Band.NORMAL), (5, Band.NORMAL), (6, Band.HIGH), (20, Band.HIGH), (21, Band.OVERLOAD)],
)
def test_bands_are_those_of_the_design(depth: int, band: Band) -> None:
    assert band_of(depth) is band
