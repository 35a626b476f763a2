"""Whatever is queued, written, held and dropped in any order: nothing is lost, doubled or mixed."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from usbshare.line.profiles import Priority
from usbshare.serial_svc.line.scheduler import Ordering, Queued, Scheduler

MAX_COMMANDS, MAX_BYTES = 8, 200
SOURCES = ("program", "other", "tool")
sources = st.sampled_from(SOURCES)


class Queue(RuleBasedStateMachine):
    """A scheduler beside a plain list of what waits."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.made = 0
        self.waiting: list[Queued] = []
        self.begun: Queued | None = None
        self.held: set[str] = set()
        self.queue = Scheduler(max_commands=MAX_COMMANDS, max_bytes=MAX_BYTES, promote_after_s=2.0)

    @initialize()
    def introduce(self) -> None:
        for source in SOURCES:
            ordering = Ordering.PRIORITY if source == "tool" else Ordering.PROGRAM
            self.queue.add_source(source, ordering)

    @rule(source=sources, priority=st.sampled_from(list(Priority)), size=st.integers(1, 90))
    def add(self, source: str, priority: Priority, size: int) -> None:
        if not self.queue.has_room(size):
            assert self.waiting
            return
        self.made += 1
        command = Queued(source, self.made, priority, b"x" * size, self.now)
        self.queue.add(command)
        self.waiting.append(command)

    @rule(seconds=st.floats(0, 10))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(share=st.floats(0.01, 1))
    def write(self, share: float) -> None:
        command = self.queue.current(self.now)
        if command is None:
            free = [c for c in self.waiting if c.source not in self.held]
            assert not free or (self.begun is not None and self.begun.source in self.held)
            return
        assert command in self.waiting
        assert command.source not in self.held
        assert self.begun is None or command is self.begun
        if command.source != "tool":
            of_it = [c for c in self.waiting if c.source == command.source]
            assert command is of_it[0]
        in_a_row = self.queue.bytes_in_a_row(command)
        others = [c for c in self.waiting if c.source != command.source]
        if others:
            assert in_a_row == command.remaining
        self.write_from(command, max(1, int(in_a_row * share)))

    def write_from(self, command: Queued, size: int) -> None:
        left = {id(c): c.remaining for c in self.waiting}
        data = self.queue.next_bytes(size, self.now)
        assert len(data) == size
        finished = self.queue.written(size, self.now)
        assert sum(left[id(c)] - c.remaining for c in self.waiting) == size
        assert finished == [c for c in finished if c.remaining == 0]
        self.waiting = [c for c in self.waiting if c not in finished]
        begun = [c for c in self.waiting if c.remaining < left[id(c)]]
        assert len(begun) <= 1
        if finished:
            assert finished[0] is command
        self.begun = begun[0] if begun else None

    @rule(source=st.one_of(st.none(), sources))
    def drop(self, source: str | None) -> None:
        gone = [c for c in self.waiting if source in {None, c.source}]
        dropped = self.queue.drop(source)
        assert sorted(map(id, dropped)) == sorted(map(id, gone))
        self.forget(gone)

    @rule(source=sources)
    def leave_and_come_back(self, source: str) -> None:
        gone = [c for c in self.waiting if c.source == source]
        assert len(self.queue.remove_source(source)) == len(gone)
        self.forget(gone)
        self.held.discard(source)
        ordering = Ordering.PRIORITY if source == "tool" else Ordering.PROGRAM
        self.queue.add_source(source, ordering)

    def forget(self, gone: list[Queued]) -> None:
        self.waiting = [c for c in self.waiting if c not in gone]
        if self.begun in gone:
            self.begun = None

    @rule(source=sources)
    def hold(self, source: str) -> None:
        self.queue.hold(source)
        self.held.add(source)

    @precondition(lambda self: self.held)
    @rule()
    def release_all(self) -> None:
        for source in self.held:
            self.queue.release(source)
        self.held.clear()

    @invariant()
    def its_counts_are_those_of_the_list(self) -> None:
        assert self.queue.commands == len(self.waiting) <= MAX_COMMANDS
        assert self.queue.waiting_bytes == sum(c.remaining for c in self.waiting) <= MAX_BYTES
        for source in SOURCES:
            of_it = [c for c in self.waiting if c.source == source]
            expected = len(of_it), sum(c.remaining for c in of_it)
            assert self.queue.waiting_of(source) == expected
        ages = [self.now - c.queued_at for c in self.waiting]
        assert self.queue.oldest_age_s(self.now) <= max(ages, default=0.0)


TestQueue = Queue.TestCase
