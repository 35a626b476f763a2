"""Lets those who only observe have their turn, a few at a time, so that control never waits."""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import Any

from usbshare.common.pump import StreamPump

MOST_A_TURN = 3
# Writing to all at once would take every core from a stop, that of the network's threads too.
TURN_S = 0.002
# What comes within this time goes to each observer in one message.
GATHER_S = 0.025
# Many observers are gathered for longer: a message costs the same whatever is in it.
MOST_MESSAGES_PER_S = 2000.0


class Gallery:
    """Gives the pumps of observers turns: all with news every 25 ms, a few every 2 ms.

    The first news after a pause go at once.
    """

    def __init__(self) -> None:
        self._waiting: dict[StreamPump[Any], None] = {}
        self._due: dict[StreamPump[Any], None] = {}
        self._free_at = self._turn_at = float("-inf")
        self._turn_s = TURN_S
        self._timer: asyncio.Handle | None = None

    def queue_up(self, pump: StreamPump[Any]) -> None:
        """Give a pump its turn when that comes; asking again meanwhile changes nothing."""
        self._waiting[pump] = None
        if self._timer is None and not self._due:
            self._call_when_free()

    def _call_when_free(self) -> None:
        loop = asyncio.get_running_loop()
        # At the earliest in the next round: until then all that have the same news have asked.
        self._timer = loop.call_at(max(self._free_at, loop.time()), self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._due, self._waiting = self._waiting, {}
        interval_s = max(GATHER_S, len(self._due) / MOST_MESSAGES_PER_S)
        self._turn_s = min(TURN_S, interval_s * MOST_A_TURN / len(self._due))
        self._turn_at = asyncio.get_running_loop().time()
        self._free_at = self._turn_at + interval_s
        self._turn()

    def _turn(self) -> None:
        for pump in list(islice(self._due, MOST_A_TURN)):
            del self._due[pump]
            pump.take_turn()
        if self._due:
            self._turn_at += self._turn_s
            asyncio.get_running_loop().call_at(self._turn_at, self._turn)
        elif self._waiting:
            self._call_when_free()
