"""Streams a G-code program to GRBL by character counting, as senders such as LightBurn do.

https://github.com/gnea/grbl/wiki/Grbl-v1.1-Interface#streaming-protocol-character-counting
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

RECEIVE_BUFFER_BYTES = 127


class Port(Protocol):
    """What of `serial.Serial` is used; `readline` returns b"" when its timeout is over."""

    def write(self, data: bytes, /) -> int | None:
        """Write all bytes."""

    def readline(self) -> bytes:
        """Return a line with its end."""
        ...


@dataclass(slots=True)
class SentJob:
    """What became of a job."""

    lines: int = 0
    sent_bytes: int = 0
    errors: int = 0


class MachineSilentError(Exception):
    """The machine answered nothing for as long as the port's timeout."""


def stream_job(
    port: Port, lines: Iterable[str], on_line: Callable[[], None] = lambda: None
) -> SentJob:
    """Send every line without ever overflowing the machine's receive buffer; count answers.

    Raises MachineSilentError when the machine stops answering.
    """
    job = SentJob()
    unanswered: deque[int] = deque()
    for line in lines:
        data = line.encode("ascii") + b"\n"
        while unanswered and sum(unanswered) + len(data) > RECEIVE_BUFFER_BYTES:
            _take_answer(port, unanswered, job, on_line)
        port.write(data)
        unanswered.append(len(data))
        job.lines += 1
        job.sent_bytes += len(data)
    while unanswered:
        _take_answer(port, unanswered, job, on_line)
    return job


def _take_answer(
    port: Port, unanswered: deque[int], job: SentJob, on_line: Callable[[], None]
) -> None:
    answer = port.readline()
    if not answer:
        raise MachineSilentError(f"no answer to line {job.lines - len(unanswered) + 1}")
    if answer.startswith((b"ok", b"error:")):
        job.errors += answer.startswith(b"error:")
        unanswered.popleft()
        on_line()
