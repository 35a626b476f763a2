"""Which firmware a session streams lines to, and whether it replies to each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from usbshare.base.errors import ProfileError, WrongStateError
from usbshare.line.flow.character_counting import FlowRules, rules_of
from usbshare.line.flow.replies import MARLIN_DIALECT
from usbshare.line.profiles import AUTO, GCODE
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.sessions.client import LineChoice

RECOGNITION_S = 3.0
# GRBL answers it with a report; to any other firmware it is an unknown command, once it is a line.
_QUESTION, _LINE_END = b"?", b"\n"
ASK_AFTER_S = (
    1.5  # a boot loader has ended by then, and a machine that was reset has sent its banner
)
_LOOK_S = 0.05
# Whatever follows, Marlin carries it out once it ends: it looks at a `*` only behind a line number
# (MarlinFirmware/Marlin Marlin/src/gcode/queue.cpp, get_serial_commands, and parser.cpp, parse).
_BEGUN = (
    "port '{}': a program left a line unfinished, which the firmware would carry out, or take the "
    "next one for a part of: reset the machine (`usbshare-bridge reset`), then try again"
)
_UNKNOWN = (AUTO.name, GCODE.name)


async def flow_rules(
    line: Line, choice: LineChoice, clock: Callable[[], float], *, line_is_begun: bool = False
) -> FlowRules:
    """Return how the firmware takes lines, once it has made itself known.

    With `line_is_begun` it holds the beginning of a line, which must not be carried out.

    Raises WrongStateError where nothing voids that, ProfileError naming the profile where it is not
    known to reply to each line, or takes no checksums though they are chosen.
    """
    begun_at, has_asked = clock(), False
    while line.profile.name in _UNKNOWN and clock() - begun_at < RECOGNITION_S:
        await asyncio.sleep(_LOOK_S)
        if not has_asked and clock() - begun_at >= ASK_AFTER_S:
            has_asked = True
            question = _QUESTION if line_is_begun else _QUESTION + _LINE_END
            line.firmware.wrote(question)  # GRBL owes an `ok` to its line end then
            line.writer.polite(question)
    rules, name = rules_of(line.profile), line.profile.name
    if rules is None:
        hint = "; set the port's profile" if name in _UNKNOWN else ""
        raise ProfileError(
            f"port '{line.id}' has profile '{name}', which is not known to reply to each line: "
            f"lines cannot be delivered by the firmware's flow control{hint}"
        )
    if choice.checksums and not rules.numbers:
        raise ProfileError(
            f"port '{line.id}' has profile '{name}', which does not accept checksums"
        )
    if line_is_begun and line.writer.line_is_open and rules.dialect is MARLIN_DIALECT:
        raise WrongStateError(_BEGUN.format(line.id))
    return rules
