"""Lets those who only observe have their turn, a few at a time, so that control never waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

from usbshare.rpc.pump import StreamPump
from usbshare.serial_svc.sessions.observer_outbox import Tail

# Writing to all at once would take every core from a stop, that of the network's threads too.
MOST_A_TURN = 3
# What comes within this time goes to each observer in one message.
GATHER_S = 0.025
# Many observers are gathered for longer: a message costs the same whatever is in it.
MOST_MESSAGES_PER_S = 2000.0
LEAST_MESSAGES_PER_S = 100.0
# Of one core, for the whole process: on a slow machine fewer messages take that much.
MOST_CPU_SHARE = 0.5
RECOVERY = 1.1


class MessageRate:
    """How many messages a second observers may have together: fewer while the process is busy.

    `cpu` returns the seconds of processor time that the process has used.
    """

    def __init__(self, cpu: Callable[[], float] = time.process_time) -> None:
        self.per_s = MOST_MESSAGES_PER_S
        self._cpu = cpu
        self._since, self._used_s = float("-inf"), 0.0

    def begin_round(self, now: float) -> None:
        """Adjust to what the time since the last round cost; `now` is monotonic, in seconds."""
        used_s, passed_s = self._cpu(), now - self._since
        share = (used_s - self._used_s) / passed_s
        self._since, self._used_s = now, used_s
        change = min(RECOVERY, MOST_CPU_SHARE / share) if share > 0 else RECOVERY
        self.per_s = min(MOST_MESSAGES_PER_S, max(LEAST_MESSAGES_PER_S, self.per_s * change))


class ObserverTurns:
    """Gives the pumps of observers turns: all with news every 25 ms, a few every 1.5 ms.

    More rarely if they are many or the processor is busy. The first news after a pause go at once.
    What the device said is in `tail`, once for all of them.
    """

    def __init__(self) -> None:
        self.tail = Tail()
        self._all: dict[StreamPump[Any], None] = {}
        self._has_news_for_all = False
        self._waiting: dict[StreamPump[Any], None] = {}
        self._due: dict[StreamPump[Any], None] = {}
        self._free_at = self._turn_at = float("-inf")
        self._rate = MessageRate()
        self._timer: asyncio.Handle | None = None

    def join(self, pump: StreamPump[Any]) -> None:
        """Give a pump a turn whenever the device says something."""
        self._all[pump] = None

    def leave(self, pump: StreamPump[Any]) -> None:
        """Give a pump no turn any more."""
        self._all.pop(pump, None)
        self._waiting.pop(pump, None)

    def put_data(self, data: bytes) -> None:
        """Add what the device said; all that joined get it when their turns come."""
        self.tail.append(data)
        if self._all and not self._has_news_for_all:
            self._has_news_for_all = True
            self._call_when_free()

    def queue_up(self, pump: StreamPump[Any]) -> None:
        """Give a pump its turn when that comes; asking again meanwhile changes nothing."""
        self._waiting[pump] = None
        self._call_when_free()

    def _call_when_free(self) -> None:
        if self._timer is not None or self._due:
            return
        loop = asyncio.get_running_loop()
        # At the earliest in the next round: until then all that have the same news have asked.
        self._timer = loop.call_at(max(self._free_at, loop.time()), self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._due, self._waiting = self._waiting, {}
        if self._has_news_for_all:
            self._has_news_for_all = False
            self._due |= self._all
        if not self._due:
            return
        now = self._turn_at = asyncio.get_running_loop().time()
        self._rate.begin_round(now)
        self._free_at = now + max(GATHER_S, len(self._due) / self._rate.per_s)
        self._turn()

    def _turn(self) -> None:
        for pump in list(islice(self._due, MOST_A_TURN)):
            del self._due[pump]
            pump.take_turn()
        if self._due:
            self._turn_at += MOST_A_TURN / self._rate.per_s
            asyncio.get_running_loop().call_at(self._turn_at, self._turn)
        elif self._waiting or self._has_news_for_all:
            self._call_when_free()
