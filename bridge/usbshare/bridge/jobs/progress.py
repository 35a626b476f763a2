"""What is shown while a file is sent or a job runs: a bar on a terminal, else some lines."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TextIO

from usbshare.base.live_table import LiveTable
from usbshare.base.terminal_safe_text import clean_text
from usbshare.bridge.tables.jobs import progress_text
from usbshare.client.jobs.messages import RemoteJob
from usbshare.client.jobs.shown import asked_by, percent

BAR_CELLS = 30
# Between two drawings of a bar.
DRAW_S = 0.1
# Between two lines about the same job where nothing is drawn in place.
LINE_S = 10.0
_LONGEST = 500


class Display(Protocol):
    """Where it is shown."""

    def show(self, done_percent: int, text: str, *, is_news: bool) -> None:
        """Show how far something is; news are shown at once."""

    def leave(self) -> None:
        """Note that something else was printed: what is shown next does not replace it."""


class Bar:
    """A bar that is drawn in its place."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._table = LiveTable(stream)
        self._clock = clock
        self._drawn_at = -DRAW_S

    def show(self, done_percent: int, text: str, *, is_news: bool) -> None:
        """Draw it, if it is due."""
        if not is_news and self._clock() - self._drawn_at < DRAW_S:
            return
        self._drawn_at = self._clock()
        self._table.draw(f"{bar(done_percent)} {clean_text(text, _LONGEST)}")

    def leave(self) -> None:
        """Draw below what was drawn."""
        self._table.leave()


class Lines:
    """A line for each news, and every ten seconds."""

    def __init__(
        self, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._told_at = -LINE_S
        self._told = ""

    def show(self, done_percent: int, text: str, *, is_news: bool) -> None:
        """Tell it, if it is due."""
        line = clean_text(text, _LONGEST)
        is_due = is_news or self._clock() - self._told_at >= LINE_S
        if is_due and line != self._told:
            self._tell(line)
            self._told, self._told_at = line, self._clock()

    def leave(self) -> None:
        """Do nothing: no line replaces another."""


def display_on(stream: TextIO, tell: Callable[[str], None]) -> Display:
    """Return a bar for a terminal, else lines."""
    return Bar(stream) if stream.isatty() else Lines(tell)


def bar(done_percent: int) -> str:
    """Return a bar of that length."""
    cells = min(BAR_CELLS, max(0, done_percent * BAR_CELLS // 100))
    return f"[{'#' * cells}{'-' * (BAR_CELLS - cells)}]"


class JobDisplay:
    """Shows one job as it changes."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._state = ("", "", "")

    def show(self, job: RemoteJob) -> None:
        """Show it as it is now."""
        state = (job.state, job.reason, asked_by(job))
        is_news, self._state = state != self._state, state
        self._display.show(percent(job.progress), job_line(job), is_news=is_news)


def job_line(job: RemoteJob) -> str:
    """Return a job in one line."""
    why = f" ({job.reason})" if job.reason else ""
    passes = f", pass {job.progress.run}/{job.passes}" if job.passes > 1 else ""
    rest = f", place {job.place}" if job.place else f" {progress_text(job)}{passes}"
    who = asked_by(job)
    asked = f"; {who} asks for the port: `job hand-over {job.id}` releases it" if who else ""
    return f"job {job.id} {job.name}: {job.state}{why}{rest}{asked}"
