"""A line that a program left unfinished: it must not be carried out, nor become part of the next.

GRBL rejects a whole line for a character that begins no word, but skips all behind `;` (gnea/grbl
grbl/protocol.c). Marlin carries out what it has, whatever follows: it looks at a `*` only behind a
line number (MarlinFirmware/Marlin Marlin/src/gcode/queue.cpp, get_serial_commands, and parser.cpp,
parse).
"""

from __future__ import annotations

import asyncio
import re

from usbshare.base.errors import WrongStateError
from usbshare.line.flow.character_counting import FlowRules, rules_of
from usbshare.line.flow.replies import GRBL_DIALECT, ReplySplitter
from usbshare.serial_svc.line.line import Line

# Ends a comment in brackets, and is no word.
SPOILER = b")*\n"
_LINE_END = b"\n"
_REPLY_S, _LOOK_S = 1.0, 0.02
_CLOSED_COMMENT = re.compile(rb"\([^)]*\)")
_BEGUN = (
    "port '{}': a program left a line unfinished, which the firmware would carry out, or take the "
    "next one for a part of: reset the machine (`usbshare-bridge reset`), then try again"
)


def voiding(begun: bytes, rules: FlowRules) -> bytes:
    """Return what ends a line without its being carried out; empty where nothing does."""
    is_grbl = rules.dialect is GRBL_DIALECT
    code, mark, _ = (_CLOSED_COMMENT.sub(b"", begun) if is_grbl else begun).partition(b";")
    if mark and not code.strip():
        return _LINE_END
    return SPOILER if is_grbl and (not mark or b"(" in code) else b""


def require_voidable(line: Line, begun: bytes, rules: FlowRules) -> bytes:
    """Return what ends a line without its being carried out; WrongStateError where nothing does."""
    if not (end := voiding(begun, rules)):
        raise WrongStateError(_BEGUN.format(line.id))
    return end


async def void_unfinished(line: Line, begun: bytes) -> None:
    """End what a program left of a line, and wait for the reply to it, before another one writes.

    Raises WrongStateError where nothing voids it. Firmware of which nothing is known gets nothing.
    """
    rules = rules_of(line.profile)
    if not begun or rules is None or not line.writer.line_is_open:
        return
    end, firmware = require_voidable(line, begun, rules), line.firmware
    if rules.dialect is not GRBL_DIALECT:  # no reply to a comment
        line.writer.polite(end)
        return
    replies = ReplySplitter(rules.dialect, lambda: True)
    firmware.left_unanswered(firmware.take_unanswered() + 1, replies)
    line.writer.polite(end)
    for _ in range(round(_REPLY_S / _LOOK_S)):
        if not firmware.awaits_reply:
            return
        await asyncio.sleep(_LOOK_S)
