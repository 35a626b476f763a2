"""What a firmware's numbers mean: GRBL's errors, and its alarms.

gnea/grbl doc/csv/alarm_codes_en_US.csv, in our words.
"""

from __future__ import annotations

import re

from usbshare.sim.status import Status
from usbshare.sim.status_texts import status_text

_NUMBERED = re.compile(r"(ALARM|error):(\d{1,3})$")
_ALARMS = {
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


def meaning(text: str) -> str:
    """Return what `ALARM:1` or `error:20` means, empty where nobody knows."""
    if (found := _NUMBERED.match(text)) is None:
        return ""
    number = int(found[2])
    if found[1] == "ALARM":
        return _ALARMS.get(number, "")
    known = next((each for each in Status if each.value == number), None)
    return "" if known is None else status_text(known)


def explained(text: str) -> str:
    """Return the firmware's words, and what they mean."""
    told = meaning(text)
    return f"{text}: {told}" if told else text
