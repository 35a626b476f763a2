"""Text from the network made fit to be shown: nothing that acts on a terminal or cannot be seen."""

from __future__ import annotations

import re
import unicodedata

MOST_NAME_BYTES = 63  # a DNS label, RFC 6763 4.1.1

# What is read of a text at all, so that a long one costs no more than a short one.
_MOST_READ = 4096
# ECMA-48: CSI with its parameters, the strings (OSC, DCS, …) with their ends, the short ones. No
# alternative crosses the start of another sequence, which keeps the search linear.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x90\x98\x9b-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
# Not of category C, yet nothing to be seen: joiners, fillers, variation selectors, blank Braille.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0000-\U000e0fff]"
)


def clean_name(text: str) -> str:
    """Return a friendly name as it may be shown, at most 63 bytes; empty if nothing is left."""
    return clean_text(text, MOST_NAME_BYTES)


def clean_text(text: str, most_bytes: int) -> str:
    """Return NFC text without control, format or invisible characters, white space as one space.

    Cut to that many bytes of UTF-8 between two characters; cleaning it again changes nothing.
    """
    plain = _INVISIBLE.sub("", _ESCAPES.sub("", text[:_MOST_READ]))
    spaced = "".join(" " if each.isspace() else each for each in plain if _is_shown(each))
    composed = unicodedata.normalize("NFC", " ".join(spaced.split()))
    return composed.encode()[:most_bytes].decode(errors="ignore").rstrip()


def _is_shown(character: str) -> bool:
    return character.isspace() or not unicodedata.category(character).startswith("C")
