"""A broadcast: waiting tasks are woken, nothing is kept for later."""

from __future__ import annotations

import asyncio


class Signal:
    """Wakes every waiter at each `fire`; waiters check their own condition."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    @property
    def is_awaited(self) -> bool:
        """Whether a task waits."""
        return bool(self._waiters)

    def fire(self) -> None:
        """Wake all that wait now."""
        if not self._waiters:
            return
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self) -> None:
        """Return at the next `fire`."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)
