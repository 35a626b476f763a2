"""What a typed line means: a command, real-time bytes, or a line for the machine. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches

from usbshare.base.errors import InvalidArgumentError
from usbshare.bridge.console.table import Call, Table

MOST_LINE_BYTES = 256
REALTIME = {"?": b"?", "!": b"!", "~": b"~", "\x18": b"\x18"}
REPORT, RESET = b"?", b"\x18"
STOPS = (b"!", RESET)
# A word of G-code: a letter with a number. `(`, `;` and `%` begin what G-code files have besides.
_GCODE = re.compile(r"(?:/\s*)?[A-Za-z]\s*[-+]?\.?\d|[(;%$]")
_SEND = re.compile(r"send(?:\s+|$)", re.I)


@dataclass(frozen=True, slots=True)
class MachineLine:
    """A line for the machine, without its end."""

    text: str


@dataclass(frozen=True, slots=True)
class Realtime:
    """Bytes that the firmware obeys at once."""

    data: bytes


Spoken = MachineLine | Realtime | Call


def meaning(text: str, table: Table) -> Spoken | None:
    """Return what a line means, None where it is empty; InvalidArgumentError says what is wrong."""
    text = text.strip(" \t\r\n\0")
    if not text:
        return None
    if text in REALTIME:
        return Realtime(REALTIME[text])
    _require_plain(text)
    if sent := _SEND.match(text):
        return _machine_line(text[sent.end() :])
    if (call := table.call(text)) is not None:
        return call
    if _GCODE.match(text):
        return MachineLine(text)
    raise InvalidArgumentError(_unknown(text, table))


def _require_plain(text: str) -> None:
    if len(text.encode(errors="replace")) > MOST_LINE_BYTES:
        raise InvalidArgumentError(f"the line is too long: at most {MOST_LINE_BYTES} bytes")
    # Beyond ASCII are bytes that GRBL obeys at once: 0x84, the second one of `Ä`, is its door.
    if not (text.isascii() and text.replace("\t", " ").isprintable()):
        raise InvalidArgumentError("the line is not plain text: only printable ASCII is sent")


def _machine_line(text: str) -> MachineLine:
    if not text:
        raise InvalidArgumentError("`send` needs the line to send: `send M115`")
    return MachineLine(text)


def _unknown(text: str, table: Table) -> str:
    word = text.split(maxsplit=1)[0]
    close = get_close_matches(word.casefold(), table.names, 1)
    meant = f" (did you mean `{close[0]}`?)" if close else ""
    return f"{word!r} is neither a command nor G-code{meant}: `help` lists the commands"
