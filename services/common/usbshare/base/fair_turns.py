"""Turns: of many tasks that are due at once a few go on in each round of the event loop.

What must not wait, a stop above all, is read between two rounds. So its wait does not grow with the
number of those who are due.
"""

from __future__ import annotations

import asyncio
from collections import deque

MOST_A_ROUND = 3


class Turns:
    """Lets tasks go on in the order in which they asked; of one event loop."""

    def __init__(self, most_a_round: int = MOST_A_ROUND) -> None:
        self._most = most_a_round
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Return when it is the caller's turn."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._round)
        turn = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _round(self) -> None:
        left = self._most
        while self._waiting and left:
            turn = self._waiting.popleft()
            if not turn.done():  # its task may have been cancelled
                turn.set_result(None)
                left -= 1
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._round)
