"""What one identity may use of a service: token buckets and counts, by the policy as it is now."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from usbshare.base.errors import LimitError
from usbshare.base.rate_limits import Bucket

# Who asks too fast is answered late, at last with a refusal: to try again at once gains nothing.
LONGEST_WAIT_S = 1.0
# What stops a machine is limited only so far as its service must stay able to do it.
URGENT_PER_S = 100.0
# How much of a rate may come at once, after a pause.
BURST_S = 2.0
# So many calls of one identity wait at a time; more are refused at once.
MOST_WAITING = 1024
# Identities that used nothing for this long are forgotten.
FORGOTTEN_AFTER_S = 60.0


class LimitsTable(Protocol):
    """The part of the policy that this needs; all are per identity."""

    @property
    def connections(self) -> int:
        """TCP connections with a stream under way."""

    @property
    def streams(self) -> int:
        """Streams under way."""

    @property
    def requests_per_s(self) -> float:
        """RPCs begun."""

    @property
    def commands_per_s(self) -> float:
        """Messages within streams."""

    @property
    def bytes_per_s(self) -> float:
        """Bytes within streams."""


@dataclass(slots=True)
class _Usage:
    """What one identity has used."""

    commands: Bucket
    bytes: Bucket
    seen: float
    requests: dict[str, Bucket] = field(default_factory=dict)
    streams: int = 0
    waiting: int = 0
    connections: Counter[str] = field(default_factory=Counter)


class Limits:
    """Keeps every identity within the policy's limits; of one event loop.

    What is urgent is counted separately, so that nothing else an identity does can delay it.
    """

    def __init__(self, table: Callable[[], LimitsTable], clock: Callable[[], float]) -> None:
        self._table = table
        self._clock = clock
        self._usages: dict[str, _Usage] = {}
        self._swept = clock()

    async def admit_request(self, who: str, lane: str = "") -> None:
        """Count an RPC, and wait where it comes early; LimitError, late, if far too early.

        `lane`: which urgent RPC it is, and empty for all others. No policy allows few of these.
        """
        usage, rate = self._usage(who), self._table().requests_per_s
        if lane:
            rate = max(rate, URGENT_PER_S)
        bucket = usage.requests.setdefault(lane, Bucket(BURST_S, self._clock()))
        wait_s = bucket.take(1, rate, self._clock())
        if wait_s > LONGEST_WAIT_S:
            bucket.give_back(1, rate)
            await _wait(usage, LONGEST_WAIT_S)
            raise LimitError(f"'{who}' makes more than {rate:g} requests per second")
        if wait_s:
            await _wait(usage, wait_s)

    @contextmanager
    def open_stream(self, who: str, address: str) -> Iterator[None]:
        """Count a stream and its connection (`address:port`) during the block.

        Raises LimitError.
        """
        usage, table = self._usage(who), self._table()
        if usage.streams >= table.streams:
            raise LimitError(f"'{who}' already has {usage.streams} streams open, the maximum")
        if address not in usage.connections and len(usage.connections) >= table.connections:
            most = len(usage.connections)
            raise LimitError(f"'{who}' already uses {most} connections, the maximum")
        usage.streams += 1
        usage.connections[address] += 1
        try:
            yield
        finally:
            self._leave(usage, address)

    def pace(self, who: str, commands: int, size_bytes: int) -> float:
        """Count what a stream read; return for how many seconds to read nothing more from it."""
        now, table = self._clock(), self._table()
        usage = self._usages.get(who) or self._usage(who)
        usage.seen = now
        for_commands = usage.commands.take(commands, table.commands_per_s, now)
        for_bytes = usage.bytes.take(size_bytes, table.bytes_per_s, now)
        return for_commands if for_commands > for_bytes else for_bytes

    def _leave(self, usage: _Usage, address: str) -> None:
        usage.seen = self._clock()
        usage.streams -= 1
        usage.connections[address] -= 1
        if not usage.connections[address]:
            del usage.connections[address]

    def _usage(self, who: str) -> _Usage:
        now = self._clock()
        usage = self._usages.get(who)
        if usage is None:
            self._sweep(now)
            usage = _Usage(Bucket(BURST_S, now), Bucket(BURST_S, now), now)
            self._usages[who] = usage
        usage.seen = now
        return usage

    def _sweep(self, now: float) -> None:
        """Forget who has been idle: its buckets are full again."""
        if now - self._swept < FORGOTTEN_AFTER_S:
            return
        self._swept = now
        idle_since = now - FORGOTTEN_AFTER_S
        gone = [
            who
            for who, usage in self._usages.items()
            if usage.seen < idle_since and not usage.streams and not usage.waiting
        ]
        for who in gone:
            del self._usages[who]


async def _wait(usage: _Usage, wait_s: float) -> None:
    if usage.waiting >= MOST_WAITING:
        raise LimitError(f"{usage.waiting} calls from the same caller are already waiting")
    usage.waiting += 1
    try:
        await asyncio.sleep(wait_s)
    finally:
        usage.waiting -= 1
