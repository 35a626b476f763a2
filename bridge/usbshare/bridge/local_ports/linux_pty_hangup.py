"""The virtual port on Linux: a pty that stays alive between programs, which inotify announces.

The kernel says neither how many have a pty open nor merges events so that they could be counted.
So an event is only a reason to look: the master reads hung up when nobody has the pty open, and
that answer is exact as long as we have it open neither. We hold a slave descriptor only while
nobody else does, which keeps the pty alive, and give it up to look.

Others may open the pty between our look and our reopening, and may do so exclusively (TIOCEXCL,
as QSerialPort does): our reopening then fails with EBUSY unless we are root, which proves that a
program is there, or that one was killed and left its mark. Nobody can take that mark away from a
pty that nobody can open, so the name gets a fresh one. What remains is a program that opens within
the microseconds of our own opening; its first setting or byte reveals it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import termios
from dataclasses import dataclass

from usbshare.bridge.local_ports.inotify import CLOSED, FileEvent, FileWatch
from usbshare.bridge.local_ports.pty import PtyPort

_TIOCGEXCL = 0x80045440
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
        if self._master != _NONE:
            self._look()

    def _hung_up(self) -> None:
        if self._slave != _NONE:  # it keeps the pty alive, so this is no program's leaving
            self._lose("the system removed the pty")
            return
        self._look()

    def _look(self) -> None:
        """Find out whether a program has the pty open, and report what changed."""
        seen = self._files.read()
        for _ in range(_LOOKS_AT_ONCE):
            look = self._look_once()
            seen += look.events
            if look.is_used or not look.events:
                break
        else:
            self._look_later()
        self._settle(seen, is_used=look.is_used)
        if look.refused and not look.events and self._slave == _NONE != self._master:
            self._take_fresh_pty(look.refused)

    def _look_later(self) -> None:
        if self._again is not None:
            self._again.cancel()
        self._again = self._loop.call_later(_LOOK_AGAIN_S, self._look)

    def _settle(self, seen: list[FileEvent], *, is_used: bool) -> None:
        if self._has_program and (not is_used or _changed_hands(seen)):
            if is_used:
                self._flush_input_from_afar()
            self._program_went()
        if not self._has_program and (is_used or FileEvent.OPENED in seen):
            self._program_came()
        if self._has_program and not is_used:
            self._program_went()

    def _take_fresh_pty(self, refused: OSError) -> None:
        """Put a new pty under the name: this one is not open and can no longer be opened."""
        if refused.errno == errno.EBUSY:
            self.hang_up()
        else:
            self._lose(f"it can no longer be opened: {refused.strerror}")

    def _look_once(self) -> _Look:
        """Close our slave descriptor, and open it again if no program has the pty open."""
        own = self._give_up()
        is_used, refused = not _is_hung_up(self._master), None
        if not is_used:
            try:
                own += self._hold()
            except OSError as error:
                is_used = not _is_hung_up(self._master)
                refused = None if is_used else error
            else:
                is_used = self._slave == _NONE
        return _Look(is_used, _without(own, self._files.read()), refused)

    def _give_up(self) -> list[FileEvent]:
        """Close our descriptor if there is one; returns the events of it."""
        if self._slave == _NONE:
            return []
        is_written = fcntl.fcntl(self._slave, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        os.close(self._slave)
        self._slave = _NONE
        return [FileEvent.CLOSED_AFTER_WRITING if is_written else FileEvent.CLOSED_AFTER_READING]

    def _hold(self) -> list[FileEvent]:
        """Open the pty unless a program has it now; returns the events of it; raises OSError."""
        self._slave = self._open_slave()
        own = [FileEvent.OPENED]
        if not any(fcntl.ioctl(self._slave, _TIOCGEXCL, bytes(4))):
            return own
        # Only root comes here: either a program has come meanwhile, or one was killed.
        own += self._give_up()
        if _is_hung_up(self._master):
            self._slave = self._open_slave()
            fcntl.ioctl(self._slave, termios.TIOCNXCL)
            own.append(FileEvent.OPENED)
        return own

    def _open_slave(self) -> int:
        flags = os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(self._slave_path, flags)

    def _flush_input_from_afar(self) -> None:
        """Empty what a program did not read, without a slave descriptor: another program has it.

        TCOFLUSH on the master empties the queue to the slave, a change of settings with TCSAFLUSH
        what the slave's line discipline has taken from it (set_termios, drivers/tty/tty_ioctl.c).
        """
        self._set_packet_mode(on=False)
        with contextlib.suppress(termios.error):
            termios.tcflush(self._master, termios.TCOFLUSH)
            settings = termios.tcgetattr(self._master)
            termios.tcsetattr(self._master, termios.TCSAFLUSH, settings)
        self._set_packet_mode(on=True)


@dataclass(frozen=True, slots=True)
class _Look:
    """Whether a program has the pty open, what others did, and why we cannot hold an unused pty."""

    is_used: bool
    events: list[FileEvent]
    refused: OSError | None


def _is_hung_up(master: int) -> bool:
    poll = select.poll()
    poll.register(master, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _without(own: list[FileEvent], events: list[FileEvent]) -> list[FileEvent]:
    rest = list(events)
    for event in own:
        if event in rest:
            rest.remove(event)
    return rest


def _changed_hands(seen: list[FileEvent]) -> bool:
    """Return whether somebody closed and then somebody opened: one program after another."""
    closings = [index for index, event in enumerate(seen) if event & CLOSED]
    openings = [index for index, event in enumerate(seen) if event & FileEvent.OPENED]
    return bool(closings and openings) and closings[0] < openings[-1]
