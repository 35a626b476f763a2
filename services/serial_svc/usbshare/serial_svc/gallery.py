"""Lets those who only observe have their turn, a few at a time, so that control never waits."""

from __future__ import annotations

import asyncio
from typing import Any

from usbshare.common.pump import StreamPump

MOST_A_TURN = 4


class Gallery:
    """Kicks the pumps of observers, a few in each round of the event loop, in order of asking."""

    def __init__(self) -> None:
        self._waiting: dict[StreamPump[Any], None] = {}

    def queue_up(self, pump: StreamPump[Any]) -> None:
        """Kick a pump when its turn comes; asking again meanwhile changes nothing."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        self._waiting.setdefault(pump)

    def _turn(self) -> None:
        for pump in list(self._waiting)[:MOST_A_TURN]:
            del self._waiting[pump]
            pump.kick()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
