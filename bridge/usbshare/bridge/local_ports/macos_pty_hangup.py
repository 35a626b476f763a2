"""The virtual port on macOS: no inotify there, so a master that reads hung up means nobody.

While nobody is there the master is not watched (it would be readable all the time) but looked at
every 50 ms. No slave descriptor of our own: the system ends an exclusive use and resets the
settings at the last close by itself, so a program that sets none is seen with the system's.
"""

from __future__ import annotations

import asyncio
import os

from usbshare.bridge.local_ports.pty import PtyPort

_LOOK_S = 0.05
_NONE = -1


class MacosPty(PtyPort):
    """VirtualPort on macOS."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._next_look: asyncio.TimerHandle | None = None

    def _watch(self) -> None:
        os.close(self._slave)
        self._slave = _NONE
        self._look_later()

    def _unwatch(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()

    def _wants_reader(self) -> bool:
        return self._has_program

    def _somebody_seen(self) -> None:
        self._stop_reader()

    def _hung_up(self) -> None:
        self._stop_reader()
        self._program_went()
        self._look_later()

    def _look_later(self) -> None:
        self._next_look = self._loop.call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        data = self._read()
        if self._is_hung_up:
            self._look_later()
            return
        self._program_came()
        if data:
            self._tell(data)
        if not self._is_paused:
            self._resume()
