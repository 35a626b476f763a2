"""How long to wait for the next answer of a host, by how long its first one took.

A fixed time is too short for a slow link and too long for a dead host. The first answer, that TCP
gives, takes one round trip; what follows is waited for in round trips.
"""

from __future__ import annotations

import asyncio

ROUND_TRIPS = 8  # TLS, HTTP/2 and a call take four; packets get lost, and links wait in queues


class Patience:
    """A deadline that is put off when something has answered; of the running event loop.

    `then_s`: how long to wait after an answer at least. Where something near answers for a host
    that is far, as a tunnel does, the first answer says nothing.
    """

    def __init__(self, silence_s: float, then_s: float = 0.0) -> None:
        self._then_s = then_s
        self._until = asyncio.get_running_loop().time() + silence_s

    @property
    def left_s(self) -> float:
        """How many seconds there are left to wait; 0 at the deadline."""
        return max(0.0, self._until - asyncio.get_running_loop().time())

    def answered(self, took_s: float) -> None:
        """Note that something has answered, after that many seconds."""
        now = asyncio.get_running_loop().time()
        self._until = max(self._until, now + max(self._then_s, ROUND_TRIPS * took_s))
