"""Voids what programs sent in an epoch that has ended, wherever it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.line.scheduler import CommandOutcome

FENCED = "a stop ended its epoch"


class Program(Protocol):
    """One session that writes to a line, or observes it, as stops see it."""

    def fence(self) -> int:
        """Drop what waits in the session, before the line's queue. Returns how many commands."""
        ...

    def void_queue(self) -> None:
        """Drop what the session queued: the machine was reset."""


class Programs(Protocol):
    """The sessions of a line, as stops see them; there may be none in control."""

    def __iter__(self) -> Iterator[Program]: ...

    @property
    def is_away(self) -> bool:
        """Whether the client in control is lost."""
        ...

    @property
    def waiting_commands(self) -> int:
        """How many commands of the session in control wait."""
        ...

    @property
    def awaits_replies(self) -> bool:
        """Whether lines of the session in control wait, or replies to them."""
        ...

    def overtaken(self, lines: int) -> None:
        """Note that so many urgent lines were written, which the firmware replies to."""

    def machine_reset(self) -> None:
        """Note that the machine was reset: it replies to nothing of before."""

    def hold(self) -> bool:
        """Let nothing of the session in control go out; False if there is none."""
        ...

    def release(self) -> None:
        """Let what is held go out, if its client is there: a stop left nothing of before."""

    def resume(self) -> None:
        """Let what is held go out, if its client is there: a person decided so."""

    def rested(self) -> None:
        """Note that the machine has nothing left to do of what the session wrote."""


class Fence:
    """Drops commands of older epochs, in the line's queue and in sessions."""

    def __init__(self, line: Line, programs: Programs) -> None:
        self._line = line
        self._programs = programs

    def end_epoch(self) -> int:
        """Void what was sent so far, wherever it is. Returns how many commands were here."""
        self._line.latch.advance()
        return self.drop()

    def drop(self) -> int:
        """Drop what was sent in an epoch that has ended. Returns how many commands were here."""
        fenced = self._line.drop(CommandOutcome.FENCED, FENCED)
        return fenced + sum(program.fence() for program in self._programs)
