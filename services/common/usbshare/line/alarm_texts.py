"""What the alarms of GRBL and its relatives mean, by the firmware's own words, such as `ALARM:1`.

gnea/grbl doc/csv/alarm_codes_en_US.csv, in our words.
"""

from __future__ import annotations

import re

_RESET_SINCE = " (reset since)"
_NUMBERED = re.compile(rf"ALARM:(\d{{1,3}})\b(?:{re.escape(_RESET_SINCE)})?", re.IGNORECASE)
# After a hard or soft limit GRBL takes nothing but a reset (protocol.c, "Reset to continue").
_CRITICAL = re.compile(rf"ALARM:[12]\b(?!{re.escape(_RESET_SINCE)})", re.IGNORECASE)
_MEANINGS = {
    1: "a limit switch was hit; the position is lost, so home again",
    2: "the move would leave the machine's travel; the position is kept, unlock to go on",
    3: "it was reset while moving; the position is lost, so home again",
    4: "the probe was not in its initial state before the probing move",
    5: "the probe touched nothing within the probing move",
    6: "it was reset while homing",
    7: "the safety door was opened while homing",
    8: "homing did not clear the limit switch; is the pull-off ($27) long enough?",
    9: "homing found no limit switch within the travel",
}


def alarm_meaning(words: str) -> str:
    """Return what an alarm means, empty where nobody knows."""
    found = _NUMBERED.match(words)
    return "" if found is None else _MEANINGS.get(int(found[1]), "")


def explained_alarm(words: str) -> str:
    """Return the words for an alarm with what it means, behind its number."""
    found, told = _NUMBERED.match(words), alarm_meaning(words)
    return f"{found[0]}: {told}{words[found.end() :]}" if found and told else words


def needs_reset(words: str) -> bool:
    """Return whether the machine does nothing after this alarm until it is reset."""
    return _CRITICAL.match(words) is not None


def after_reset(words: str) -> str:
    """Return the words for such an alarm once the machine was reset."""
    return f"{words}{_RESET_SINCE}"
