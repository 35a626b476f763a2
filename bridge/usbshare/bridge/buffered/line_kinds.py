"""Which lines of G-code may be answered before the firmware has seen them.

A list of what may, not of what may not: a word that is not known here asks or changes state.
"""

from __future__ import annotations

import re

# GRBL 1.1, gcode.c: what only moves, or sets a mode that later lines use. Not G4, M0, M1, M2 and
# M30, which wait for the machine; G28, G30 and G38, which end elsewhere; G10, G54 to G59 and G92,
# which read or write the settings, or change where later lines lead.
_EARLY_G = frozenset(
    ("0", "1", "2", "3", "17", "18", "19", "20", "21", "40", "80", "90", "91", "91.1", "94")
)
_EARLY_M = frozenset(("3", "4", "5", "7", "8", "9"))
_VALUES = frozenset("XYZABCIJKRFSN")
_COMMENT = re.compile(rb"\([^)]*\)?|;.*")
_WORD = re.compile(r"([A-Z])([+-]?(?:\d+\.?\d*|\.\d+))")


def may_answer_early(line: bytes) -> bool:
    """Return whether `ok` may answer a line, given without its end, before it is carried out."""
    text = _COMMENT.sub(b"", line).translate(None, b" \t/").upper().decode("latin-1")
    end = 0
    for word in _WORD.finditer(text):
        if word.start() != end or not _is_early(word[1], word[2]):
            return False
        end = word.end()
    return end == len(text)


def _is_early(letter: str, number: str) -> bool:
    if letter in _VALUES:
        return True
    code = _code(number)
    return code in (_EARLY_G if letter == "G" else _EARLY_M if letter == "M" else ())


def _code(number: str) -> str:
    """Return a code as it is written in the lists: `01` and `1.0` are `1`."""
    whole, _, fraction = number.lstrip("+").partition(".")
    fraction = fraction.rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{fraction}" if fraction else whole
