"""Which firmware a session streams lines to, and whether it replies to each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from usbshare.base.errors import ProfileError
from usbshare.line.flow.character_counting import FlowRules, rules_of
from usbshare.line.flow.replies import GRBL_DIALECT
from usbshare.line.profiles import AUTO, GCODE
from usbshare.serial_svc.line.line import Line
from usbshare.serial_svc.sessions.client import LineChoice
from usbshare.serial_svc.sessions.unfinished_line import require_voidable, void_unfinished

RECOGNITION_S = 3.0
# GRBL answers it with a report; to any other firmware it is an unknown command, once it is a line.
_QUESTION, _LINE_END = b"?", b"\n"
ASK_AFTER_S = (
    1.5  # a boot loader has ended by then, and a machine that was reset has sent its banner
)
_LOOK_S = 0.05
_UNKNOWN = (AUTO.name, GCODE.name)


async def flow_rules(
    line: Line, choice: LineChoice, clock: Callable[[], float], begun: bytes = b""
) -> FlowRules:
    """Return how the firmware takes lines, once it has made itself known.

    `begun`: the beginning of a line that it holds, which must not be carried out.

    Raises WrongStateError where nothing voids that, ProfileError naming the profile where it is not
    known to reply to each line, or takes no checksums though they are chosen.
    """
    begun_at, has_asked = clock(), False
    while line.profile.name in _UNKNOWN and clock() - begun_at < RECOGNITION_S:
        await asyncio.sleep(_LOOK_S)
        if not has_asked and clock() - begun_at >= ASK_AFTER_S:
            has_asked = True
            question = _QUESTION if begun else _QUESTION + _LINE_END
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
    if rules.dialect is not GRBL_DIALECT:
        await void_unfinished(line, begun)
    elif begun:
        require_voidable(line, begun, rules)  # its spoiler goes before the first line
    return rules
