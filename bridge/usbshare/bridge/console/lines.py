"""A line that the console shows, and what kind it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from usbshare.sim.status_codes import Status
from usbshare.sim.status_texts import status_text

_ERROR = re.compile(r"error:(\d{1,3})")
_STATUSES = {int(status) for status in Status}
_SHELL_COMMAND = re.compile(r"`usbshare-bridge stop --(resume|rearm)\b[^`]*`")


class Kind(Enum):
    """What a line is; a terminal has a colour for each."""

    ANSWER = "answer"
    OK = "ok"
    PROBLEM = "problem"
    REPORT = "report"
    NEWS = "news"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text, fit to be shown."""

    text: str
    kind: Kind = Kind.ANSWER


Tell = Callable[[Line], None]


def answers(texts: Iterable[str]) -> list[Line]:
    """Return texts as answers, a line each."""
    return [Line(line) for text in texts for line in text.splitlines() or [""]]


def problem(error: object) -> Line:
    """Return an error as one line."""
    return Line(" ".join(str(error).split()), Kind.PROBLEM)


def for_people(line: Line) -> Line:
    """Return a line with the console's own commands for those of a shell, and errors in words."""
    text = _SHELL_COMMAND.sub(r"`\1`", line.text)
    if (error := _ERROR.fullmatch(text)) and int(error[1]) in _STATUSES:
        text = f"{text}: {status_text(Status(int(error[1])))}"
    return Line(text, line.kind)
