"""The meaning of a firmware's numbers: GRBL's errors and alarms."""

from __future__ import annotations

import re

from usbshare.line.alarm_texts import alarm_meaning, explained_alarm
from usbshare.sim.status_codes import Status
from usbshare.sim.status_texts import status_text

_ERROR = re.compile(r"error:(\d{1,3})$")


def meaning(text: str) -> str:
    """Return what `ALARM:1` or `error:20` means, empty where nobody knows."""
    if (found := _ERROR.match(text)) is None:
        return alarm_meaning(text)
    known = next((each for each in Status if each.value == int(found[1])), None)
    return "" if known is None else status_text(known)


def explained(text: str) -> str:
    """Return the firmware's words, and what they mean."""
    is_error = _ERROR.match(text) is not None
    return f"{text}: {meaning(text)}" if is_error and meaning(text) else explained_alarm(text)
