"""Writes one message after another to a stream, without a task between the news and the write.

A task would run only in the event loop's next round, a hundred microseconds later on a cold
machine. So `kick` runs a write up to its first wait itself, as `asyncio.eager_task_factory` does
from Python 3.12 on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, Protocol, TypeVar

from usbshare.base.timers import call_after

MOST_MESSAGES_A_TURN = 4
_SAME_TIME_S = 0.0005

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Source(Protocol[T_co]):
    """What is to be written, in order."""

    def wait_s(self, now: float) -> float | None:
        """Return how many seconds until `take` has a message; None if it waits for an event."""

    def take(self, now: float) -> T_co:
        """Return the next message; called only when `wait_s` said 0."""
        ...


class StreamPump(Generic[T]):
    """Writes what a source has due, each message after the one before it has been taken.

    Used from the event loop only. `ended` is the exception that ended it, once there is one;
    `writing` is the write that is under way, with which `offer` would take no message.
    With `queue_up`, which is to kick it when its turn comes, it writes only then.
    """

    def __init__(
        self,
        source: Source[T],
        write: Callable[[T], Coroutine[Any, Any, object]],
        clock: Callable[[], float],
        queue_up: Callable[[StreamPump[T]], None] | None = None,
    ) -> None:
        self.ended: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        self._source = source
        self._write = write
        self._clock = clock
        self._queue_up = queue_up
        self.writing: Coroutine[Any, Any, object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._is_closed = False
        self._messages_left = 0

    def nudge(self) -> None:
        """Write what is due, now or when its turn comes; call it whenever the source has news."""
        if self._queue_up is None:
            self.kick()
        elif self.writing is None and not self._is_closed:
            self._queue_up(self)

    def kick(self) -> None:
        """Write what is due now."""
        if self.writing is not None or self._is_closed:
            return
        try:
            while self.writing is None:
                now = self._clock()
                if (wait_s := self._source.wait_s(now)) != 0:
                    if wait_s is not None:
                        self._look_at(now + wait_s, wait_s)
                    return
                self.writing = self._write(self._source.take(now))
                self._step()
        except (Exception, asyncio.CancelledError) as error:  # the stream's own, not the caller's
            self._end(error)

    def take_turn(self) -> None:
        """Write what is due now, a few messages at most; called after a request to `queue_up`."""
        self._messages_left = MOST_MESSAGES_A_TURN
        self.kick()

    def offer(self, message: T) -> bool:
        """Write a message that is not in the source, if none is being written; else False."""
        if self.writing is not None or self._is_closed or self._queue_up is not None:
            return False
        try:
            self.writing = self._write(message)
            self._step()
        except Exception as error:
            self._end(error)
        return True

    def close(self) -> None:
        """Write nothing more; a write under way ends with its stream."""
        self._is_closed = True
        self._stop_timer()

    def _step(self) -> None:
        """Run the write up to its next wait, or to its end."""
        if self.writing is None:
            return
        try:
            awaited = self.writing.send(None)
        except StopIteration:
            self.writing = None
        except BaseException:
            self.writing = None
            raise
        else:
            # The protocol between a coroutine and its runner, see asyncio.Future.__await__.
            awaited._asyncio_future_blocking = False
            awaited.add_done_callback(self._resume)

    def _resume(self, _: object) -> None:
        try:
            self._step()
        except (Exception, asyncio.CancelledError) as error:
            self._end(error)
        else:
            self._messages_left -= 1
            if self._queue_up is None or self._messages_left > 0:
                self.kick()
            else:
                self.nudge()

    def _end(self, error: BaseException) -> None:
        self.close()
        if not self.ended.done():
            self.ended.set_result(error)

    def _look_at(self, due_at: float, wait_s: float) -> None:
        """See that the source is looked at then; a timer that comes sooner looks again."""
        if self._timer is not None:
            if self._timer_at <= due_at + _SAME_TIME_S:
                return
            self._timer.cancel()
        self._timer_at = due_at
        self._timer = call_after(wait_s, self._look)

    def _look(self) -> None:
        self._timer = None
        self.nudge()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
