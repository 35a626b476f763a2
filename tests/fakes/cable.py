"""The USB cable of a machine: a pty in front of the machine's own, which can be pulled out.

The machine keeps its power and finishes what it holds; what it says meanwhile is lost.
"""

from __future__ import annotations

import os
import select
import threading
import tty
from contextlib import suppress
from pathlib import Path
from typing import Self

from fakes.serial_device import SerialDevice

_READ_BYTES = 4096
_LOOK_S = 1.0


class Cable(SerialDevice):
    """Carries bytes both ways between what opens `link` and a machine; begins plugged in."""

    def __init__(self, link: Path, machine: Path) -> None:
        super().__init__(link, self._to_machine)
        self._machine = os.open(machine, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._machine)
        self._is_open = True
        self._plug = threading.Lock()
        self._talker = threading.Thread(target=self._talk, name="machine", daemon=True)

    def __enter__(self) -> Self:
        super().__enter__()
        self._talker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_open = False
        self._talker.join()
        super().__exit__()
        os.close(self._machine)

    def plug_in(self, link: Path | None = None) -> None:
        """Appear, if it is out."""
        with self._plug:
            if not self.is_plugged_in:
                super().plug_in(link)

    def unplug(self) -> None:
        """Vanish, if it is there."""
        with self._plug:
            super().unplug()

    def _to_machine(self, data: bytes) -> bytes:
        while data:
            data = data[os.write(self._machine, data) :]
        return b""

    def _talk(self) -> None:
        while self._is_open:
            if select.select([self._machine], [], [], _LOOK_S)[0]:
                data = os.read(self._machine, _READ_BYTES)
                with self._plug, suppress(BlockingIOError):
                    if self.is_plugged_in:
                        os.write(self._master, data)
