"""The attempts of one stop: none is abandoned for being slow, others start beside a silent one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import grpc

from usbshare.base.errors import ConnectionRefusedByPeerError
from usbshare.base.watched_task import cancel_all
from usbshare.rpc.status import error_from_rpc

# Who cannot be reached for another reason than silence is known sooner.
AT_ONCE_S = 3.0
# Doubled each time: four attempts beside one another within a stop's time.
FIRST_SILENCE_S = 5.0
LEAST_PAUSE_S = 1.0

Attempt = Callable[[float], Coroutine[Any, Any, bytes]]


class Attempts:
    """Makes attempts, each given the seconds that are left, until one of them has a reply.

    A stop that must not come twice, nor late, gets one attempt only.
    """

    def __init__(self, attempt: Attempt, timeout_s: float, *, may_repeat: bool) -> None:
        self._attempt = attempt
        self._timeout_s = timeout_s
        self._may_repeat = may_repeat
        self._silence_s = FIRST_SILENCE_S
        self._running: set[asyncio.Task[bytes]] = set()
        self._loop = asyncio.get_running_loop()
        self._first_at = self._began = 0.0

    async def first_reply(self) -> bytes:
        """Return the first reply; raises AioRpcError, for what the service answers or for the time.

        For a first attempt that fails at once, too; a connection that is lost later is not the end.
        """
        self._first_at = self._loop.time()
        try:
            while True:
                self._begin()
                reply = await self._reply_until_next()
                if reply is not None:
                    return reply
        finally:
            await cancel_all(*self._running)

    @property
    def _end(self) -> float:
        return self._first_at + self._timeout_s

    def _begin(self) -> None:
        self._began = self._loop.time()
        attempt = self._attempt(self._end - self._began)
        self._running.add(asyncio.create_task(attempt, name="stop attempt"))

    async def _reply_until_next(self) -> bytes | None:
        """Return a reply, or None once another attempt is due."""
        next_at = self._began + self._silence_s
        self._silence_s *= 2
        is_last = not self._may_repeat or next_at > self._end - LEAST_PAUSE_S
        while self._running:
            wait_s = None if is_last else next_at - self._loop.time()
            if wait_s is not None and wait_s <= 0:
                return None
            done, self._running = await asyncio.wait(
                self._running, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED
            )
            if (reply := self._reply_of(done)) is not None:
                return reply
        await asyncio.sleep(max(0.0, self._began + LEAST_PAUSE_S - self._loop.time()))
        return None

    def _reply_of(self, ended: set[asyncio.Task[bytes]]) -> bytes | None:
        """Return what came back, None where connections were lost; raises what is final.

        A reply counts whatever became of the others: the stop was carried out.
        """
        errors = [(each, each.exception()) for each in ended]
        for each, error in errors:
            if error is None:
                return each.result()
        for _, error in errors:
            if error is not None and self._is_final(error):
                raise error
        return None

    def _is_final(self, error: BaseException) -> bool:
        if not self._may_repeat or not isinstance(error, grpc.aio.AioRpcError):
            return True
        now = self._loop.time()
        was_at_once = now - self._first_at < AT_ONCE_S
        is_answer = not isinstance(error_from_rpc(error), ConnectionRefusedByPeerError)
        return is_answer or was_at_once or now > self._end - LEAST_PAUSE_S
