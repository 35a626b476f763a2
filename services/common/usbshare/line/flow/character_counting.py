"""How many lines of a program firmware takes before it has answered them.

GRBL holds RX_BUFFER_SIZE bytes (gnea/grbl grbl/serial.h: 128) and takes a line out of them before
it answers it; what does not fit is lost. It says how much that is in `[OPT:…,blocks,bytes]` of
`$I`, and in `Bf:blocks,bytes` of its reports (doc/markdown/interface.md) while that is enabled.

Smoothie has no rules: it answers each command of a line with an `ok` of its own, unless it runs in
its grbl mode or has `ok_per_line` set, which cannot be seen from outside, and some versions answer
nothing to a line that begins with neither G, M nor T (Smoothieware
src/modules/communication/GcodeDispatch.cpp). Its `ok` would be taken for that of another line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from usbshare.line.flow.replies import GRBL_DIALECT, MARLIN_DIALECT, Dialect
from usbshare.line.profiles import GRBL, GRBL09, GRBLHAL, MARLIN, REPRAP, Profile

MOST_BUFFER_BYTES = 1 << 16
_OPTIONS = re.compile(rb"\[OPT:[^,\]]*,\d+,(\d+)")
_FREE = re.compile(rb"<(\w+)[^>]*\|Bf:\d+,(\d+)")


@dataclass(frozen=True, slots=True)
class FlowRules:
    """How one firmware takes lines; `buffer_bytes` 0: one line at a time.

    `numbers`: it takes line numbers with checksums.
    """

    dialect: Dialect
    buffer_bytes: int = 0
    numbers: bool = False


_RULES = {
    GRBL.name: FlowRules(GRBL_DIALECT, 128),
    GRBLHAL.name: FlowRules(GRBL_DIALECT, 128),
    # Its ring of 128 bytes keeps one of them free (grbl/grbl grbl/serial.c).
    GRBL09.name: FlowRules(GRBL_DIALECT, 127),
    MARLIN.name: FlowRules(MARLIN_DIALECT, numbers=True),
    REPRAP.name: FlowRules(MARLIN_DIALECT, numbers=True),
}


def rules_of(profile: Profile) -> FlowRules | None:
    """Return how a profile's firmware takes lines; None where it is not known to answer each."""
    return _RULES.get(profile.name)


def build_buffer_bytes(text: bytes) -> int | None:
    """Return the size of the receive buffer that a line of `$I` names."""
    found = _OPTIONS.match(text)
    return _believed(int(found[1])) if found else None


def idle_buffer_bytes(report: bytes) -> int | None:
    """Return how much a report says is free in the receive buffer of a machine that is idle."""
    found = _FREE.match(report)
    return _believed(int(found[2])) if found and found[1] == b"Idle" else None


def _believed(size: int) -> int | None:
    return size if 1 <= size <= MOST_BUFFER_BYTES else None
