"""How long a line's answer is waited for: by its firmware, and by what the line does."""

from __future__ import annotations

import re
from dataclasses import dataclass

from usbshare.line.flow.character_counting import rules_of
from usbshare.line.flow.gcode_line import bare
from usbshare.line.profiles import Profile

QUIET_S, TIMEOUT_S = 1.0, 30.0
# Homing, jogs, dwells, probing, pauses, tool changes, and on Marlin heating and waiting for moves.
_TAKES_LONG = re.compile(
    rb"\$(?:H|HOME|J=)|.*(?:G0*(?:4|28|29|30|38)|M0*(?:[016]|109|190|191|400|600))(?![\d])"
)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long an answer is waited for; None is without limit.

    `quiet_s`: a silence after which it counts as complete, None where only a reply ends it.
    """

    quiet_s: float | None
    timeout_s: float | None


def patience_for(
    line: bytes, profile: Profile, quiet_s: float | None, timeout_s: float | None
) -> Patience:
    """Return how long to wait where a person gave no `quiet_s` or `timeout_s` (None)."""
    is_realtime = bool(profile.realtime) and profile.is_realtime(line)
    replies = rules_of(profile) is not None and not is_realtime
    takes_long = replies and _TAKES_LONG.match(bare(line)) is not None
    if quiet_s is None and not replies:
        quiet_s = QUIET_S
    if timeout_s is None and not takes_long:
        timeout_s = TIMEOUT_S
    return Patience(quiet_s, timeout_s)
