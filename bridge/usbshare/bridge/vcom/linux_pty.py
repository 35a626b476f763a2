"""The virtual port on Linux: a pty that stays alive between programs, which inotify announces.

The kernel says neither how many have a pty open nor merges events so that they could be counted.
So an event is only a reason to look: we close our own slave descriptor, see whether the master
reads hung up (then nobody else has it open), and open it again. That answer is exact. Our
descriptor is for reading only, so its own events are [closed after reading, opened], and anything
else in the queue means that somebody came or went meanwhile: look again. What remains is a program
that opens within the microseconds of our own opening; its first setting or byte tells of it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import termios

from usbshare.bridge.vcom.inotify import CLOSED, FileEvent, FileWatch
from usbshare.bridge.vcom.pty_base import PtyPort

_TIOCGEXCL = 0x80045440
_OWN_EVENTS = [FileEvent.CLOSED_AFTER_READING, FileEvent.OPENED]
_LOOKS_AT_ONCE = 5
_LOOK_AGAIN_S = 0.01
_NONE = -1


class LinuxPty(PtyPort):
    """VirtualPort on Linux."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._files = FileWatch("")
        self._again: asyncio.TimerHandle | None = None

    def _watch(self) -> None:
        first_slave, self._slave = self._slave, self._open_slave()
        os.close(first_slave)
        self._files = FileWatch(self._slave_path)
        self._files.start()
        self._loop.add_reader(self._files.descriptor, self._look)
        self._start_reader()

    def _unwatch(self) -> None:
        if self._again is not None:
            self._again.cancel()
        if self._files.descriptor >= 0:
            self._loop.remove_reader(self._files.descriptor)
        self._files.stop()

    def _wants_reader(self) -> bool:
        return True

    def _somebody_seen(self) -> None:
        self._look()

    def _look_for_program(self) -> None:
        # One that opened in the very moment in which another left has been missed, see above.
        if self._slave != _NONE:
            self._look()

    def _hung_up(self) -> None:
        # Our own slave descriptor keeps the pty alive, so this is no program's leaving.
        self._lose("the system took the pty away")

    def _look(self) -> None:
        seen = self._files.read()
        for _ in range(_LOOKS_AT_ONCE):
            is_used = self._is_used()
            meanwhile = self._files.read()
            if self._slave == _NONE or meanwhile == _OWN_EVENTS:
                break
            seen += _without_own(meanwhile)
        else:
            self._look_later()
        self._settle(seen, is_used=is_used)

    def _look_later(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = self._loop.call_later(_LOOK_AGAIN_S, self._look)

    def _settle(self, seen: list[FileEvent], *, is_used: bool) -> None:
        if self._slave == _NONE:
            self._lose("it cannot be opened any more")
            return
        if self._has_program and (not is_used or _changed_hands(seen)):
            self._program_went()
        if not self._has_program and (is_used or FileEvent.OPENED in seen):
            self._program_came()
        if self._has_program and not is_used:
            self._program_went()

    def _is_used(self) -> bool:
        """Tell whether a program has the pty open; ends an exclusive use that outlived its user."""
        is_exclusive = any(fcntl.ioctl(self._slave, _TIOCGEXCL, bytes(4)))
        if is_exclusive:  # it would shut us out, too
            fcntl.ioctl(self._slave, termios.TIOCNXCL)
        os.close(self._slave)
        self._slave = _NONE
        is_used = not _is_hung_up(self._master)
        self._slave = self._try_open_slave()
        if is_exclusive and is_used and self._slave != _NONE:
            fcntl.ioctl(self._slave, termios.TIOCEXCL)
        return is_used

    def _try_open_slave(self) -> int:
        try:
            return self._open_slave()
        except OSError:
            return _NONE

    def _open_slave(self) -> int:
        flags = os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(self._slave_path, flags)


def _is_hung_up(master: int) -> bool:
    poll = select.poll()
    poll.register(master, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _without_own(events: list[FileEvent]) -> list[FileEvent]:
    rest = list(events)
    for own in _OWN_EVENTS:
        if own in rest:
            rest.remove(own)
    return rest


def _changed_hands(seen: list[FileEvent]) -> bool:
    """Tell whether somebody closed and then somebody opened: one program after another."""
    closings = [index for index, event in enumerate(seen) if event & CLOSED]
    openings = [index for index, event in enumerate(seen) if event & FileEvent.OPENED]
    return bool(closings and openings) and closings[0] < openings[-1]
