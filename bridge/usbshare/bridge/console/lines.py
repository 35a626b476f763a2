"""A line that the console shows, and what kind it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

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


def in_console_words(line: Line) -> Line:
    """Return a line that names the console's own commands for those of a shell."""
    return Line(_SHELL_COMMAND.sub(r"`\1`", line.text), line.kind)
