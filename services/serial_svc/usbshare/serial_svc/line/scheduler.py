"""Chooses the next command: priorities cannot corrupt a program, and no command starves."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

from usbshare.line.profiles import Priority

_RANKS: dict[Priority | None, int] = {
    Priority.EMERGENCY: 0,
    Priority.HIGH: 1,
    Priority.NORMAL: 2,
    None: 2,
    Priority.LOW: 3,
}
_BEST_PROMOTED_RANK = _RANKS[Priority.HIGH]


class Ordering(Enum):
    """How the commands of one source are ordered."""

    PROGRAM = "program"
    PRIORITY = "priority"


class CommandOutcome(Enum):
    """What became of a command."""

    WRITTEN = "written"
    FENCED = "fenced"
    FLUSHED = "flushed"
    REFUSED = "refused"
    FAILED = "failed"
    ANSWERED = "answered"
    REJECTED = "rejected"
    UNANSWERED = "unanswered"


class Band(Enum):
    """How full the queue is."""

    NORMAL = "normal"
    HIGH = "high"
    OVERLOAD = "overload"


def band_of(depth: int) -> Band:
    """Name the band of a depth in commands: to 5 normal, to 20 high, above that overload."""
    if depth <= 5:
        return Band.NORMAL
    return Band.HIGH if depth <= 20 else Band.OVERLOAD


@dataclass(slots=True, eq=False)
class Queued:
    """A command; `source` is its sender, times are monotonic seconds.

    `priority` None counts as NORMAL.
    """

    source: object
    command_id: int
    priority: Priority | None
    data: bytes
    queued_at: float
    written_bytes: int = 0
    started_at: float | None = None

    @property
    def remaining(self) -> int:
        """Bytes not yet handed to the device."""
        return len(self.data) - self.written_bytes

    def take(self, size: int, now: float) -> int:
        """Note up to `size` bytes as written; returns how many."""
        if self.started_at is None:
            self.started_at = now
        taken = min(size, self.remaining)
        self.written_bytes += taken
        return taken


@dataclass(slots=True)
class _Lane:
    """The waiting commands of one source: one deque for a program, one a priority otherwise."""

    ordering: Ordering
    queues: dict[Priority | None, deque[Queued]] = field(default_factory=dict)
    waiting_bytes: int = 0
    commands: int = 0
    is_held: bool = False

    def append(self, command: Queued) -> None:
        key = None if self.ordering is Ordering.PROGRAM else command.priority
        self.queues.setdefault(key, deque()).append(command)
        self.waiting_bytes += command.remaining
        self.commands += 1

    def heads(self) -> Iterator[Queued]:
        return (queue[0] for queue in self.queues.values() if queue)

    def everything(self) -> Iterator[Queued]:
        return (command for queue in self.queues.values() for command in queue)

    def hold(self) -> None:
        self.is_held = True

    def release(self) -> None:
        self.is_held = False

    def take(self, command: Queued, size: int, now: float) -> int:
        taken = command.take(size, now)
        self.waiting_bytes -= taken
        return taken

    def clear(self) -> None:
        self.queues.clear()
        self.commands = self.waiting_bytes = 0

    def remove_head(self, head: Queued) -> None:
        for queue in self.queues.values():
            if queue and queue[0] is head:
                queue.popleft()
                self.commands -= 1
                return


class Scheduler:
    """A bounded queue over all sources. A command that has begun is finished before the next.

    `commands` is how many wait, the one being written included.
    """

    def __init__(self, *, max_commands: int, max_bytes: int, promote_after_s: float) -> None:
        self.max_commands = max_commands
        self.max_bytes = max_bytes
        self._promote_after_s = promote_after_s
        self._lanes: dict[object, _Lane] = {}
        self._current: Queued | None = None
        self.commands = 0
        self._bytes = 0

    @property
    def waiting_bytes(self) -> int:
        """Bytes waiting."""
        return self._bytes

    def add_source(self, source: object, ordering: Ordering) -> None:
        """Make a source known; its commands relate as `ordering` says."""
        self._lanes[source] = _Lane(ordering)

    def remove_source(self, source: object) -> list[Queued]:
        """Remove a source and return its dropped commands."""
        dropped = self.drop(source)
        self._lanes.pop(source, None)
        return dropped

    def hold(self, source: object) -> None:
        """Send nothing of a source until `release`, not even the rest of a command."""
        self._lanes[source].hold()

    def release(self, source: object) -> None:
        """Let a source's commands go out again."""
        if source in self._lanes:
            self._lanes[source].release()

    def has_room(self, size: int) -> bool:
        """Return whether a command of that many bytes may be added; an empty queue takes any."""
        fits = self._bytes + size <= self.max_bytes or self.commands == 0
        return fits and self.commands < self.max_commands

    def add(self, command: Queued) -> None:
        """Queue a command of a known source; the caller has asked `has_room`.

        A command that has begun, which only an empty queue may be given, is finished first.
        """
        if command.written_bytes:
            self._current = command
        self._lanes[command.source].append(command)
        self.commands += 1
        self._bytes += command.remaining

    def waiting_of(self, source: object) -> tuple[int, int]:
        """Return how many commands and bytes of the source wait."""
        lane = self._lanes.get(source)
        return (lane.commands, lane.waiting_bytes) if lane else (0, 0)

    def current(self, now: float) -> Queued | None:
        """Return the command to write from: the one begun, else the best one waiting."""
        if self._current is None:
            self._current = self._best(now)
        elif self._lanes[self._current.source].is_held:
            return None
        return self._current

    def bytes_in_a_row(self, command: Queued) -> int:
        """Return how many bytes go out without a gap, from the current command on.

        Later commands are included if only its own source waits.
        """
        lane = self._lanes[command.source]
        return lane.waiting_bytes if lane.commands == self.commands else command.remaining

    def next_bytes(self, size: int, now: float) -> bytes:
        """Return the next bytes: the rest of the current command, then later commands.

        At most `bytes_in_a_row`.
        """
        current = self._require_current(now)
        begun = current.written_bytes
        if size <= current.remaining:
            return current.data[begun : begun + size]
        gathered = bytearray(current.data[begun:])
        for command in self._following(current, now):
            gathered += command.data[: size - len(gathered)]
            if len(gathered) == size:
                break
        return bytes(gathered)

    def written(self, size: int, now: float) -> list[Queued]:
        """Note that so many of the next bytes went out; return the commands that are now whole."""
        whole: list[Queued] = []
        while size:
            command = self._require_current(now)
            size -= self._take(command, size, now)
            if not command.remaining:
                whole.append(command)
                self._remove(self._lanes[command.source], command)
        return whole

    def drop(self, source: object | None = None) -> list[Queued]:
        """Empty the queue, or one source's part of it; return what is dropped, oldest first."""
        lanes = list(self._lanes.values()) if source is None else [self._lanes.get(source)]
        dropped: list[Queued] = []
        for lane in lanes:
            if lane is not None:
                dropped += self._drop_lane(lane)
        return sorted(dropped, key=lambda command: command.queued_at)

    def oldest_age_s(self, now: float) -> float:
        """Return how long the oldest waiting command has waited; 0 for none."""
        heads = [head.queued_at for lane in self._lanes.values() for head in lane.heads()]
        return now - min(heads) if heads else 0.0

    def _require_current(self, now: float) -> Queued:
        if self._current is None:
            self._current = self._best(now)
        if self._current is None:
            raise RuntimeError("no command is being written")
        return self._current

    def _take(self, command: Queued, size: int, now: float) -> int:
        """Note up to `size` bytes of one command; returns how many."""
        taken = self._lanes[command.source].take(command, size, now)
        self._bytes -= taken
        return taken

    def _following(self, current: Queued, now: float) -> Iterator[Queued]:
        """Yield the commands of the only waiting source, in order, except the current one."""
        lane = self._lanes[current.source]
        waiting: Iterable[Queued] = lane.everything()
        if lane.ordering is Ordering.PRIORITY:
            queues = lane.queues.values()
            waiting = heapq.merge(*queues, key=lambda c: (self._rank(c, now), c.queued_at))
        return (command for command in waiting if command is not current)

    def _drop_lane(self, lane: _Lane) -> list[Queued]:
        dropped = list(lane.everything())
        if self._current in dropped:
            self._current = None
        self.commands -= lane.commands
        self._bytes -= lane.waiting_bytes
        lane.clear()
        return dropped

    def _remove(self, lane: _Lane, command: Queued) -> None:
        lane.remove_head(command)
        self.commands -= 1
        self._current = None

    def _best(self, now: float) -> Queued | None:
        if not self.commands:
            return None
        lanes = [lane for lane in self._lanes.values() if lane.commands and not lane.is_held]
        if len(lanes) == 1 and lanes[0].ordering is Ordering.PROGRAM:
            return next(lanes[0].heads())
        candidates = [entry for lane in lanes for entry in self._candidates(lane, now)]
        return min(candidates, key=lambda entry: entry[:2])[2] if candidates else None

    def _candidates(self, lane: _Lane, now: float) -> Iterator[tuple[int, float, Queued]]:
        """Yield (rank, since, head); a program inherits the best rank that waits in it."""
        if lane.ordering is Ordering.PROGRAM:
            head = next(lane.heads())
            rank = min(self._rank(command, now) for command in lane.everything())
            yield rank, head.queued_at, head
            return
        for head in lane.heads():
            yield self._rank(head, now), head.queued_at, head

    def _rank(self, command: Queued, now: float) -> int:
        rank = _RANKS[command.priority]
        promotions = int((now - command.queued_at) / self._promote_after_s)
        return max(min(rank, _BEST_PROMOTED_RANK), rank - promotions)
