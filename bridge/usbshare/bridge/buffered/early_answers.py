"""Lines of a program between its port and the host: which are answered, which are sent, when."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from textwrap import shorten

from usbshare.bridge.buffered.line_kinds import may_answer_early

OK = b"ok\r\n"
REFUSED = b"error:9"  # GRBL's STATUS_SYSTEM_GC_LOCK: G-code is locked out
LONGEST_QUOTE = 60
LONGEST_MESSAGE = 120
# Read beyond the bound, so that a stop behind it is seen.
READ_AHEAD_BYTES = 4096
# More than any firmware takes: what has no line end by then is sent to be refused.
LONGEST_LINE_BYTES = 1024


class Outcome(Enum):
    """What became of a line that was sent."""

    ANSWERED = "answered"
    REJECTED = "rejected"
    REFUSED = "refused"  # by the host: the firmware has not seen it
    VOID = "void"


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    data: bytes  # with one line feed
    is_early: bool


class EarlyAnswers:
    """The order of one program's lines; nothing here waits, `give` gets bytes for the program.

    A motion line is answered as soon as it is among the first `most_bytes` that the firmware has
    not answered. Any other line is sent when all lines before it are answered, and its own answer
    is passed on. Each line is answered once, in order. As GRBL does, it takes a carriage return
    for the end of a line of its own.
    """

    def __init__(self, give: Callable[[bytes], None], most_bytes: int) -> None:
        self._give = give
        self.most_bytes = most_bytes
        self._lines: deque[_Line] = deque()  # whose answer from the firmware is to come
        self._sent = 0  # so many of these are sent,
        self._told = 0  # and so many are answered to the program,
        self._told_bytes = 0  # which are that long
        self._muted = 0  # so many are of a program that has left
        self._bytes = self._unsent_bytes = 0
        self._part = b""
        self._lines_seen = 0
        self._is_held = self._owes_one_less = False

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the firmware has not answered, those of a line being written too."""
        return self._bytes + len(self._part)

    @property
    def unsent_bytes(self) -> int:
        """Bytes of these that `take` has not returned."""
        return self._unsent_bytes + len(self._part)

    @property
    def room(self) -> int:
        """How many more bytes may be read now."""
        return max(0, self.most_bytes + READ_AHEAD_BYTES - self.waiting_bytes)

    @property
    def run_ahead_bytes(self) -> int:
        """Bytes of the lines that the program takes for answered, and the firmware has not."""
        return self._told_bytes

    def program_wrote(self, data: bytes) -> None:
        """Take bytes of the program, without its real-time bytes."""
        *whole, part = (self._part + data).replace(b"\r", b"\n").split(b"\n")
        if len(part) > LONGEST_LINE_BYTES:
            whole, part = [*whole, part], b""
        self._part = part
        for text in whole:
            self._lines_seen += 1
            self._lines.append(_Line(self._lines_seen, text + b"\n", may_answer_early(text)))
            self._bytes += len(text) + 1
            self._unsent_bytes += len(text) + 1
        self._answer()

    def take(self) -> bytes | None:
        """Return the next line to send, None if there is none that may go now."""
        if self._sent == len(self._lines):
            return None
        line = self._lines[self._sent]
        if self._sent and not (line.is_early and self._lines[self._sent - 1].is_early):
            return None
        self._sent += 1
        self._unsent_bytes -= len(line.data)
        return line.data

    def done(self, outcome: Outcome, reply: bytes = b"") -> None:
        """Note what became of the oldest line that was sent.

        `reply` is the firmware's without its line end, or why the host refused the line.
        """
        if outcome is Outcome.REFUSED and not self._muted:
            self._give(b"[MSG:%s]\r\n" % _message(reply))
            outcome, reply = Outcome.REJECTED, REFUSED
        is_muted = self._muted > 0
        self._muted -= is_muted
        line = self._lines.popleft()
        self._sent -= 1
        self._bytes -= len(line.data)
        was_told = self._told > 0
        if was_told:
            self._told -= 1
            self._told_bytes -= len(line.data)
        if is_muted:
            pass
        elif outcome is Outcome.REJECTED and was_told:
            self._rejected_late(line, reply)
        elif outcome is not Outcome.VOID and not was_told:
            self._tell(reply + b"\r\n")
        self._answer()

    def program_left(self) -> None:
        """Keep its lines, which go on, and give their answers to nobody."""
        self._muted = len(self._lines)
        self._part = b""
        self._owes_one_less = False

    def release(self) -> None:
        """Answer early again: after a late error nothing is, until a person has resumed."""
        self._is_held = False
        self._answer()

    def void(self) -> int:
        """Forget every line, since a stop or a reset came after them.

        Returns how many bytes of these were not sent.
        """
        size = self.unsent_bytes
        self._lines.clear()
        self._part = b""
        self._bytes = self._unsent_bytes = self._sent = self._told = self._told_bytes = 0
        self._muted = 0
        self._is_held = self._owes_one_less = False
        return size

    def _answer(self) -> None:
        """Answer the motion lines that are next and within the bound."""
        while not self._is_held and self._told < len(self._lines):
            line = self._lines[self._told]
            size = self._told_bytes + len(line.data)
            if not line.is_early or (size > self.most_bytes and self._told):
                return
            self._told += 1
            self._told_bytes = size
            if self._told > self._muted:
                self._tell(OK)

    def _rejected_late(self, line: _Line, reply: bytes) -> None:
        """Tell of an error in a line that the program takes for answered.

        It reads the error as the answer to the oldest line that it waits for, whose own must not
        come then.
        """
        self._is_held = True
        quote = line.data.strip()[:LONGEST_QUOTE]
        self._give(b"[MSG:line %d was rejected: %s]\r\n" % (line.number, quote))
        self._give(reply + b"\r\n")
        self._owes_one_less = self._told < len(self._lines)

    def _tell(self, answer: bytes) -> None:
        if self._owes_one_less:
            self._owes_one_less = False
        else:
            self._give(answer)


def _message(reason: bytes) -> bytes:
    """Return what fits in GRBL's brackets of a reason, whole words of ASCII."""
    text = reason.decode(errors="replace").replace("]", ")")
    return shorten(text, LONGEST_MESSAGE, placeholder=" ...").encode("ascii", errors="replace")
