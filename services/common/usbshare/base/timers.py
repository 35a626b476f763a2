"""Timers of the event loop that do not come too early."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import ceil


def call_after(wait_s: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
    """Call back on the running loop after at least that time, to the next whole millisecond.

    uvloop rounds to milliseconds. What waits for 0.4 ms would be called at once, ask again, and so
    on in each round of the loop until its time has come.
    """
    return asyncio.get_running_loop().call_later(ceil(wait_s * 1000) / 1000, callback)
